//! Facts about a machine, and about the agent on it.

use crate::telemetry::Instruments;
use serde::{Deserialize, Serialize};

/// Facts about a machine, read once when its agent starts. An empty text, a zero or a null is "unknown"; a null limit
/// is "none".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    pub name: String,
    /// The cloud's name, such as `g4dn.xlarge`.
    pub instance_type: Option<String>,
    /// Such as `Neoverse V1`.
    pub cpu_model: Option<String>,
    /// As the system counts them.
    pub logical_cpus: u32,
    pub memory_bytes: u64,
    pub kernel: String,
    pub operating_system: String,
    /// Those that kernels use or could use.
    pub cpu_features: Vec<String>,
    /// Made up for a load test.
    pub is_simulated: bool,
    /// Cores, not hardware threads.
    pub physical_cores: Option<u32>,
    pub cpu_max_mhz: Option<f64>,
    /// The frequency governor, such as `performance`.
    pub governor: Option<String>,
    /// `on` or `off`.
    pub turbo: Option<String>,
    /// The hypervisor, such as `kvm`. Null on bare metal or if hidden.
    pub virtualization: Option<String>,
    /// The container runtime, such as `docker`. Null outside a container.
    pub container: Option<String>,
    /// `mains` or `battery`.
    pub power_supply: Option<String>,
    /// Of the control group.
    pub cpu_limit_cores: Option<f64>,
    /// Of the control group.
    pub memory_limit_bytes: Option<u64>,
}

/// The name of a GPU that is an interpreter: `tests/cuda_standin`.
pub const SOFTWARE_GPU: &str = "Fleetmark software GPU";

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentFacts {
    pub agent_version: String,
    /// Inference threads.
    pub threads: u32,
    /// The GPU that its engines use.
    pub gpu_name: Option<String>,
    pub host: HostFacts,
    /// What the agent can observe beside its samples.
    pub instruments: Instruments,
}
