//! What an agent can observe, and what it can't.

use serde::{Deserialize, Serialize};

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
