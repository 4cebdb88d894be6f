//! Facts about this machine and a matrix -> findings with remedies, in the format of `agent doctor`.
//!
//! Pure: `commands/doctor/` collects the facts and prints the findings.

mod findings;
mod needs;

pub use findings::findings;
pub use needs::{DatedPrice, Needed, Outcome, Prices};

use chrono::{DateTime, Utc};
use model::finding::Lifetime;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

#[derive(Debug, Clone)]
pub struct Facts {
    pub clock: WallClock,
    pub folder: Folder,
    pub database: Database,
    pub listen: Listen,
    /// Null without TLS, on loopback.
    pub certificates: Option<Certificates>,
    pub agent: Agent,
    /// Null without a matrix.
    pub needed: Option<Needed>,
}

#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    pub now: DateTime<Utc>,
    /// Modification time of this program; an earlier clock is wrong.
    pub program_modified_at: Option<DateTime<Utc>>,
    /// Null if unknown.
    pub is_synchronized: Option<bool>,
}

/// The data folder.
#[derive(Debug, Clone)]
pub struct Folder {
    pub path: PathBuf,
    /// If it doesn't exist, the other facts are about its nearest existing parent.
    pub exists: bool,
    /// Free space for this user, or why the folder can't be written.
    pub free_bytes: Result<u64, String>,
    /// Median duration of a small synced write; null without write permission.
    pub sync: Option<Duration>,
}

#[derive(Debug, Clone)]
pub struct Database {
    /// The file, or the server without secrets.
    pub name: String,
    /// The schema version, null if the database doesn't exist yet; or why it can't be opened.
    pub version: Result<Option<i64>, String>,
    /// The newest schema version of this release.
    pub known: i64,
}

/// The address for agents.
#[derive(Debug, Clone)]
pub struct Listen {
    pub address: SocketAddr,
    /// Whether it can be bound.
    pub outcome: Result<(), String>,
}

#[derive(Debug, Clone)]
pub struct Certificates {
    pub folder: PathBuf,
    /// Whether the address for agents requires TLS.
    pub is_needed: bool,
    pub usable: Result<(), String>,
    /// Names and addresses in the controller's certificate.
    pub hosts: Vec<String>,
    /// By file name.
    pub lifetimes: Vec<(String, Lifetime)>,
    /// Key files readable by other users than the owner.
    pub open_keys: Vec<PathBuf>,
}

/// The agent binary for local agents.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its reported version, or why it can't be started.
    pub version: Result<String, String>,
    pub expected: String,
}
