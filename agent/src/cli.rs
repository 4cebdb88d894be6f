//! The command line: words in, one command out.

use crate::commands::{bench, doctor, generate, health, join, serve};
use clap::{Args, Parser, Subcommand};
use host::Root;
use model::engine::{AdapterMode, Dtype, EngineSpec};
use ops::logs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use telemetry::{Places, Visible};

/// Runs T5 inference on one machine and measures it.
#[derive(Debug, Parser)]
#[command(name = "agent", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub log: logs::Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the agent can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a controller: measure what it leases, until it sends this agent home
    Join(join::Options),
    /// Summarize the dialogues of a file
    Generate(generate::Options),
    /// Measure how fast this machine summarizes, for one model and some batch sizes
    Bench(bench::Options),
    /// Say what can and can't be measured on this machine, why, and what to do
    Doctor(doctor::Options),
    /// Say whether the agent of this machine answers, for whatever restarts it
    Health(health::Options),
    /// Answer HTTP requests, as a SageMaker inference container does
    Serve(serve::Options),
}

/// Which model, as all commands ask for it.
#[derive(Debug, Clone, Args)]
pub struct ModelOptions {
    /// A model folder, owner/name[@revision] of the Hugging Face hub, builtin:tiny, dummy:flan-t5-small or dummy:flan-t5-base
    #[arg(long, value_name = "MODEL")]
    pub model: String,
    /// A PEFT LoRA adapter for it: its folder, a model.tar.gz, owner/name[@revision] of the hub, or builtin:tiny-minutes
    #[arg(long, value_name = "ADAPTER")]
    pub adapter: Option<String>,
    /// What becomes of the adapter: merged into the base, or unmerged beside it
    #[arg(long, value_name = "MODE", default_value = "merged", requires = "adapter")]
    pub adapter_mode: AdapterMode,
    /// A tokenizer.json, its folder or owner/name of the hub, where the model brings none or another is wanted
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<String>,
    /// How weights are stored and multiplied: f32, f16, bf16 or int8
    #[arg(long, value_name = "DTYPE", default_value = "f32")]
    pub dtype: Dtype,
    /// What computes: cpu, or cuda:0 in a build for NVIDIA GPUs
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// How many threads compute; all cores by default
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

impl ModelOptions {
    /// What to load.
    pub fn spec(&self) -> EngineSpec {
        EngineSpec {
            model: self.model.clone(),
            revision: None,
            adapter: self.adapter.clone(),
            adapter_mode: self.adapter_mode,
            tokenizer: self.tokenizer.clone(),
            dtype: self.dtype,
            endpoint: None,
        }
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.threads.unwrap_or_else(all).get()
    }
}

/// Where to look for instruments, as the commands that observe ask for it.
#[derive(Debug, Clone, Args)]
pub struct InstrumentOptions {
    /// Another NVIDIA management library than the system's own; recorded, and what it observes is marked
    #[arg(long, value_name = "FILE", env = "FLEETMARK_NVML_LIBRARY")]
    pub nvml_library: Option<PathBuf>,
    /// Which GPUs CUDA sees
    #[arg(long, hide = true, env = "CUDA_VISIBLE_DEVICES", hide_env = true)]
    visible_gpus: Option<String>,
    /// How CUDA counts them
    #[arg(long, hide = true, env = "CUDA_DEVICE_ORDER", hide_env = true)]
    gpu_order: Option<String>,
}

impl InstrumentOptions {
    /// Where to look.
    pub fn places(&self) -> Places {
        Places {
            root: Root::default(),
            nvml_library: self.nvml_library.clone(),
            visible: Visible { devices: self.visible_gpus.clone(), order: self.gpu_order.clone() },
        }
    }
}
