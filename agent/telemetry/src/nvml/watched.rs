//! Which GPU of NVIDIA's management library is the one used for inference.
//!
//! CUDA and this library number GPUs differently: CUDA puts the fastest first and heeds
//! `CUDA_VISIBLE_DEVICES` and `CUDA_DEVICE_ORDER`, the library goes by PCI bus. So a GPU is found by
//! its UUID, which CUDA's driver tells, and never by its number.

use crate::absence;
use model::telemetry::{Absence, Gpu};

/// A GPU as CUDA's driver knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedGpu {
    /// The name of the device, such as `cuda:0`.
    pub device: String,
    /// With `GPU-`, or with `MIG-` for an instance of MIG.
    pub uuid: String,
}

/// The UUID of the GPU that `device` names. Without the driver's word there must be only one.
pub(super) fn uuid(
    device: &str,
    opened: Option<&OpenedGpu>,
    gpus: &[Gpu],
) -> Result<String, Absence> {
    if let Some(opened) = opened.filter(|opened| opened.device == device) {
        return Ok(opened.uuid.clone());
    }
    match gpus {
        [only] if only.is_mig_enabled != Some(true) => Ok(only.uuid.clone()),
        _ => Err(absence(
            "gpu",
            format!("CUDA's driver did not say which of the GPUs is {device}"),
            Some("install NVIDIA's driver with its CUDA library, libcuda.so.1"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(uuid: &str) -> Gpu {
        Gpu { uuid: uuid.to_owned(), ..Gpu::default() }
    }

    #[test]
    fn a_gpu_is_found_by_the_uuid_that_the_driver_tells() {
        let opened = OpenedGpu { device: "cuda:0".to_owned(), uuid: "GPU-b".to_owned() };
        let gpus = [gpu("GPU-a"), gpu("GPU-b")];
        assert_eq!(uuid("cuda:0", Some(&opened), &gpus), Ok("GPU-b".to_owned()));
        let unknown = uuid("cuda:1", Some(&opened), &gpus).unwrap_err();
        assert!(unknown.reason.ends_with("which of the GPUs is cuda:1"), "{unknown:?}");
    }

    #[test]
    fn without_the_driver_only_a_single_whole_gpu_is_known() {
        assert_eq!(uuid("cuda:0", None, &[gpu("GPU-a")]), Ok("GPU-a".to_owned()));
        assert!(uuid("cuda:0", None, &[gpu("GPU-a"), gpu("GPU-b")]).is_err());
        let divided = Gpu { is_mig_enabled: Some(true), ..gpu("GPU-a") };
        assert!(uuid("cuda:0", None, &[divided]).is_err());
    }
}
