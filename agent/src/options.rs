//! Options that several commands have.

use crate::engines::http::Permissions;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use host::Root;
use model::engine::{AdapterMode, Dtype, EngineName, EngineSpec};
use model::generation::{EarlyStopping, Settings};
use std::{num::NonZeroUsize, path::PathBuf};
use telemetry::{InstrumentSources, OpenedGpu};

/// Options that select a model.
#[derive(Debug, Clone, Args)]
pub struct ModelOptions {
    /// Model folder, .gguf file, owner/name[@revision][:FILE.gguf] on the Hugging Face hub,
    /// builtin:tiny, or random weights: dummy:flan-t5-small, dummy:flan-t5-base, dummy:bart-base,
    /// dummy:bart-large-cnn, dummy:qwen2.5-0.5b, dummy:qwen2.5-1.5b, dummy:qwen3-0.6b,
    /// dummy:llama-3.2-1b
    #[arg(long, value_name = "MODEL")]
    pub model: String,
    /// PEFT LoRA adapter: folder, model.tar.gz, owner/name[@revision] on the hub, or
    /// builtin:tiny-minutes
    #[arg(long, value_name = "ADAPTER")]
    pub adapter: Option<String>,
    /// Merge the adapter into the base weights, or keep it separate: merged or unmerged
    #[arg(long, value_name = "MODE", default_value = "merged", requires = "adapter")]
    pub adapter_mode: AdapterMode,
    /// tokenizer.json, its folder, or owner/name on the hub, if the model has none or to override
    /// it
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<String>,
    /// Storage and arithmetic of the weights: f32, f16, bf16, int8, q4 or gguf
    #[arg(long, value_name = "DTYPE", default_value = "f32")]
    pub dtype: Dtype,
    /// Implementation: native, or candle (the models of candle-transformers, to compare with)
    #[arg(long, value_name = "ENGINE", default_value = "native")]
    pub engine: EngineName,
    /// Device: cpu, or an NVIDIA GPU: cuda:0, cuda:GPU-UUID or cuda:MIG-UUID
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Inference threads [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

impl ModelOptions {
    pub fn spec(&self) -> EngineSpec {
        EngineSpec {
            model: self.model.clone(),
            revision: None,
            adapter: self.adapter.clone(),
            adapter_mode: self.adapter_mode,
            tokenizer: self.tokenizer.clone(),
            dtype: self.dtype,
            endpoint: None,
            engine: self.engine,
        }
    }
}

/// Options that choose how tokens are searched: the settings of transformers' generation. Those not
/// given are taken from the model's files.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Generation [default: as the model's files say, or else greedy]")]
pub struct SearchOptions {
    /// Beams of the beam search; 1 is greedy
    #[arg(long, value_name = "N", env = "FLEETMARK_NUM_BEAMS",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(Settings::MOST_BEAMS)))]
    num_beams: Option<u32>,
    /// Exponent of the length by which the score of a beam is divided
    #[arg(long, value_name = "X", env = "FLEETMARK_LENGTH_PENALTY", value_parser = finite,
        allow_negative_numbers = true)]
    length_penalty: Option<f64>,
    /// When a beam search ends that has as many summaries as beams: at once (true), once no beam
    /// is better at its present length (false), or once none can become better (never)
    #[arg(long, value_name = "WHEN", env = "FLEETMARK_EARLY_STOPPING")]
    early_stopping: Option<EarlyStopping>,
    /// Length of token sequences that may occur only once; 0 allows all
    #[arg(long, value_name = "N", env = "FLEETMARK_NO_REPEAT_NGRAM_SIZE")]
    no_repeat_ngram_size: Option<u32>,
    /// Factor against tokens that occurred before; 1 is neutral
    #[arg(long, value_name = "X", env = "FLEETMARK_REPETITION_PENALTY", value_parser = positive)]
    repetition_penalty: Option<f64>,
    /// Minimum summary length in tokens
    #[arg(long, value_name = "N", env = "FLEETMARK_MIN_NEW_TOKENS")]
    min_new_tokens: Option<u32>,
    /// Minimum summary length in tokens, including the decoder's start token
    #[arg(long, value_name = "N", env = "FLEETMARK_MIN_LENGTH", conflicts_with = "min_new_tokens")]
    min_length: Option<u32>,
    /// First input of the decoder
    #[arg(long, value_name = "ID", env = "FLEETMARK_DECODER_START_TOKEN_ID")]
    decoder_start_token_id: Option<u32>,
    /// First token of every summary
    #[arg(long, value_name = "ID", env = "FLEETMARK_FORCED_BOS_TOKEN_ID")]
    forced_bos_token_id: Option<u32>,
    /// Last token of a summary of the maximum length; several are candidates
    #[arg(long, value_name = "ID", env = "FLEETMARK_FORCED_EOS_TOKEN_ID", value_delimiter = ',')]
    forced_eos_token_id: Option<Vec<u32>>,
    /// Tokens that are never generated
    #[arg(long, value_name = "ID", env = "FLEETMARK_SUPPRESS_TOKENS", value_delimiter = ',')]
    suppress_tokens: Option<Vec<u32>>,
    /// Sample tokens instead of taking the best one; never done unless requested
    #[arg(long, env = "FLEETMARK_DO_SAMPLE")]
    do_sample: bool,
    /// Divisor of the scores before sampling
    #[arg(long, value_name = "X", env = "FLEETMARK_TEMPERATURE", value_parser = positive,
        requires = "do_sample")]
    temperature: Option<f64>,
    /// Number of best tokens to sample from; 0 samples from all
    #[arg(long, value_name = "N", env = "FLEETMARK_TOP_K", requires = "do_sample")]
    top_k: Option<u32>,
    /// Probability of the best tokens to sample from, up to 1
    #[arg(long, value_name = "X", env = "FLEETMARK_TOP_P", value_parser = share,
        requires = "do_sample")]
    top_p: Option<f64>,
    /// Seed of sampling; a prompt and a seed always give the same summary [default: 0]
    #[arg(long, value_name = "N", env = "FLEETMARK_SEED", requires = "do_sample")]
    seed: Option<u64>,
    /// Tokens to look up in the prompt and check in one step, up to 16; the summaries stay those of
    /// greedy decoding [default: 0, off]
    #[arg(long, value_name = "N", env = "FLEETMARK_PROMPT_LOOKUP_NUM_TOKENS",
        value_parser = clap::value_parser!(u32).range(..=i64::from(Settings::MOST_DRAFTED)),
        conflicts_with = "do_sample")]
    prompt_lookup_num_tokens: Option<u32>,
    /// System message before the prompt, for a chat model
    #[arg(long, value_name = "TEXT", env = "FLEETMARK_SYSTEM",
        value_parser = NonEmptyStringValueParser::new())]
    system: Option<String>,
}

