//! The machines, each once.

use super::super::view::{self, Environment, Host};
use super::{MIB, Read};
use proto::generation::Stop;
use std::collections::BTreeMap;

pub(super) fn environment(read: &Read<'_>) -> Environment {
    let targets = &read.campaign.matrix.targets;
    let mut hosts: BTreeMap<&str, Host> = BTreeMap::new();
    for agent in read.agents {
        let facts = &agent.facts;
        let host = hosts.entry(agent.host_id.as_str()).or_insert_with(|| Host {
            id: agent.host_id.to_string(),
            name: facts.host_name.clone(),
            targets: Vec::new(),
            instance_type: facts.instance_type.clone(),
            cpu_model: facts.cpu_model.clone(),
            logical_cpus: facts.logical_cpus,
            cpu_features: facts.cpu_features.clone(),
            memory_mb: facts.memory_bytes as f64 / MIB,
            gpu_name: facts.gpu_name.clone(),
            kernel: facts.kernel.clone(),
            operating_system: facts.operating_system.clone(),
            agent_versions: Vec::new(),
        });
        let add = |list: &mut Vec<String>, item: &str| {
            if !list.iter().any(|known| known == item) {
                list.push(item.to_owned());
            }
        };
        add(&mut host.targets, targets[agent.target].name.as_str());
        add(&mut host.agent_versions, &facts.agent_version);
    }
    let generation = &read.campaign.matrix.generation;
    Environment {
        hosts: hosts.into_values().collect(),
        generation: view::Generation {
            prompt: generation.prompt.clone(),
            max_input_tokens: generation.max_input_tokens,
            max_new_tokens: generation.max_new_tokens,
            stop: match generation.stop {
                Stop::Eos => "eos",
                Stop::Reference => "reference",
            }
            .to_owned(),
        },
    }
}
