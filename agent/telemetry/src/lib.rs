//! Telemetry during inference: process, host, GPU and energy.
//!
//! Instruments are detected once and read for every window; unreadable ones are reported as absent,
//! with the reason. The [`sampler`] reads them on its own thread, the only one of the agent's that
//! runs during a measurement.

mod clocks;
mod counter;
mod energy;
mod nvml;
mod instruments;
mod process;
mod processors;
pub mod sampler;
mod temperature;

pub use instruments::{InstrumentSet, InstrumentSources, Trigger};
pub use nvml::OpenedGpu;
pub use sampler::{InstrumentReader, ReadingSource, Sampler};

use model::telemetry::{Absence, Gpu};
use std::path::Path;

/// The machine's GPUs, each followed by its instances of MIG, as NVIDIA's management library knows
/// them. `nvml_library`: instead of the system's own.
pub fn gpus(nvml_library: Option<&Path>) -> Result<Vec<Gpu>, Absence> {
    nvml::gpus(&nvml::Library::open(nvml_library)?)
}

fn absence(what: &str, reason: impl Into<String>, remedy: Option<&str>) -> Absence {
    Absence { what: what.to_owned(), reason: reason.into(), remedy: remedy.map(str::to_owned) }
}