impl SearchOptions {
    pub fn settings(&self) -> Settings {
        Settings {
            max_new_tokens: None,
            max_length: None,
            min_new_tokens: self.min_new_tokens,
            min_length: self.min_length,
            num_beams: self.num_beams,
            length_penalty: self.length_penalty,
            early_stopping: self.early_stopping,
            no_repeat_ngram_size: self.no_repeat_ngram_size,
            repetition_penalty: self.repetition_penalty,
            decoder_start_token_id: self.decoder_start_token_id,
            forced_bos_token_id: self.forced_bos_token_id,
            forced_eos_token_id: self.forced_eos_token_id.clone(),
            suppress_tokens: self.suppress_tokens.clone(),
            do_sample: self.do_sample.then_some(true),
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            seed: self.seed,
            prompt_lookup_num_tokens: self.prompt_lookup_num_tokens,
            system: self.system.clone(),
        }
    }
}

fn finite(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| "expected a number".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    let number = finite(text).ok().filter(|number| *number > 0.0);
    number.ok_or_else(|| "expected a number above 0".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let number = positive(text).ok().filter(|number| *number <= 1.0);
    number.ok_or_else(|| "expected a number above 0, at most 1".to_owned())
}

/// Options that allow what a matrix asks to send to endpoints.
#[derive(Debug, Clone, Default, Args)]
pub struct EndpointOptions {
    /// Environment variable that a matrix may send to an endpoint as a header; repeatable
    #[arg(long = "endpoint-env", value_name = "NAME")]
    variables: Vec<String>,
    /// Allow endpoints over plain HTTP on other machines
    #[arg(long)]
    allow_plain_http: bool,
}

impl EndpointOptions {
    pub fn permissions(&self) -> Permissions {
        Permissions {
            variables: self.variables.iter().cloned().collect(),
            allows_plain_http: self.allow_plain_http,
        }
    }
}

/// Options that select instruments.
#[derive(Debug, Clone, Args)]
pub struct InstrumentOptions {
    /// NVIDIA management library to use instead of the system's; recorded in the results
    #[arg(long, value_name = "FILE", env = "FLEETMARK_NVML_LIBRARY")]
    pub nvml_library: Option<PathBuf>,
}

impl InstrumentOptions {
    pub fn sources(&self, gpu: Option<OpenedGpu>) -> InstrumentSources {
        InstrumentSources { root: Root::default(), nvml_library: self.nvml_library.clone(), gpu }
    }
}
