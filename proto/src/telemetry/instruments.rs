//! What an agent can observe, and what it can't.

use crate::text::plain;
use crate::wire;
use serde::{Deserialize, Serialize};

/// Longer texts of an agent are cut to so many characters.
const MAX_TEXT: usize = 500;

/// What an agent can observe beside its samples, and what it can't.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Instruments {
    /// The GPUs of its machine, used or not.
    pub gpus: Vec<Gpu>,
    /// The library that reads them; null where none was found.
    pub nvml: Option<NvmlLibrary>,
    /// What can't be measured here.
    pub absences: Vec<Absence>,
}

/// A GPU as its driver describes it. Null is "not known".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// Tells GPUs apart.
    pub uuid: String,
    /// Such as `Tesla T4`.
    pub name: String,
    /// Such as `cuda:0`, the name by which an engine uses it.
    pub device: Option<String>,
    /// The driver's version.
    pub driver: Option<String>,
    /// The newest CUDA that the driver runs.
    pub cuda_driver: Option<String>,
    /// Such as `7.5`.
    pub compute_capability: Option<String>,
    /// Of the card.
    pub memory_bytes: Option<u64>,
    /// In force when the agent started.
    pub power_limit_watts: Option<f64>,
    /// The fastest clock of its multiprocessors.
    pub sm_max_mhz: Option<f64>,
    /// The fastest clock of its memory.
    pub memory_max_mhz: Option<f64>,
    /// Whether memory errors are corrected.
    pub is_ecc_enabled: Option<bool>,
    /// Whether it is divided into instances.
    pub is_mig_enabled: Option<bool>,
    /// Whether the driver stays loaded without users.
    pub is_persistent: Option<bool>,
}

/// The library that reads the GPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvmlLibrary {
    /// The file.
    pub path: String,
    /// Of the file; empty where it couldn't be read.
    pub sha256: String,
    /// The user named it, so it isn't the system's own.
    pub is_foreign: bool,
}

/// Something that can't be measured here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// Such as `gpu` or `cpu_energy`.
    pub what: String,
    /// Why.
    pub reason: String,
    /// What to do; null where nothing helps.
    pub remedy: Option<String>,
}

fn clean(text: &str) -> String {
    plain(text, MAX_TEXT)
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| clean(text))
}

impl From<Instruments> for wire::Instruments {
    fn from(instruments: Instruments) -> Self {
        Self {
            gpus: instruments.gpus.into_iter().map(Into::into).collect(),
            nvml: instruments.nvml.map(|library| wire::NvmlLibrary {
                path: library.path,
                sha256: library.sha256,
                is_foreign: library.is_foreign,
            }),
            absences: instruments.absences.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<wire::Instruments> for Instruments {
    fn from(wire: wire::Instruments) -> Self {
        Self {
            gpus: wire.gpus.into_iter().map(Into::into).collect(),
            nvml: wire.nvml.map(|library| NvmlLibrary {
                path: clean(&library.path),
                sha256: clean(&library.sha256),
                is_foreign: library.is_foreign,
            }),
            absences: wire.absences.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Gpu> for wire::Gpu {
    fn from(gpu: Gpu) -> Self {
        Self {
            uuid: gpu.uuid,
            name: gpu.name,
            device: gpu.device.unwrap_or_default(),
            driver: gpu.driver,
            cuda_driver: gpu.cuda_driver,
            compute_capability: gpu.compute_capability,
            memory_bytes: gpu.memory_bytes,
            power_limit_watts: gpu.power_limit_watts,
            sm_max_mhz: gpu.sm_max_mhz,
            memory_max_mhz: gpu.memory_max_mhz,
            is_ecc_enabled: gpu.is_ecc_enabled,
            is_mig_enabled: gpu.is_mig_enabled,
            is_persistent: gpu.is_persistent,
        }
    }
}

impl From<wire::Gpu> for Gpu {
    fn from(wire: wire::Gpu) -> Self {
        Self {
            uuid: clean(&wire.uuid),
            name: clean(&wire.name),
            device: given(&wire.device),
            driver: wire.driver.as_deref().and_then(given),
            cuda_driver: wire.cuda_driver.as_deref().and_then(given),
            compute_capability: wire.compute_capability.as_deref().and_then(given),
            memory_bytes: wire.memory_bytes,
            power_limit_watts: wire.power_limit_watts,
            sm_max_mhz: wire.sm_max_mhz,
            memory_max_mhz: wire.memory_max_mhz,
            is_ecc_enabled: wire.is_ecc_enabled,
            is_mig_enabled: wire.is_mig_enabled,
            is_persistent: wire.is_persistent,
        }
    }
}

impl From<Absence> for wire::Absence {
    fn from(absence: Absence) -> Self {
        Self {
            what: absence.what,
            reason: absence.reason,
            remedy: absence.remedy.unwrap_or_default(),
        }
    }
}

impl From<wire::Absence> for Absence {
    fn from(wire: wire::Absence) -> Self {
        Self { what: clean(&wire.what), reason: clean(&wire.reason), remedy: given(&wire.remedy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruments_survive_the_wire() {
        let absence = |remedy: Option<&str>| Absence {
            what: "gpu".to_owned(),
            reason: "no driver".to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        let instruments = Instruments {
            gpus: vec![Gpu {
                uuid: "GPU-1".to_owned(),
                driver: Some("580".to_owned()),
                is_ecc_enabled: Some(false),
                ..Gpu::default()
            }],
            nvml: Some(NvmlLibrary {
                path: "/x.so".to_owned(),
                sha256: "0".repeat(64),
                is_foreign: true,
            }),
            absences: vec![absence(None), absence(Some("load one"))],
        };
        assert_eq!(Instruments::from(wire::Instruments::from(instruments.clone())), instruments);
    }
}
