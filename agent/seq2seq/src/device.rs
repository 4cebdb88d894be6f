//! Devices for inference, and the dtypes they support.

use model::engine::Dtype;

/// The compute capability that this build's kernels were compiled for, such as `75`.
const BUILT_FOR: Option<&str> = option_env!("CUDA_COMPUTE_CAP");

#[derive(Debug, Clone)]
pub struct Device {
    name: String,
    gpu: Option<Gpu>,
}

#[derive(Debug, Clone)]
pub struct Gpu {
    pub tensors: candle_core::Device,
    /// As reported by the driver.
    pub name: String,
    capability: Capability,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Capability {
    major: i32,
    minor: i32,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("unknown device `{0}`: expected cpu, cuda:0 (the first GPU), cuda:1, ...")]
    Unknown(String),
    #[error(
        "{0}: this agent was built for CPUs only: use the build for NVIDIA GPUs \
         (cargo build --release --features cuda)"
    )]
    NotBuilt(String),
    #[error("cannot open {device}: check the GPU and its driver")]
    Open { device: String, source: candle_core::Error },
    #[error("{device} cannot compute: {reason}")]
    Compute { device: String, reason: String },
    #[error("{device} does not support {dtype}: expected {can}")]
    Dtype { device: String, dtype: Dtype, can: String },
}

impl Device {
    pub fn cpu() -> Self {
        Self { name: "cpu".to_owned(), gpu: None }
    }

    /// Opens `cpu`, `cuda:0`, `cuda:1`, and so on.
    pub fn open(name: &str) -> Result<Self, Error> {
        if name == "cpu" {
            return Ok(Self::cpu());
        }
        let ordinal = name.strip_prefix("cuda:").and_then(|ordinal| ordinal.parse().ok());
        let ordinal = ordinal.ok_or_else(|| Error::Unknown(name.to_owned()))?;
        Ok(Self { name: name.to_owned(), gpu: Some(gpu(name, ordinal)?) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// `None` for the CPU.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.gpu.as_ref()
    }

    pub fn dtypes(&self) -> &'static [Dtype] {
        match &self.gpu {
            None => &[Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Int8],
            Some(gpu) => dtypes(gpu.kernels()),
        }
    }

    /// Runs a small computation, which shows whether the driver accepts this build's kernels.
    /// Returns a description.
    pub fn self_test(&self) -> Result<String, Error> {
        let Some(gpu) = &self.gpu else { return Ok("the CPU".to_owned()) };
        let three = || -> Result<Vec<f32>, candle_core::Error> {
            let one = candle_core::Tensor::ones(1, candle_core::DType::F32, &gpu.tensors)?;
            one.affine(2.0, 1.0)?.to_vec1()
        };
        let failed = |reason: String| Error::Compute { device: self.name.clone(), reason };
        match three().map_err(|error| failed(error.to_string()))?[..] {
            [three] if (three - 3.0).abs() < 1e-6 => {
                let Capability { major, minor } = gpu.kernels();
                Ok(format!("{}, kernels for compute capability {major}.{minor}", gpu.name))
            }
            _ => Err(failed("wrong result of a test computation".to_owned())),
        }
    }

    pub fn check(&self, dtype: Dtype) -> Result<(), Error> {
        if self.dtypes().contains(&dtype) {
            return Ok(());
        }
        let device = match &self.gpu {
            None => self.name.clone(),
            Some(gpu) => {
                let Capability { major, minor } = gpu.kernels();
                format!(
                    "{} ({}, kernels for compute capability {major}.{minor})",
                    self.name, gpu.name
                )
            }
        };
        let words: Vec<&str> = self.dtypes().iter().map(|dtype| dtype.as_str()).collect();
        Err(Error::Dtype { device, dtype, can: words.join(", ") })
    }
}

impl Gpu {
    /// The lower of the build's and the GPU's capability.
    fn kernels(&self) -> Capability {
        let built = BUILT_FOR.and_then(capability);
        built.map_or(self.capability, |built| built.min(self.capability))
    }
}

/// bf16 products need Ampere. int8 has kernels on the CPU only.
fn dtypes(capability: Capability) -> &'static [Dtype] {
    if capability.major >= 8 {
        &[Dtype::F32, Dtype::F16, Dtype::Bf16]
    } else {
        &[Dtype::F32, Dtype::F16]
    }
}

/// `75` is 7.5, `100` is 10.0.
fn capability(text: &str) -> Option<Capability> {
    let number: i32 = text.parse().ok()?;
    Some(Capability { major: number / 10, minor: number % 10 })
}

#[cfg(not(feature = "cuda"))]
fn gpu(name: &str, _ordinal: usize) -> Result<Gpu, Error> {
    Err(Error::NotBuilt(name.to_owned()))
}

#[cfg(feature = "cuda")]
fn gpu(name: &str, ordinal: usize) -> Result<Gpu, Error> {
    let opened = || -> Result<Gpu, candle_core::Error> {
        let tensors = candle_core::Device::new_cuda(ordinal)?;
        let stream = tensors.as_cuda_device()?.cuda_stream();
        let context = stream.context();
        let (major, minor) = context.compute_capability().map_err(candle_core::Error::wrap)?;
        let name = context.name().map_err(candle_core::Error::wrap)?;
        Ok(Gpu { tensors, name, capability: Capability { major, minor } })
    };
    opened().map_err(|source| Error::Open { device: name.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(text: &str) -> Device {
        let gpu = Gpu {
            tensors: candle_core::Device::Cpu,
            name: "a card".to_owned(),
            capability: capability(text).unwrap(),
        };
        Device { name: "cuda:0".to_owned(), gpu: Some(gpu) }
    }

    #[test]
    fn bf16_needs_ampere_and_int8_a_cpu() {
        let words = |device: &Device| -> Vec<&str> {
            device.dtypes().iter().map(|dtype| dtype.as_str()).collect()
        };
        assert_eq!(words(&Device::cpu()), ["f32", "f16", "bf16", "int8"]);
        assert_eq!(words(&card("75")), ["f32", "f16"]);
        assert!(card("75").check(Dtype::F16).is_ok());
        let error = card("75").check(Dtype::Bf16).unwrap_err().to_string();
        let expected = "cuda:0 (a card, kernels for compute capability 7.5) does not support bf16: expected f32, f16";
        assert_eq!(error, expected);
        assert_eq!(capability("100"), Some(Capability { major: 10, minor: 0 }));
        assert!(dtypes(capability("80").unwrap()).contains(&Dtype::Bf16));
    }

    #[test]
    fn a_device_shows_that_it_computes() {
        assert_eq!(Device::cpu().self_test().unwrap(), "the CPU");
        let expected = "a card, kernels for compute capability 7.5";
        assert_eq!(card("75").self_test().unwrap(), expected);
    }

    #[test]
    fn names_of_devices() {
        assert_eq!(Device::open("cpu").unwrap().name(), "cpu");
        for name in ["gpu", "cuda", "cuda:x", "cuda:-1"] {
            assert!(matches!(Device::open(name), Err(Error::Unknown(_))), "{name}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_for_the_cpu_says_which_build_has_gpus() {
        let error = Device::open("cuda:0").unwrap_err().to_string();
        assert!(error.contains("use the build for NVIDIA GPUs"), "{error}");
    }
}
