//! One row of a model of candle: a prompt in, its next tokens out.

use super::blocks;
use super::settings::{self, Settings};
use ::checkpoint::Tensors;
use ::checkpoint::lora::Adapter;
use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{llama, qwen2, qwen3, t5};
use causal::config::Family;
use generation::compute::{self as seam, Compute, NextToken};
use model::failure::{Failure, Kind, Retry};
use std::collections::HashMap;

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Checkpoint(#[from] ::checkpoint::Error),
    #[error("candle cannot load the model")]
    Candle(#[from] candle_core::Error),
    #[error("cannot start {threads} threads")]
    Threads { threads: usize, source: rayon::ThreadPoolBuildError },
    #[error("engine candle has no unmerged adapters")]
    Adapter,
    #[error(
        "candle computes this model with {found} threads of its own instead of {asked}: start the agent with CANDLE_NUM_THREADS={asked}"
    )]
    OwnThreads { found: usize, asked: usize },
}

enum Model {
    T5(Box<t5::T5ForConditionalGeneration>),
    Qwen2(Box<qwen2::ModelForCausalLM>),
    Qwen3(Box<qwen3::ModelForCausalLM>),
    Llama(Box<Llama>),
    Blocks(Box<blocks::Model>),
}

/// Its cache is apart from the model, and emptied by a copy of an empty one.
struct Llama {
    model: llama::Llama,
    empty: llama::Cache,
    cache: llama::Cache,
}

/// What the next step feeds besides its token.
enum State {
    Idle,
    /// The output of T5's encoder.
    Encoded(Tensor),
    /// The tokens of a prompt that are not in the cache, and how many are.
    Continued {
        waiting: Vec<u32>,
        cached: usize,
    },
}

pub(super) struct OneRow {
    model: Model,
    state: State,
    /// candle takes the threads of the pool that it is called in.
    threads: rayon::ThreadPool,
    kernel: String,
    weight_bytes: u64,
    /// Of the keys and values of one position.
    position_bytes: u64,
    cache_bytes: u64,
}

impl Model {
    /// With the size of its weights in bytes.
    fn load(settings: &Settings, tensors: &Tensors) -> Result<(Self, u64), Error> {
        match settings {
            Settings::Blocks(config) => {
                let (model, weight_bytes) = blocks::Model::load(config, tensors)?;
                Ok((Self::Blocks(Box::new(model)), weight_bytes))
            }
            Settings::T5(_) | Settings::Causal(_) => Self::load_values(settings, tensors),
        }
    }

    fn load_values(settings: &Settings, tensors: &Tensors) -> Result<(Self, u64), Error> {
        let device = Device::Cpu;
        let mut by_name = HashMap::new();
        let mut weight_bytes = 0;
        for (name, shape) in tensors.shapes() {
            let values = tensors.tensor(name)?;
            weight_bytes += 4 * values.len() as u64;
            by_name.insert(name.clone(), Tensor::from_vec(values, shape.as_slice(), &device)?);
        }
        let weights = VarBuilder::from_tensors(by_name, DType::F32, &device);
        let head = settings::Head::of(tensors);
        let model = match settings {
            Settings::T5(config) => {
                let config = settings::t5(config, head);
                Self::T5(Box::new(t5::T5ForConditionalGeneration::load(weights, &config)?))
            }
            Settings::Causal(config) | Settings::Blocks(config) => match config.family {
                Family::Qwen2 => {
                    let config = settings::qwen2(config, head);
                    Self::Qwen2(Box::new(qwen2::ModelForCausalLM::new(&config, weights)?))
                }
                Family::Qwen3 => {
                    let config = settings::qwen3(config, head);
                    Self::Qwen3(Box::new(qwen3::ModelForCausalLM::new(&config, weights)?))
                }
                Family::Llama | Family::Mistral => {
                    let config = settings::llama(config, head);
                    let empty = llama::Cache::new(true, DType::F32, &config, &device)?;
                    let model = llama::Llama::load(weights, &config)?;
                    Self::Llama(Box::new(Llama { model, cache: empty.clone(), empty }))
                }
            },
        };
        Ok((model, weight_bytes))
    }
}

impl OneRow {
    pub(super) fn load(
        settings: &Settings,
        tensors: &Tensors,
        threads: usize,
    ) -> Result<Self, Error> {
        if settings.has_own_threads() {
            let found = super::own_threads();
            if found != threads {
                return Err(Error::OwnThreads { found, asked: threads });
            }
        }
        let (model, weight_bytes) = Model::load(settings, tensors)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        Ok(Self {
            model,
            state: State::Idle,
            threads: pool.map_err(|source| Error::Threads { threads, source })?,
            kernel: settings.kernel(),
            weight_bytes,
            position_bytes: settings.position_bytes(),
            cache_bytes: 0,
        })
    }

