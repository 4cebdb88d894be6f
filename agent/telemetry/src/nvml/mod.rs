//! NVIDIA's GPUs through the management library, which is found at run time. A missing library, a driver that isn't
//! loaded, a call that isn't supported and a GPU that falls off the bus are absences with a reason.

mod calls;
mod facts;
mod library;
mod visible;
mod watched;

pub(super) use facts::gpus;
pub(super) use library::Library;
pub use visible::Visible;
pub(super) use watched::Watched;

use super::Occasion;
use model::telemetry::{Absence, Gpu, Readings};
use visible::Handle;

/// The GPU behind an engine's device, such as `cuda:0`.
///
/// # Errors
/// Why it can't be read.
pub(super) fn watch(
    library: &Library,
    device: &str,
    visible: &Visible,
    gpus: &[Gpu],
) -> Result<Watched, Absence> {
    let number = device.rsplit(':').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let handle = visible.find(number, gpus)?;
    Watched::find(library, &handle, std::process::id())
}

/// What the first GPU and its driver don't tell.
pub(super) fn missing(library: &Library) -> Vec<Absence> {
    match Watched::find(library, &Handle::Index(0), std::process::id()) {
        Ok(mut first) => {
            first.read(&mut Readings::default(), Occasion::Tick, true);
            first.take_absences()
        }
        Err(absence) => vec![absence],
    }
}
