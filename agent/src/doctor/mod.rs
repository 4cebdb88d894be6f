//! What can be measured on this machine and what can't, why, and what to do about it.
//!
//! Pure: what was seen goes in, findings come out. `commands/doctor.rs` looks and prints.

mod findings;

pub use findings::findings;

use crate::host::Host;
use proto::telemetry::{Instruments, Window};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The machine.
    pub host: Host,
    /// Threads that would compute.
    pub threads: usize,
    /// What can be observed, and what can't.
    pub instruments: Instruments,
    /// What the sampler saw while nothing of ours ran.
    pub windows: Vec<Window>,
    /// Its period.
    pub period: Duration,
    /// The clock that samples are timed with.
    pub clock: Clock,
    /// Folders that the agent writes to.
    pub folders: Vec<Folder>,
    /// The way to the controller, where one is named.
    pub controller: Option<Controller>,
}

/// The clock that samples are timed with.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// What the kernel reads, such as `tsc`; null where it doesn't say.
    pub source: Option<String>,
    /// How long one reading takes.
    pub reading_ns: f64,
}

/// A folder that the agent writes to.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where.
    pub path: PathBuf,
    /// What for.
    pub purpose: &'static str,
    /// Room for this user; or why it can't be written.
    pub free_bytes: Result<u64, String>,
}

/// The way to the controller.
#[derive(Debug, Clone)]
pub struct Controller {
    /// As given.
    pub url: String,
    /// The median time to connect; or why nobody answers.
    pub connect: Result<Duration, String>,
}

/// How a finding bears on a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It can't be measured here; reports say so.
    NotMeasurable,
    /// It disturbs what is measured, or stops it.
    Trouble,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// How it bears on a measurement.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What to do; null where nothing needs to be done or nothing helps.
    pub remedy: Option<String>,
}
