//! What a cell was measured under, as the comparability gate asks it.

use crate::schema::{Dataset, Engine, Entry, Environment, Host, SCHEMA_VERSION};
use model::generation::Settings;
use stats::comparison::gate::Conditions;
use std::collections::BTreeSet;

pub fn conditions(dataset: &Dataset, environment: &Environment, entry: &Entry) -> Conditions {
    let generation = &environment.generation;
    let engine = entry.engine.as_ref();
    let weights = engine.map(|engine| {
        // The weights behind an endpoint aren't visible: its address identifies them.
        let model = engine.model_sha256.as_ref().or(engine.endpoint.as_ref());
        let adapter = engine.adapter_sha256.as_deref().unwrap_or_default();
        format!("{} {adapter}", model.map_or("", String::as_str))
    });
    let hosts: Vec<&Host> =
        environment.hosts.iter().filter(|host| host.targets.contains(&entry.target)).collect();
    // A processor that infers doesn't mind what drives a GPU beside it.
    let driver = match entry.device.as_deref() {
        Some("cpu") => Some("none, on the processor".to_owned()),
        Some(_) => {
            let gpus = hosts.iter().flat_map(|host| &host.gpus);
            joined(gpus.filter_map(|gpu| gpu.driver.as_deref()))
        }
        None => None,
    };
    let decoding = engine.and_then(|engine| engine.decoding.as_ref());
    let limit = generation
        .max_new_tokens
        .or(decoding.map(|decoding| decoding.max_new_tokens))
        .unwrap_or(Settings::MAX_NEW_TOKENS);
    let summary = engine.map_or(Engine::GREEDY, Engine::decoding_summary);
    Conditions {
        sample_ids: Some(dataset.sample_ids_sha256.clone()),
        data_hash: Some(dataset.sha256.clone()),
        prompt: engine
            .and_then(|engine| engine.prompt.clone())
            .or_else(|| generation.prompt.clone()),
        system: engine.map(|engine| {
            engine.system.as_ref().map_or_else(|| "none".to_owned(), |text| format!("\"{text}\""))
        }),
        tokenizer: engine.and_then(|engine| engine.tokenizer_sha256.clone()),
        generation_limits: Some(format!(
            "{} in, {limit} out, stop at {}",
            generation.max_input_tokens, generation.stop
        )),
        generation: Some(summary.to_owned()),
        engine: engine.map(|engine| engine.implementation().to_owned()),
        schema_version: Some(SCHEMA_VERSION.to_string()),
        weights: weights.map(|weights| weights.trim_end().to_owned()),
        driver,
        governor: joined(hosts.iter().filter_map(|host| host.governor.as_deref())),
        dtype: Some(entry.dtype.clone()),
        kernel: engine.map(|engine| engine.kernel.clone()),
        agent_version: joined(
            hosts.iter().flat_map(|host| &host.agent_versions).map(String::as_str),
        ),
        measured_on: Some(entry.measured_on.clone()).filter(|found| found != "unknown"),
    }
}

/// Each word once; null where there is none.
fn joined<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let words: BTreeSet<&str> = words.collect();
    (!words.is_empty()).then(|| words.into_iter().collect::<Vec<_>>().join(", "))
}
