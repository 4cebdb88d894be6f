//! Findings about a machine: what can and cannot be measured, why, and the remedy.
//!
//! Pure: observations in, findings out. `commands/doctor/` collects and prints.

mod findings;
mod reach;

pub use findings::{findings, is_request_impossible, throttle_reasons};
pub use model::finding::{Finding, Status};

use host::Host;
use model::finding::Lifetime;
use model::telemetry::{Instruments, Window};
use std::{path::PathBuf, time::Duration};

#[derive(Debug, Clone, Default)]
pub struct Observations {
    pub host: Host,
    pub threads: usize,
    pub instruments: Instruments,
    /// Windows sampled while the agent was idle.
    pub windows: Vec<Window>,
    /// Sampling period.
    pub period: Duration,
    pub clock: Clock,
    pub folders: Vec<Folder>,
    pub controller: Option<Controller>,
    pub certificates: Vec<Certificate>,
    /// Wall time in seconds since the epoch, for the validity of certificates.
    pub now_s: i64,
    pub sources: Vec<Source>,
    /// A test computation on the GPU, if there is one or one was requested.
    pub computed: Option<Computed>,
}

/// The clock that times samples.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// The kernel's clock source, such as `tsc`. `None` if unknown.
    pub source: Option<String>,
    pub reading_ns: f64,
}

#[derive(Debug, Clone)]
pub struct Folder {
    pub path: PathBuf,
    pub purpose: &'static str,
    /// Free space for this user, or why it cannot be written.
    pub free_bytes: Result<u64, String>,
}

#[derive(Debug, Clone)]
pub struct Controller {
    pub url: String,
    /// Median connection time, or the error.
    pub connect: Result<Duration, String>,
    /// Whether it responds like a controller, over TLS if requested. `None` if not connected.
    pub greeting: Option<Result<(), String>>,
}

#[derive(Debug, Clone)]
pub struct Certificate {
    /// `--ca` or `--cert` with its file.
    pub which: String,
    /// Or why it cannot be read.
    pub lifetime: Result<Lifetime, String>,
}

#[derive(Debug, Clone)]
pub struct Source {
    pub what: &'static str,
    pub name: String,
    /// A description, or why it is unavailable.
    pub found: Result<String, String>,
}

#[derive(Debug, Clone)]
pub struct Computed {
    pub device: String,
    /// Whether the device was requested.
    pub is_wanted: bool,
    /// A description, or why it cannot compute.
    pub outcome: Result<String, String>,
    /// `None` if the loader finds no driver.
    pub library: Option<DriverLibrary>,
}

/// NVIDIA's driver library, as it was loaded.
#[derive(Debug, Clone)]
pub struct DriverLibrary {
    /// Behind all links.
    pub path: PathBuf,
    /// Hexadecimal, or why the file cannot be read.
    pub sha256: Result<String, String>,
}
