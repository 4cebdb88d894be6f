//! The engines of this build, by name.

pub mod http;

use crate::model_source::Sources;
use engine::files::ModelSource;
use engine::scripted::{self, Scripted};
use engine::{Engine, load_failure};
use generation::Opened;
use http::{Http, Permissions};
use model::endpoint::Place;
use model::engine::{EngineFacts, EngineName, EngineSpec};
use model::failure::Failure;
use model::generation::{Generation, INSTRUCTION, Settings};
use ops::environment::variable;
use seq2seq::device::Device;
use serde::Deserialize;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(Box<generation::Error>),
    #[error("{file}: unsupported model_type `{found}`: expected {expected}")]
    ModelType { file: String, found: String, expected: String },
    #[error("models of the family {family} are supported on the CPU only: use device cpu")]
    CpuOnly { family: String },
    #[error(transparent)]
    Candle(Box<candle::Error>),
    #[error("engine candle computes on the CPU only: use device cpu, or engine native")]
    CandleDevice,
    #[error(
        "engine candle computes one request at a time: use batch size 1 instead of {size}, or engine native"
    )]
    CandleBatch { size: usize },
    #[error("{model} is not computed by this program: remove engine {engine}")]
    NotComputed { model: String, engine: EngineName },
    #[error(transparent)]
    Scripted(#[from] scripted::Error),
    #[error(transparent)]
    Http(Box<http::Error>),
    #[error("`system` is not supported for {model}: remove it")]
    System { model: String },
}

impl From<generation::Error> for Error {
    fn from(error: generation::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<candle::Error> for Error {
    fn from(error: candle::Error) -> Self {
        Self::Candle(Box::new(error))
    }
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        Self::Http(Box::new(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        load_failure(&error)
    }
}

/// Finds and checks the files of a model that this program computes itself.
pub fn open(spec: &EngineSpec, device: &Device) -> Result<Opened, Error> {
    let model = Sources.model(spec).map_err(generation::Error::from)?;
    let text = model.config.text().map_err(generation::Error::from)?;
    let ModelType { model_type } = serde_json::from_str(&text).unwrap_or_default();
    if spec.engine == EngineName::Candle {
        if device.gpu().is_some() {
            return Err(Error::CandleDevice);
        }
        return Ok(candle::open(spec, &Sources, model, model_type.as_deref().unwrap_or("t5"))?);
    }
    match model_type {
        Some(found) if causal::config::MODEL_TYPES.contains(&found.as_str()) => {
            if device.gpu().is_some() {
                return Err(Error::CpuOnly { family: found });
            }
            Ok(causal::open(spec, &Sources, model)?)
        }
        Some(found) if !seq2seq::config::MODEL_TYPES.contains(&found.as_str()) => {
            let file = model.config.name().to_owned();
            let others = seq2seq::config::MODEL_TYPES.iter().chain(&causal::config::MODEL_TYPES);
            let expected = others.copied().collect::<Vec<_>>().join(", ");
            Err(Error::ModelType { file, found, expected })
        }
        // Without a type it is taken for T5's, and one that is no JSON is refused there.
        _ => Ok(seq2seq::open(spec, &Sources, model, device)?),
    }
}

/// Checks that an engine can decode this many requests together.
pub fn check_batch_size(engine: EngineName, size: usize) -> Result<(), Error> {
    match engine {
        EngineName::Candle if size > 1 => Err(Error::CandleBatch { size }),
        EngineName::Candle | EngineName::Native => Ok(()),
    }
}

/// The key of a model's `config.json` that decides the family.
#[derive(Default, Deserialize)]
struct ModelType {
    model_type: Option<String>,
}

/// Finds, checks and hashes the files of an engine without loading it. Returns its facts for each
/// prompt with settings that it will be asked for. Sends an endpoint one probe request, with what
/// `permissions` allow.
pub fn inspect(
    spec: &EngineSpec,
    asked: &[&Generation],
    device: &Device,
    permissions: &Permissions,
) -> Result<Vec<Result<EngineFacts, Error>>, Error> {
    let facts = match spec.model.split_once(':') {
        Some(("scripted", _)) => Scripted::load(spec)?.facts().clone(),
        _ if Place::of(&spec.model).is_some() => {
            Http::open(spec, permissions, &variable)?.probed(asked)?.facts().clone()
        }
        _ => {
            let opened = open(spec, device)?.serves_text()?;
            return Ok(asked.iter().map(|asked| Ok(opened.asked_for(asked)?)).collect());
        }
    };
    let prompted = |asked: &&Generation| {
        let prompt = Some(asked.prompt_or(INSTRUCTION).to_owned());
        let system = asked.settings.system.clone();
        Ok(EngineFacts { prompt, system, ..facts.clone() })
    };
    Ok(asked.iter().map(prompted).collect())
}

/// Loads an engine like [`load`], after checking that it can be asked for `settings`.
pub fn load_for(
    settings: &Settings,
    spec: &EngineSpec,
    device: &Device,
    threads: usize,
    permissions: &Permissions,
) -> Result<Box<dyn Engine>, Error> {
    let is_computed = !spec.model.starts_with("scripted:") && Place::of(&spec.model).is_none();
    if is_computed {
        let opened = open(spec, device)?.serves_text()?;
        opened.decoding(settings)?;
        return Ok(Box::new(opened.load(threads)?));
    }
    if spec.engine != EngineName::default() {
        return Err(Error::NotComputed { model: spec.model.clone(), engine: spec.engine });
    }
    if settings.system.is_some() {
        return Err(Error::System { model: spec.model.clone() });
    }
    load(spec, device, threads, permissions)
}

/// Loads an engine that computes on `device` with `threads` threads of its own.
pub fn load(
    spec: &EngineSpec,
    device: &Device,
    threads: usize,
    permissions: &Permissions,
) -> Result<Box<dyn Engine>, Error> {
    match spec.model.split_once(':') {
        Some(("scripted", _)) => Ok(Box::new(Scripted::load(spec)?)),
        _ if Place::of(&spec.model).is_some() => {
            Ok(Box::new(Http::open(spec, permissions, &variable)?))
        }
        _ => Ok(Box::new(open(spec, device)?.serves_text()?.load(threads)?)),
    }
}
