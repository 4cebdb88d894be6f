//! Whether a campaign can be run from this machine, and what to do where it can't.
//!
//! Pure: what was seen goes in, findings come out, in the form of `agent doctor`. `commands/doctor/` looks and prints.

mod findings;
mod needs;

pub use findings::findings;
pub use needs::{Needed, Outcome, Prices};

use chrono::{DateTime, Utc};
use model::finding::Lifetime;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What was seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The wall clock, and what is known of it.
    pub clock: WallClock,
    /// Where campaigns are kept.
    pub folder: Folder,
    /// The database in it, or on its server.
    pub database: Database,
    /// Where agents shall dial in.
    pub listen: Listen,
    /// What they are shown there; null where nothing is shown, on loopback.
    pub certificates: Option<Certificates>,
    /// The program that local agents are started from.
    pub agent: Agent,
    /// What the matrix needs; null without a matrix.
    pub needed: Option<Needed>,
}

/// The wall clock: it stamps, and certificates and signatures hold by it.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    /// What it shows.
    pub now: DateTime<Utc>,
    /// When this program was written to the disk; a clock that is before it is wrong.
    pub program_of: Option<DateTime<Utc>>,
    /// Whether the system says that it is kept right; null where it doesn't say.
    pub is_synchronized: Option<bool>,
}

/// Where campaigns are kept.
#[derive(Debug, Clone)]
pub struct Folder {
    /// As it was given.
    pub path: PathBuf,
    /// Null where it isn't there yet: it is made in the first folder above it that is.
    pub is_there: bool,
    /// Room for this user; or why it can't be written.
    pub free_bytes: Result<u64, String>,
    /// The median time until a small write is on the disk; null where none could be.
    pub sync: Option<Duration>,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its file, or its server without secrets.
    pub name: String,
    /// The version of its schema, null where it isn't made yet; or why it can't be opened.
    pub version: Result<Option<i64>, String>,
    /// The newest version that this program knows.
    pub known: i64,
}

/// Where agents shall dial in.
#[derive(Debug, Clone)]
pub struct Listen {
    /// As it was given.
    pub address: SocketAddr,
    /// Nothing; or why nobody can listen there.
    pub outcome: Result<(), String>,
}

/// The certificates of a folder.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// Where.
    pub folder: PathBuf,
    /// Whether they are needed to listen there.
    pub is_needed: bool,
    /// Nothing; or why the controller can't use them.
    pub usable: Result<(), String>,
    /// Names and addresses that the controller's is for.
    pub hosts: Vec<String>,
    /// Each with its file's name, and when it holds.
    pub lifetimes: Vec<(String, Lifetime)>,
    /// Files of keys that others than their owner can read.
    pub open_keys: Vec<PathBuf>,
}

/// The program that local agents are started from.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The version that it says; or why it can't be started.
    pub version: Result<String, String>,
    /// The version of this program.
    pub expected: String,
}