    fn begin(&mut self, prompt: &[u32]) -> candle_core::Result<()> {
        let Self { model, threads, .. } = self;
        self.state = match model {
            Model::T5(model) => threads.install(|| {
                model.clear_kv_cache();
                Ok::<_, candle_core::Error>(State::Encoded(model.encode(&row(prompt)?)?))
            })?,
            model => {
                match model {
                    Model::T5(_) => {}
                    Model::Qwen2(model) => model.clear_kv_cache(),
                    Model::Qwen3(model) => model.clear_kv_cache(),
                    Model::Llama(llama) => llama.cache.clone_from(&llama.empty),
                    Model::Blocks(model) => model.clear(),
                }
                // Its last token is that of the first step.
                let waiting = prompt[..prompt.len() - 1].to_vec();
                State::Continued { waiting, cached: 0 }
            }
        };
        Ok(())
    }

    /// `[vocabulary]`, f32.
    fn logits(&mut self, token: u32) -> candle_core::Result<Tensor> {
        let Self { model, state, threads, .. } = self;
        threads.install(|| {
            let logits = match (&mut *model, &mut *state) {
                (Model::T5(model), State::Encoded(encoded)) => {
                    model.decode(&row(&[token])?, encoded)?
                }
                (model, State::Continued { waiting, cached }) => {
                    waiting.push(token);
                    let (ids, offset) = (row(waiting)?, *cached);
                    *cached += waiting.len();
                    waiting.clear();
                    match model {
                        Model::Qwen2(model) => model.forward(&ids, offset)?,
                        Model::Qwen3(model) => model.forward(&ids, offset)?,
                        Model::Llama(llama) => {
                            llama.model.forward(&ids, offset, &mut llama.cache)?
                        }
                        Model::Blocks(model) => model.forward(&ids, offset)?,
                        Model::T5(_) => unreachable!("T5 has an encoder"),
                    }
                }
                _ => unreachable!("encode comes before step"),
            };
            logits.flatten_all()
        })
    }

    fn best(&mut self, token: u32) -> candle_core::Result<NextToken> {
        let logits = self.logits(token)?;
        // As candle's own `LogitsProcessor` chooses without a temperature.
        let id = logits.argmax(D::Minus1)?.to_scalar::<u32>()?;
        let logit = logits.get(usize::try_from(id).unwrap_or(usize::MAX))?.to_scalar()?;
        Ok(NextToken { id, logit })
    }
}

/// `[1, ids]`
fn row(ids: &[u32]) -> candle_core::Result<Tensor> {
    Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)
}

fn failure(error: &candle_core::Error) -> Failure {
    Failure { retry: Retry::Never, kind: Kind::Internal, detail: format!("candle: {error}") }
}

/// The only row of a batch.
fn only<T: Copy>(rows: &[T]) -> Result<T, Failure> {
    match rows {
        [row] => Ok(*row),
        _ => {
            let count = rows.len();
            let detail = format!(
                "engine candle computes one request at a time, found {count}: use a batch size of 1, or \
                 engine native"
            );
            Err(Failure { retry: Retry::Never, kind: Kind::Model, detail })
        }
    }
}

impl Compute for OneRow {
    fn encode(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        let prompt = only(prompts)?;
        let positions = match self.model {
            Model::T5(_) => max_steps,
            _ => prompt.len() - 1 + max_steps,
        };
        self.cache_bytes = self.cache_bytes.max(self.position_bytes * positions as u64);
        self.begin(prompt).map_err(|error| failure(&error))
    }

    fn continues_prompts(&self) -> bool {
        !matches!(self.model, Model::T5(_))
    }

    fn step(&mut self, tokens: &[u32], best: &mut Vec<NextToken>) -> Result<(), Failure> {
        let next = self.best(only(tokens)?).map_err(|error| failure(&error))?;
        best.clear();
        best.push(next);
        Ok(())
    }

    fn step_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Failure> {
        let token = only(tokens)?;
        self.logits(token).and_then(|logits| logits.to_vec1()).map_err(|error| failure(&error))
    }

    fn retain(&mut self, rows: &[usize]) -> Result<(), Failure> {
        if rows.is_empty() {
            self.state = State::Idle;
        }
        Ok(())
    }

    fn reorder(&mut self, _: &[usize]) -> Result<(), Failure> {
        unreachable!("no beams for a model that is greedy only")
    }

    fn adapt(&mut self, adapter: Option<&Adapter>) -> Result<(), seam::Error> {
        match adapter {
            None => Ok(()),
            Some(_) => Err(seam::Error::Device(Error::Adapter.into())),
        }
    }

    fn kernel(&self) -> String {
        self.kernel.clone()
    }

    fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    fn adapter_bytes(&self) -> u64 {
        0
    }

    fn cache_bytes(&self) -> u64 {
        self.cache_bytes
    }
}
