//! What a cell was measured under, as the comparability gate asks it.

use super::view::{Dataset, Entry, Environment, SCHEMA_VERSION};
use crate::statistics::comparison::gate::Conditions;

/// The conditions of an entry's cells.
pub(super) fn conditions(
    dataset: &Dataset,
    environment: &Environment,
    entry: &Entry,
) -> Conditions {
    let generation = &environment.generation;
    let engine = entry.engine.as_ref();
    let weights = engine.map(|engine| {
        format!("{} {}", engine.model_sha256, engine.adapter_sha256.as_deref().unwrap_or_default())
    });
    let hosts = environment.hosts.iter().filter(|host| host.targets.contains(&entry.target));
    let mut versions: Vec<&str> =
        hosts.flat_map(|host| &host.agent_versions).map(String::as_str).collect();
    versions.sort_unstable();
    versions.dedup();
    Conditions {
        sample_ids: Some(dataset.sample_ids_sha256.clone()),
        data_hash: Some(dataset.sha256.clone()),
        prompt: Some(generation.prompt.clone()),
        tokenizer: engine.and_then(|engine| engine.tokenizer_sha256.clone()),
        generation_limits: Some(format!(
            "{} in, {} out, stop at {}",
            generation.max_input_tokens, generation.max_new_tokens, generation.stop
        )),
        schema_version: Some(SCHEMA_VERSION.to_string()),
        weights: weights.map(|weights| weights.trim_end().to_owned()),
        driver: None,
        governor: None,
        dtype: Some(entry.dtype.clone()),
        kernel: engine.map(|engine| engine.kernel.clone()),
        agent_version: (!versions.is_empty()).then(|| versions.join(", ")),
        measured_on: Some(entry.measured_on.clone()).filter(|found| found != "unknown"),
    }
}
