//! Facts about this machine's GPUs.

use super::Library;
use crate::absence;
use model::telemetry::{Absence, Gpu};
use nvml_wrapper::{Device, enum_wrappers::device::Clock};

/// All GPUs in the library's order, each followed by its instances of MIG. Unknown facts are `None`.
pub(crate) fn gpus(library: &Library) -> Result<Vec<Gpu>, Absence> {
    let count = library.nvml.device_count().map_err(|error| {
        absence("gpu", format!("the NVIDIA driver does not count its GPUs: {error}"), None)
    })?;
    let devices = (0..count).filter_map(|index| library.nvml.device_by_index(index).ok());
    let driver = library.nvml.sys_driver_version().ok();
    let cuda = library.nvml.sys_cuda_driver_version().ok();
    let cuda = cuda.map(|version| format!("{}.{}", version / 1000, version % 1000 / 10));
    let with_instances = |device: Device<'_>| {
        let whole = Gpu { driver: driver.clone(), cuda_driver: cuda.clone(), ..gpu(&device) };
        let instances = instances(&device, &whole);
        [vec![whole], instances].concat()
    };
    Ok(devices.flat_map(with_instances).collect())
}

/// The instances of a GPU that is divided. Their numbers have gaps.
fn instances(device: &Device<'_>, whole: &Gpu) -> Vec<Gpu> {
    if whole.is_mig_enabled != Some(true) {
        return Vec::new();
    }
    let most = device.mig_device_count().unwrap_or_default();
    let found = (0..most).filter_map(|index| device.mig_device_by_index(index).ok());
    let instance = |instance: Device<'_>| Gpu {
        uuid: instance.uuid().unwrap_or_default(),
        name: instance.name().unwrap_or_default(),
        memory_bytes: instance.memory_info().ok().map(|memory| memory.total),
        parent_uuid: Some(whole.uuid.clone()),
        ..whole.clone()
    };
    found.map(instance).collect()
}

fn gpu(device: &Device<'_>) -> Gpu {
    let mhz = |clock| device.max_clock_info(clock).ok().map(f64::from);
    let capability = device.cuda_compute_capability().ok();
    Gpu {
        uuid: device.uuid().unwrap_or_default(),
        name: device.name().unwrap_or_default(),
        device: None,
        driver: None,
        cuda_driver: None,
        compute_capability: capability.map(|it| format!("{}.{}", it.major, it.minor)),
        memory_bytes: device.memory_info().ok().map(|memory| memory.total),
        power_limit_watts: device.enforced_power_limit().ok().map(|mw| f64::from(mw) / 1e3),
        sm_max_mhz: mhz(Clock::SM),
        memory_max_mhz: mhz(Clock::Memory),
        is_ecc_enabled: device.is_ecc_enabled().ok().map(|ecc| ecc.currently_enabled),
        is_mig_enabled: device.mig_mode().ok().map(|mode| mode.current != 0),
        is_persistent: device.is_in_persistent_mode().ok(),
        parent_uuid: None,
    }
}
