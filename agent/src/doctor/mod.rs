//! What can be measured on this machine and what can't, why, and what to do about it.
//!
//! Pure: what was seen goes in, findings come out. `commands/doctor/` looks and prints.

mod findings;
mod reach;

pub use findings::{findings, is_request_impossible};
pub use model::finding::{Finding, Status};

use host::Host;
use model::finding::Lifetime;
use model::telemetry::{Instruments, Window};
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
    /// Certificates that are named.
    pub certificates: Vec<Certificate>,
    /// The wall clock, by which certificates hold, in seconds since 1970.
    pub now_s: i64,
    /// What is named to be loaded.
    pub sources: Vec<Source>,
    /// Where there is a GPU, or one is named: whether this build computes on it.
    pub computed: Option<Computed>,
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
    /// Whether it answers as a controller does, over TLS where it is asked for; null where nobody connected.
    pub greeting: Option<Result<(), String>>,
}

/// A certificate that the agent would use.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// `--ca` or `--cert`, and its file.
    pub which: String,
    /// When it holds; or why it can't be read.
    pub lifetime: Result<Lifetime, String>,
}

/// Something that the agent would load.
#[derive(Debug, Clone)]
pub struct Source {
    /// `model`, `adapter` or `tokenizer`.
    pub what: &'static str,
    /// As given.
    pub name: String,
    /// What is there; or why it can't be had.
    pub found: Result<String, String>,
}

/// What came of computing something on a GPU.
#[derive(Debug, Clone)]
pub struct Computed {
    /// Such as `cuda:0`.
    pub device: String,
    /// Whether it was asked for by name.
    pub is_wanted: bool,
    /// What it is; or why it computes nothing.
    pub outcome: Result<String, String>,
}
