//! Devices for inference.

use gpu::{Buffer, Driver, Gpu, Kernels, Norm};
use model::engine::Dtype;
use std::path::PathBuf;
use std::sync::Arc;

pub use gpu::{DeviceName, uuid_begins_with};

#[derive(Debug, Clone)]
pub struct Device {
    name: String,
    gpu: Option<Arc<Gpu>>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "unknown device `{0}`: expected cpu, cuda:0 (the first GPU), cuda:1, ..., cuda:GPU-UUID or \
         cuda:MIG-UUID"
    )]
    Unknown(String),
    #[error("cannot use {device}: {reason}")]
    Gpu { device: String, reason: gpu::Error },
    #[error("{device} cannot compute: {reason}")]
    Compute { device: String, reason: String },
}

impl Device {
    pub fn cpu() -> Self {
        Self { name: "cpu".to_owned(), gpu: None }
    }

    /// Opens `cpu`, `cuda:0`, `cuda:1`, and so on, `cuda:GPU-UUID` or `cuda:MIG-UUID`.
    pub fn open(name: &str) -> Result<Self, Error> {
        let gpu = of_gpu(name, Driver::open)?;
        Ok(Self { name: name.to_owned(), gpu })
    }

    /// The UUID of a GPU or of an instance of MIG, without opening it. `None` for the CPU.
    pub fn uuid_of(name: &str) -> Result<Option<String>, Error> {
        of_gpu(name, Driver::uuid)
    }

    /// The file of NVIDIA's driver library, which is loaded if it wasn't yet. `None` if there is none.
    pub fn driver_library() -> Option<PathBuf> {
        Driver::path()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// `None` for the CPU.
    pub fn gpu(&self) -> Option<&Arc<Gpu>> {
        self.gpu.as_ref()
    }

    /// What some model can be loaded as.
    pub fn dtypes(&self) -> &'static [Dtype] {
        let all = &[Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Int8, Dtype::Q4, Dtype::Gguf];
        if self.gpu.is_some() { &all[..4] } else { all }
    }

    /// Runs a small computation, which shows whether the driver accepts the kernels. Returns a
    /// description.
    pub fn self_test(&self) -> Result<String, Error> {
        let Some(gpu) = &self.gpu else { return Ok("the CPU".to_owned()) };
        let normed = || -> Result<Vec<f32>, gpu::Error> {
            let kernels = Kernels::load(gpu)?;
            let x = Buffer::from_slice(gpu, &[3.0, 4.0])?;
            let gain = Buffer::from_slice(gpu, &[1.0, 2.0])?;
            let mut to = Buffer::zeroed(gpu, 2)?;
            let norm = Norm { gain: &gain, bias: None, epsilon: 0.0 };
            kernels.norm(&x, 1, norm, &mut to)?;
            to.read(0..2)
        };
        let failed = |reason: String| Error::Compute { device: self.name.clone(), reason };
        let found = normed().map_err(|error| failed(error.to_string()))?;
        // The root of the mean square is that of 12.5.
        let is_right = found.iter().zip([0.848_528, 2.262_742]).all(|(x, y)| (x - y).abs() < 1e-4);
        if !is_right {
            return Err(failed("wrong result of a test computation".to_owned()));
        }
        let Gpu { name, uuid, capability, driver, .. } = &**gpu;
        Ok(format!("{name} ({uuid}), compute capability {capability}, driver for CUDA {driver}"))
    }
}

fn of_gpu<T>(
    name: &str,
    ask: impl FnOnce(Driver, &DeviceName) -> Result<T, gpu::Error>,
) -> Result<Option<T>, Error> {
    if name == "cpu" {
        return Ok(None);
    }
    let wanted = DeviceName::parse(name).ok_or_else(|| Error::Unknown(name.to_owned()))?;
    let found = Driver::load().and_then(|driver| ask(driver, &wanted));
    let unusable = |reason| Error::Gpu { device: name.to_owned(), reason };
    found.map(Some).map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices() {
        assert_eq!(Device::open("cpu").unwrap().name(), "cpu");
        assert_eq!(Device::cpu().self_test().unwrap(), "the CPU");
        for name in ["gpu", "cuda", "cuda:x", "cuda:-1", "cuda:GPU-"] {
            assert!(matches!(Device::open(name), Err(Error::Unknown(_))), "{name}");
        }
    }
}
