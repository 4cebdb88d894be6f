//! The machines, each once.

use super::{MIB, StoredCampaign};
use crate::schema::{self, Environment, Host};
use model::telemetry::Gpu;
use std::collections::BTreeMap;

pub(super) fn environment(read: &StoredCampaign<'_>) -> Environment {
    let targets = &read.campaign.matrix.targets;
    let mut hosts: BTreeMap<&str, Host> = BTreeMap::new();
    for agent in read.agents {
        let facts = &agent.facts;
        let host = &facts.host;
        let entry = hosts.entry(agent.host_id.as_str()).or_insert_with(|| Host {
            id: agent.host_id.to_string(),
            name: host.name.clone(),
            targets: Vec::new(),
            instance_type: host.instance_type.clone(),
            cpu_model: host.cpu_model.clone(),
            logical_cpus: host.logical_cpus,
            cpu_features: host.cpu_features.clone(),
            memory_mb: host.memory_bytes as f64 / MIB,
            gpu_name: facts.gpu_name.clone(),
            kernel: host.kernel.clone(),
            operating_system: host.operating_system.clone(),
            agent_versions: Vec::new(),
            physical_cores: host.physical_cores,
            cpu_max_mhz: host.cpu_max_mhz,
            governor: host.governor.clone(),
            turbo: host.turbo.clone(),
            virtualization: host.virtualization.clone(),
            container: host.container.clone(),
            power_supply: host.power_supply.clone(),
            cpu_limit_cores: host.cpu_limit_cores,
            memory_limit_mb: host.memory_limit_bytes.map(|bytes| bytes as f64 / MIB),
            gpus: facts.instruments.gpus.iter().map(gpu).collect(),
            nvml_library: facts.instruments.nvml.as_ref().map(|library| schema::NvmlLibrary {
                path: library.path.clone(),
                sha256: library.sha256.clone(),
                is_foreign: library.is_foreign,
            }),
            not_measurable: facts.instruments.absences.iter().map(Into::into).collect(),
        });
        let add = |list: &mut Vec<String>, item: &str| {
            if !list.iter().any(|known| known == item) {
                list.push(item.to_owned());
            }
        };
        add(&mut entry.targets, targets[agent.target].name.as_str());
        add(&mut entry.agent_versions, &facts.agent_version);
        // Each agent of a machine uses another GPU.
        for used in facts.instruments.gpus.iter().filter(|gpu| gpu.device.is_some()) {
            let free = |gpu: &&mut schema::Gpu| gpu.uuid == used.uuid && gpu.device.is_none();
            if let Some(gpu) = entry.gpus.iter_mut().find(free) {
                gpu.device.clone_from(&used.device);
            }
        }
    }
    let generation = &read.campaign.matrix.generation;
    Environment {
        hosts: hosts.into_values().collect(),
        generation: schema::Generation {
            prompt: generation.prompt.clone(),
            system: generation.settings.system.clone(),
            max_input_tokens: generation.max_input_tokens,
            max_new_tokens: generation.settings.token_limit_asked(),
            stop: generation.stop.to_string(),
        },
    }
}

fn gpu(gpu: &Gpu) -> schema::Gpu {
    let gpu = gpu.clone();
    schema::Gpu {
        uuid: gpu.uuid,
        name: gpu.name,
        device: gpu.device,
        driver: gpu.driver,
        cuda_driver: gpu.cuda_driver,
        compute_capability: gpu.compute_capability,
        memory_mb: gpu.memory_bytes.map(|bytes| bytes as f64 / MIB),
        power_limit_watts: gpu.power_limit_watts,
        sm_max_mhz: gpu.sm_max_mhz,
        memory_max_mhz: gpu.memory_max_mhz,
        is_ecc_enabled: gpu.is_ecc_enabled,
        is_mig_enabled: gpu.is_mig_enabled,
        is_persistent: gpu.is_persistent,
        parent_uuid: gpu.parent_uuid,
    }
}
