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
pub use nvml::VisibleDevices;
pub use sampler::{InstrumentReader, ReadingSource, Sampler};

use model::telemetry::Absence;

fn absence(what: &str, reason: impl Into<String>, remedy: Option<&str>) -> Absence {
    Absence { what: what.to_owned(), reason: reason.into(), remedy: remedy.map(str::to_owned) }
}
