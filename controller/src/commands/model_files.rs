//! What the files of models on this machine ask for and no engine does is refused before anything
//! starts. Agents inspect all other files.

use anyhow::{Context, anyhow, bail};
use matrix::{Matrix, Model};
use model::engine::EngineName;
use model::generation::Settings;
use model::unsupported_generation::{check, check_sampling};
use ops::text_file;
use serde_json::{Map, Value};
use std::path::Path;

/// Checks all models, and reports every one that can't be run.
pub(super) fn check_all(matrix: &Matrix) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for model in &matrix.models {
        if let Err(error) = check_one(matrix, model) {
            problems.push(format!("{error:#}"));
        }
    }
    if problems.is_empty() { Ok(()) } else { bail!(problems.join("\n")) }
}

fn check_one(matrix: &Matrix, model: &Model) -> anyhow::Result<()> {
    let folder = Path::new(&model.id);
    if !folder.is_absolute() || !folder.is_dir() {
        return Ok(());
    }
    check_engine(model, folder)?;
    // As in transformers: the keys of config.json count where there is no other file.
    let names = ["generation_config.json", "config.json"];
    let Some(file) = names.map(|name| folder.join(name)).into_iter().find(|file| file.is_file())
    else {
        return Ok(());
    };
    let place = || format!("model {}: {}", model.name, file.display());
    let text = text_file::read(&file).with_context(place)?;
    let keys: Map<String, Value> = serde_json::from_str(&text).with_context(place)?;
    check(&keys).with_context(place)?;
    if matrix.asked(model, &Settings::default()).settings.samples() {
        check_sampling(&keys).with_context(place)?;
    }
    Ok(())
}

/// Checks that the engine has the family of the model.
fn check_engine(model: &Model, folder: &Path) -> anyhow::Result<()> {
    if model.engine != EngineName::Candle {
        return Ok(());
    }
    let file = folder.join("config.json");
    let Ok(text) = text_file::read(&file) else { return Ok(()) };
    let place = || format!("model {}: {}", model.name, file.display());
    let keys: Map<String, Value> = serde_json::from_str(&text).with_context(place)?;
    let Some(found) = keys.get("model_type").and_then(Value::as_str) else { return Ok(()) };
    if EngineName::OF_CANDLE.contains(&found) {
        return Ok(());
    }
    let expected = EngineName::OF_CANDLE.join(", ");
    let problem =
        format!("engine candle has no model_type `{found}`: expected {expected}, or engine native");
    Err(anyhow!(problem)).with_context(place)
}
