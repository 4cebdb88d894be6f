//! `agent serve`: an engine behind HTTP, compatible with SageMaker's containers.

use super::join::{ParentLiveness, stop_signal};
use crate::engines::{self, http::Permissions};
use crate::http_server::{self, Ending, Limits, RequestSampling};
use crate::options::SearchOptions;
use anyhow::Context;
use clap::Args;
use model::engine::{AdapterMode, Dtype, EngineName, EngineSpec};
use ops::{program::Exit, terminal};
use seq2seq::device::Device;
use std::{net::SocketAddr, num::NonZeroUsize};
use tokio::net::TcpListener;

const EXAMPLES: &str = "\
GET /ping responds 200 once the model is loaded. POST /invocations takes
{\"inputs\": \"Summarize: ...\", \"parameters\": {\"max_new_tokens\": 60}}, where inputs is a whole
prompt or a list of them, and responds [{\"generated_text\", \"input_tokens\", \"output_tokens\",
\"finish\", \"server_ms\"}]. GET /metrics is for Prometheus. After SIGTERM, accepted requests are
still answered.

Examples:
  agent serve --model builtin:tiny
  agent serve --model /opt/ml/model --listen 0.0.0.0:8080 --dtype int8 --batch-size 8
  curl http://127.0.0.1:8080/invocations -H 'content-type: application/json' \\
      -d '{\"inputs\": \"Summarize: Ann: Hi Ben\"}'";

/// Containers get no arguments, so every option can be set in the environment.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Model, as in `agent generate`
    #[arg(long, value_name = "MODEL", env = "FLEETMARK_MODEL", default_value = "/opt/ml/model")]
    model: String,
    /// PEFT LoRA adapter, merged into the model
    #[arg(long, value_name = "ADAPTER", env = "FLEETMARK_ADAPTER")]
    adapter: Option<String>,
    /// Tokenizer, if the model has none or to override it
    #[arg(long, value_name = "FILE", env = "FLEETMARK_TOKENIZER")]
    tokenizer: Option<String>,
    /// Storage and arithmetic of the weights: f32, f16, bf16, int8, q4 or gguf
    #[arg(long, value_name = "DTYPE", env = "FLEETMARK_DTYPE", default_value = "f32")]
    dtype: Dtype,
    /// Implementation: native, or candle (the models of candle-transformers, to compare with)
    #[arg(long, value_name = "ENGINE", env = "FLEETMARK_ENGINE", default_value = "native")]
    engine: EngineName,
    /// Device: cpu, or an NVIDIA GPU: cuda:0, cuda:GPU-UUID or cuda:MIG-UUID
    #[arg(long, value_name = "DEVICE", env = "FLEETMARK_DEVICE", default_value = "cpu")]
    pub device: String,
    /// Inference threads [default: all cores]
    #[arg(long, value_name = "N", env = "FLEETMARK_THREADS")]
    threads: Option<NonZeroUsize>,
    /// Listen address; there is no authentication. SageMaker's containers use 0.0.0.0:8080
    #[arg(long, value_name = "ADDR", env = "FLEETMARK_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Maximum number of queued texts decoded together
    #[arg(long, value_name = "N", env = "FLEETMARK_BATCH_SIZE", default_value = "1")]
    batch_size: NonZeroUsize,
    /// Maximum number of queued texts; more are rejected with 503
    #[arg(long, value_name = "N", env = "FLEETMARK_QUEUE", default_value = "64")]
    queue: NonZeroUsize,
    /// Maximum summary length in tokens
    #[arg(long, value_name = "N", env = "FLEETMARK_MAX_NEW_TOKENS", default_value = "200")]
    max_new_tokens: u32,
    /// Maximum prompt length in tokens, including </s>
    #[arg(long, value_name = "N", env = "FLEETMARK_MAX_INPUT_TOKENS", default_value = "512")]
    max_input_tokens: u32,
    /// Let requests ask for sampling: with a temperature, or with `do_sample`
    #[arg(long, env = "FLEETMARK_ALLOW_SAMPLING")]
    allow_sampling: bool,
    #[command(flatten)]
    search: SearchOptions,
}

pub fn run(options: &Options) -> anyhow::Result<Exit> {
    super::block_on(serve(options))
}

async fn serve(options: &Options) -> anyhow::Result<Exit> {
    engines::check_batch_size(options.engine, options.batch_size.get())?;
    let stopped = stop_signal(&ParentLiveness::None)?;
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}: choose another --listen", options.listen))?;
    let address = listener.local_addr().context("the listener has no address")?;
    let device = Device::open(&options.device)?;
    let threads = super::threads(options.threads);
    let spec = EngineSpec {
        model: options.model.clone(),
        revision: None,
        adapter: options.adapter.clone(),
        adapter_mode: AdapterMode::Merged,
        tokenizer: options.tokenizer.clone(),
        dtype: options.dtype,
        endpoint: None,
        engine: options.engine,
    };
    terminal::note(&format!("listening on http://{address}; loading {}", spec.model));
    let settings = options.search.settings();
    let asked = settings.clone();
    let load = move || {
        let engine = engines::load_for(&asked, &spec, &device, threads, &Permissions::default())?;
        for note in &engine.facts().notes {
            terminal::note(&format!("note: {note}"));
        }
        Ok(engine)
    };
    let serving = format!("serving {} with {threads} threads", options.model);
    let ready = move || terminal::note(&serving);
    let served = http_server::Options {
        limits: Limits {
            max_input_tokens: options.max_input_tokens.max(1),
            max_new_tokens: options.max_new_tokens.max(1),
        },
        settings,
        sampling: if options.allow_sampling {
            RequestSampling::Allowed
        } else {
            RequestSampling::Refused
        },
        queue: options.queue.get(),
        batch_size: options.batch_size.get(),
    };
    let stop = async move {
        stopped.await;
        terminal::note("shutting down after the accepted requests");
    };
    match http_server::serve(listener, served, load, ready, stop).await {
        Ok(Ending::Drained) => terminal::note("stopped"),
        Ok(Ending::TimedOut) => terminal::note("stopped; some requests timed out"),
        // Not the user's error: whatever restarts the service may succeed.
        Err(error @ http_server::Error::Panicked { .. }) => {
            terminal::note(&format!("error: {error}"));
            return Ok(Exit::Bug);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Ok)
}
