//! Facts -> findings, in the order of the output.

use super::{Certificates, Database, Facts, Folder, Listen, WallClock, needs};
use model::finding::Finding;
use std::time::Duration;

/// With less free space, a long campaign may fill the disk.
const MIN_FREE_BYTES: u64 = 1 << 30;
/// Samples are synced before they are acknowledged, so a slower disk delays agents.
const SLOW_SYNC: Duration = Duration::from_millis(50);

pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![clock(&facts.clock)];
    all.extend(folder(&facts.folder));
    all.push(database(&facts.database));
    all.push(listen(&facts.listen));
    if let Some(found) = &facts.certificates {
        all.extend(certificates(found, facts));
    }
    all.push(needs::agent(&facts.agent, facts.needed.as_ref()));
    if let Some(needed) = &facts.needed {
        all.extend(needs::findings(needed, facts));
    }
    all
}

fn clock(clock: &WallClock) -> Finding {
    let shown = clock.now.format("%Y-%m-%d %H:%M:%S UTC");
    let remedy = "synchronize the clock (chrony, systemd-timesyncd): certificates and signatures depend on it";
    match (clock.program_modified_at, clock.is_synchronized) {
        (Some(modified_at), _) if clock.now < modified_at => {
            Finding::trouble("clock", format!("{shown} is before this program was built"), remedy)
        }
        (_, Some(true)) => Finding::ok("clock", format!("{shown}, synchronized")),
        (_, Some(false)) => Finding::trouble("clock", format!("{shown}, not synchronized"), remedy),
        (_, None) => Finding::ok("clock", format!("{shown}; synchronization status unknown")),
    }
}

fn folder(folder: &Folder) -> Vec<Finding> {
    let path = folder.path.display();
    let new = if folder.exists { "" } else { " (does not exist yet)" };
    let mut all = vec![match &folder.free_bytes {
        Ok(bytes) if *bytes >= MIN_FREE_BYTES => {
            Finding::ok("disk", format!("{path}{new}: {} GiB free", bytes >> 30))
        }
        Ok(bytes) => Finding::trouble(
            "disk",
            format!("{path}{new}: {} MiB free", bytes >> 20),
            "free disk space or choose another --data-dir: a full disk leaves a campaign incomplete",
        ),
        Err(reason) => Finding::trouble(
            "disk",
            format!("{path}{new}: {reason}"),
            "grant this user write permission, or choose another --data-dir",
        ),
    }];
    if let Some(sync) = folder.sync {
        let detail = format!("a synced write takes {:.2} ms", sync.as_secs_f64() * 1e3);
        all.push(if sync > SLOW_SYNC {
            let remedy =
                "use a local disk for --data-dir: agents wait until their samples are synced";
            Finding::trouble("disk_sync", detail, remedy)
        } else {
            Finding::ok("disk_sync", detail)
        });
    }
    all
}

fn database(database: &Database) -> Finding {
    let Database { name, version, known } = database;
    match version {
        Ok(None) => Finding::ok("database", format!("{name}: created by the first campaign")),
        Ok(Some(version)) if version == known => {
            Finding::ok("database", format!("{name}: schema {version}"))
        }
        Ok(Some(version)) if version < known => Finding::ok(
            "database",
            format!(
                "{name}: schema {version}; the next command migrates it to {known}, and older releases will not open it"
            ),
        ),
        Ok(Some(version)) => Finding::trouble(
            "database",
            format!("{name}: schema {version}, newer than {known} of this release"),
            "use the release that wrote it, or another --data-dir",
        ),
        Err(reason) => Finding::trouble(
            "database",
            format!("{name}: {reason}"),
            "check that the server runs and that DATABASE_URL is correct; for a file, check its permissions",
        ),
    }
}

fn listen(listen: &Listen) -> Finding {
    let Listen { address, outcome } = listen;
    match outcome {
        Ok(()) if address.port() == 0 => {
            Finding::ok("listen", format!("{}: a free port is selected", address.ip()))
        }
        Ok(()) => Finding::ok("listen", format!("{address} is free")),
        Err(reason) => Finding::trouble(
            "listen",
            format!("{address}: {reason}"),
            format!(
                "choose another --listen, or find the process that uses it: ss -ltnp 'sport = :{}'",
                address.port()
            ),
        ),
    }
}

fn certificates(certificates: &Certificates, facts: &Facts) -> Vec<Finding> {
    let folder = certificates.folder.display();
    let dir = format!("--dir {folder}");
    let mut all = Vec::new();
    if let Err(reason) = &certificates.usable {
        if !certificates.is_needed {
            return all;
        }
        all.push(Finding::trouble(
            "certificates",
            reason.clone(),
            format!("TLS is required unless on loopback: controller certs init {dir} --host NAME-OF-THIS-MACHINE"),
        ));
    } else {
        let is_own = |host: &&String| matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
        let hosts = certificates.hosts.join(", ");
        all.push(if certificates.hosts.iter().all(|host| is_own(&host)) {
            Finding::trouble(
                "certificates",
                format!("{folder}: valid for {hosts}, names that no other machine can use"),
                format!("controller certs controller {dir} --host NAME-OF-THIS-MACHINE"),
            )
        } else {
            Finding::ok("certificates", format!("{folder}: valid for {hosts}"))
        });
    }
    let now = facts.clock.now.timestamp();
    all.extend(certificates.lifetimes.iter().map(|(file, lifetime)| {
        let name = file.strip_suffix(".pem").unwrap_or(file);
        let renew = match name {
            "ca" => {
                format!("create a new authority and new certificates: controller certs init {dir}")
            }
            "controller" => {
                format!("controller certs controller {dir}; a running controller reloads it")
            }
            name => format!("controller certs agent {name} {dir}, and copy it to its instance"),
        };
        lifetime.judge(file, now, &renew)
    }));
    all.extend(certificates.open_keys.iter().map(|key| {
        let key = key.display();
        Finding::trouble(
            "certificate_key",
            format!("{key} is readable by users other than its owner"),
            format!("chmod 600 {key}"),
        )
    }));
    all
}
