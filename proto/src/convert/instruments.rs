//! What an agent can observe.

use crate::wire;
use model::telemetry::{Absence, Gpu, Instruments, NvmlLibrary};
use model::text::plain;

/// Longer texts of an agent are cut to so many characters.
const MAX_TEXT: usize = 500;

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
            parent_uuid: gpu.parent_uuid,
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
            parent_uuid: wire.parent_uuid.as_deref().and_then(given),
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
                parent_uuid: Some("GPU-2".to_owned()),
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
