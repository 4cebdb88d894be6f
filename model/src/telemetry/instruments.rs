//! The instruments of an agent's machine.

use serde::{Deserialize, Serialize};

/// What an agent can observe beside its samples, and what it can't.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Instruments {
    /// All GPUs of the machine, used or not, each followed by its instances of MIG.
    pub gpus: Vec<Gpu>,
    /// Null if NVML was not found.
    pub nvml: Option<NvmlLibrary>,
    pub absences: Vec<Absence>,
}

/// A GPU, or an instance of MIG, as its driver describes it. Null is "unknown".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    pub uuid: String,
    /// Such as `Tesla T4`.
    pub name: String,
    /// The engines' name for it, such as `cuda:0`.
    pub device: Option<String>,
    pub driver: Option<String>,
    /// The newest CUDA version that the driver supports.
    pub cuda_driver: Option<String>,
    /// Such as `7.5`.
    pub compute_capability: Option<String>,
    pub memory_bytes: Option<u64>,
    /// The enforced limit when the agent started.
    pub power_limit_watts: Option<f64>,
    pub sm_max_mhz: Option<f64>,
    pub memory_max_mhz: Option<f64>,
    pub is_ecc_enabled: Option<bool>,
    pub is_mig_enabled: Option<bool>,
    /// Persistence mode: the driver stays loaded without clients.
    pub is_persistent: Option<bool>,
    /// The GPU that this instance of MIG is a part of; null for a whole GPU. All but `uuid`, `name`,
    /// `device` and `memory_bytes` are facts of that GPU.
    #[serde(default)]
    pub parent_uuid: Option<String>,
}

/// NVIDIA's management library, which reads the GPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvmlLibrary {
    pub path: String,
    /// Empty if the file could not be read.
    pub sha256: String,
    /// Named by the user instead of being the system's own.
    pub is_foreign: bool,
}

/// Something that can't be measured on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// Such as `gpu` or `cpu_energy`.
    pub what: String,
    pub reason: String,
    /// Null if nothing helps.
    pub remedy: Option<String>,
}
