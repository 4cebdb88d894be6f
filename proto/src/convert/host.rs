//! A machine. Text is truncated and escaped where it enters.

use crate::wire;
use model::host::HostFacts;
use model::ids;
use model::text::plain;

/// More CPU features than select kernels.
const MAX_FEATURES: usize = 64;

fn clean(text: &str) -> String {
    plain(text, ids::MAX_BYTES)
}

fn given(text: &str) -> Option<String> {
    Some(clean(text)).filter(|text| !text.is_empty())
}

fn positive(number: f64) -> Option<f64> {
    Some(number).filter(|number| number.is_finite() && *number > 0.0)
}

impl wire::Host {
    pub fn new(boot_id: String, facts: HostFacts) -> Self {
        Self {
            boot_id,
            name: facts.name,
            instance_type: facts.instance_type.unwrap_or_default(),
            cpu_model: facts.cpu_model.unwrap_or_default(),
            logical_cpus: facts.logical_cpus,
            memory_bytes: facts.memory_bytes,
            kernel: facts.kernel,
            operating_system: facts.operating_system,
            cpu_features: facts.cpu_features,
            simulated: facts.is_simulated,
            physical_cores: facts.physical_cores.unwrap_or_default(),
            cpu_max_mhz: facts.cpu_max_mhz.unwrap_or_default(),
            governor: facts.governor.unwrap_or_default(),
            turbo: facts.turbo.unwrap_or_default(),
            virtualization: facts.virtualization.unwrap_or_default(),
            container: facts.container.unwrap_or_default(),
            power_supply: facts.power_supply.unwrap_or_default(),
            cpu_limit_cores: facts.cpu_limit_cores.unwrap_or_default(),
            memory_limit_bytes: facts.memory_limit_bytes.unwrap_or_default(),
        }
    }
}

impl From<wire::Host> for HostFacts {
    fn from(host: wire::Host) -> Self {
        Self {
            name: clean(&host.name),
            instance_type: given(&host.instance_type),
            cpu_model: given(&host.cpu_model),
            logical_cpus: host.logical_cpus,
            memory_bytes: host.memory_bytes,
            kernel: clean(&host.kernel),
            operating_system: clean(&host.operating_system),
            cpu_features: host.cpu_features.iter().take(MAX_FEATURES).map(|it| clean(it)).collect(),
            is_simulated: host.simulated,
            physical_cores: Some(host.physical_cores).filter(|cores| *cores > 0),
            cpu_max_mhz: positive(host.cpu_max_mhz),
            governor: given(&host.governor),
            turbo: given(&host.turbo),
            virtualization: given(&host.virtualization),
            container: given(&host.container),
            power_supply: given(&host.power_supply),
            cpu_limit_cores: positive(host.cpu_limit_cores),
            memory_limit_bytes: Some(host.memory_limit_bytes).filter(|bytes| *bytes > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive_the_wire() {
        let facts = HostFacts {
            name: "box".to_owned(),
            instance_type: Some("ml.m5.xlarge".to_owned()),
            cpu_model: Some("Neoverse V1".to_owned()),
            cpu_features: vec!["avx2".to_owned()],
            physical_cores: Some(2),
            cpu_max_mhz: Some(4500.0),
            governor: Some("powersave".to_owned()),
            memory_limit_bytes: Some(1 << 30),
            ..HostFacts::default()
        };
        assert_eq!(HostFacts::from(wire::Host::new("b".to_owned(), facts.clone())), facts);
    }

    #[test]
    fn an_unknown_fact_stays_unknown() {
        let facts = HostFacts::from(wire::Host::new("b".to_owned(), HostFacts::default()));
        assert_eq!(facts, HostFacts::default());
    }
}
