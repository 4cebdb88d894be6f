//! Facts about this machine for `controller doctor`.

use crate::cli;
use crate::commands::run::local_agents::agent_program;
use crate::commands::{database_url, run::listeners::certs_folder};
use crate::doctor::{Agent, Certificates, Database, Folder, Listen, WallClock};
use anyhow::Context;
use fleet::identity::authority::{files_of, hosts_of, lifetimes_of};
use fleet::identity::tls::Tls;
use ops::{clock::Clock, error_chain};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs::File, io::Write, net::SocketAddr, os::unix::fs::PermissionsExt, time::Duration};
use store::{Place, Schema};

const WRITES: usize = 20;
/// About the size of a batch of samples.
const WRITE: [u8; 4096] = [0; 4096];

pub(super) fn clock() -> WallClock {
    let program = std::env::current_exe().and_then(|path| path.metadata()?.modified());
    WallClock {
        now: Clock::System.now(),
        program_modified_at: program.ok().map(Into::into),
        is_synchronized: is_synchronized(),
    }
}

/// According to systemd; `None` without it.
fn is_synchronized() -> Option<bool> {
    let output = Command::new("timedatectl")
        .args(["show", "--property", "NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    match output.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

pub(super) fn folder(path: &Path) -> Folder {
    let exists = path.is_dir();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = absolute.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let probe = existing.join(format!(".fleetmark-doctor-{}", std::process::id()));
    let sync = sync(&probe);
    drop(std::fs::remove_file(&probe));
    let free_bytes = sync.as_ref().map_err(ToString::to_string).and_then(|_| {
        let disk = rustix::fs::statvfs(existing).map_err(|error| error.to_string())?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    });
    Folder { path: path.to_owned(), exists, free_bytes, sync: sync.ok() }
}

/// The median duration of a small synced write.
fn sync(probe: &Path) -> std::io::Result<Duration> {
    let mut file = File::create_new(probe)?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let start = tokio::time::Instant::now();
        file.write_all(&WRITE)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[WRITES / 2])
}

pub(super) async fn database(data_dir: &Path) -> Database {
    let place = match database_url() {
        Some(url) => Place::server(url),
        None => Ok(Place::Folder(data_dir.to_owned())),
    };
    let schema = match &place {
        Ok(place) => Schema::of(place).await.map_err(|error| error_chain::one_line(&error)),
        Err(error) => Err(error.to_string()),
    };
    let known = schema.as_ref().map_or(0, |schema| schema.known);
    let name = place.map_or_else(|_| "DATABASE_URL".to_owned(), |place| place.to_string());
    Database { name, version: schema.map(|schema| schema.found), known }
}

pub(super) fn listen(address: SocketAddr) -> Listen {
    let outcome = std::net::TcpListener::bind(address).map(drop);
    Listen { address, outcome: outcome.map_err(|error| error.to_string()) }
}

/// The certificates for the address; `None` if TLS isn't used.
pub(super) fn certificates(options: &cli::Doctor) -> Option<Certificates> {
    let is_needed = options.certs.is_some() || !options.listen.ip().is_loopback();
    let folder = options.certs.clone().unwrap_or_else(|| certs_folder(&options.data_dir));
    if !is_needed && !folder.is_dir() {
        return None;
    }
    let others_can_read =
        |path: &PathBuf| path.metadata().is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
    Some(Certificates {
        is_needed,
        usable: Tls::read(&folder).map(drop).map_err(|error| error_chain::one_line(&error)),
        hosts: hosts_of(&folder),
        lifetimes: lifetimes_of(&folder),
        open_keys: files_of(&folder, "key").into_iter().filter(others_can_read).collect(),
        folder,
    })
}

pub(super) fn agent() -> Agent {
    let version = || -> anyhow::Result<String> {
        let program = agent_program()?;
        let output = Command::new(&program)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("can't start {}", program.display()))?;
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        // `agent 0.1.0 (COMMIT)`
        let version = output.trim().strip_prefix("agent ").and_then(|rest| rest.split(' ').next());
        let version = version.map(str::to_owned);
        version.with_context(|| format!("{} is not an agent binary", program.display()))
    };
    let version = version().map_err(|error| format!("{error:#}"));
    Agent { version, expected: env!("CARGO_PKG_VERSION").to_owned() }
}
