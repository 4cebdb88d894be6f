//! NVIDIA GPUs through NVML, loaded at run time. A missing library or driver, an unsupported call
//! and a lost GPU are reported as absent, with the reason.

mod calls;
mod facts;
mod library;
mod monitor;
mod watched;

pub(super) use facts::gpus;
pub(super) use library::Library;
pub(super) use monitor::GpuMonitor;
pub use watched::OpenedGpu;

use super::Trigger;
use model::telemetry::{Absence, Gpu, Readings};

/// The GPU of an engine's device, such as `cuda:0`.
pub(super) fn watch(
    library: &Library,
    device: &str,
    opened: Option<&OpenedGpu>,
    gpus: &[Gpu],
) -> Result<GpuMonitor, Absence> {
    GpuMonitor::find(library, &watched::uuid(device, opened, gpus)?, std::process::id())
}

/// What a GPU does not report.
pub(super) fn missing(library: &Library, uuid: &str) -> Vec<Absence> {
    match GpuMonitor::find(library, uuid, std::process::id()) {
        Ok(mut gpu) => {
            gpu.read(&mut Readings::default(), Trigger::Tick, true);
            gpu.take_absences()
        }
        Err(absence) => vec![absence],
    }
}
