//! Maps `cuda:0` to a GPU: CUDA numbers the GPUs visible in the environment, in its own order.

use crate::absence;
use model::telemetry::{Absence, Gpu};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VisibleDevices {
    /// `CUDA_VISIBLE_DEVICES`: indices or UUIDs.
    pub devices: Option<String>,
    /// `CUDA_DEVICE_ORDER`: by PCI bus, or by speed.
    pub order: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Handle {
    /// Index in NVML's list.
    Index(u32),
    /// A UUID or its prefix.
    Uuid(String),
}

impl VisibleDevices {
    /// The GPU with this CUDA ordinal.
    pub(super) fn find(&self, number: u32, gpus: &[Gpu]) -> Result<Handle, Absence> {
        let handle = match self.devices.as_deref().map(str::trim).filter(|list| !list.is_empty()) {
            None => Handle::Index(number),
            Some(list) => {
                let entry = list.split(',').nth(number as usize).map(str::trim);
                let entry = entry.filter(|entry| !entry.is_empty()).ok_or_else(|| {
                    let reason = format!("CUDA_VISIBLE_DEVICES={list} has no GPU {number}");
                    absence("gpu", reason, Some("add the GPU to the variable, or unset it"))
                })?;
                match entry.parse() {
                    Ok(index) => Handle::Index(index),
                    Err(_) => return Ok(Handle::Uuid(entry.to_owned())),
                }
            }
        };
        // CUDA puts the fastest first, NVML commands by bus; for identical GPUs both are the same.
        // Two names that can't be read are not equal.
        let are_equal =
            gpus.windows(2).all(|pair| pair[0].name == pair[1].name && !pair[0].name.is_empty());
        if are_equal || self.order.as_deref() == Some("PCI_BUS_ID") {
            return Ok(handle);
        }
        Err(absence(
            "gpu",
            "several different GPUs: the one used for inference is ambiguous",
            Some("set CUDA_DEVICE_ORDER=PCI_BUS_ID for the agent"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(names: &[&str]) -> Vec<Gpu> {
        names.iter().map(|name| Gpu { name: (*name).to_owned(), ..Gpu::default() }).collect()
    }

    fn visible(devices: Option<&str>, order: Option<&str>) -> VisibleDevices {
        VisibleDevices { devices: devices.map(str::to_owned), order: order.map(str::to_owned) }
    }

    #[test]
    fn the_environment_says_which_gpu_is_the_first() {
        let twins = gpus(&["T4", "T4"]);
        let find = |devices, number| visible(devices, None).find(number, &twins);
        assert_eq!(find(None, 1), Ok(Handle::Index(1)));
        assert_eq!(find(Some("1, 0"), 0), Ok(Handle::Index(1)));
        assert_eq!(find(Some("GPU-8f,0"), 0), Ok(Handle::Uuid("GPU-8f".to_owned())));
        assert_eq!(find(Some("MIG-1"), 0), Ok(Handle::Uuid("MIG-1".to_owned())));
        assert!(find(Some("1"), 1).unwrap_err().reason.contains("has no GPU 1"));
    }

    #[test]
    fn different_gpus_are_told_apart_by_an_order_or_not_at_all() {
        let mixed = gpus(&["T4", "A10G"]);
        assert!(visible(None, None).find(0, &mixed).is_err());
        assert_eq!(visible(None, Some("PCI_BUS_ID")).find(0, &mixed), Ok(Handle::Index(0)));
        let by_uuid = visible(Some("GPU-1"), None).find(0, &mixed);
        assert_eq!(by_uuid, Ok(Handle::Uuid("GPU-1".to_owned())));
        let nameless = gpus(&["", ""]);
        assert!(visible(None, None).find(0, &nameless).is_err(), "they may be different");
    }
}
