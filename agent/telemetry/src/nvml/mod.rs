//! NVIDIA GPUs through NVML, loaded at run time. A missing library or driver, an unsupported call
//! and a lost GPU are reported as absent, with the reason.

mod calls;
mod facts;
mod library;
mod visible;
mod monitor;

pub(super) use facts::gpus;
pub(super) use library::Library;
pub(super) use monitor::GpuMonitor;
pub use visible::VisibleDevices;

use super::Trigger;
use crate::absence;
use model::telemetry::{Absence, Gpu, Readings};
use visible::Handle;

/// The GPU of an engine's device, such as `cuda:0`.
pub(super) fn watch(
    library: &Library,
    device: &str,
    visible: &VisibleDevices,
    gpus: &[Gpu],
) -> Result<GpuMonitor, Absence> {
    let number = device.rsplit(':').next().and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| {
        absence("gpu", format!("the device `{device}` has no number, as cuda:0 has"), None)
    })?;
    let handle = visible.find(number, gpus)?;
    GpuMonitor::find(library, &handle, std::process::id())
}

/// What the first GPU does not report.
pub(super) fn missing(library: &Library) -> Vec<Absence> {
    match GpuMonitor::find(library, &Handle::Index(0), std::process::id()) {
        Ok(mut first) => {
            first.read(&mut Readings::default(), Trigger::Tick, true);
            first.take_absences()
        }
        Err(absence) => vec![absence],
    }
}
