//! Options that several commands have.

use crate::engines::http::Permissions;
use clap::Args;
use host::Root;
use model::engine::{AdapterMode, Dtype, EngineSpec};
use std::{num::NonZeroUsize, path::PathBuf};
use telemetry::{InstrumentSources, VisibleDevices};

/// Options that select a model.
#[derive(Debug, Clone, Args)]
pub struct ModelOptions {
    /// Model folder, owner/name[@revision] on the Hugging Face hub, builtin:tiny, or one of
    /// dummy:flan-t5-small, dummy:flan-t5-base, dummy:bart-base and dummy:bart-large-cnn
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
    /// Storage and arithmetic of the weights: f32, f16, bf16 or int8
    #[arg(long, value_name = "DTYPE", default_value = "f32")]
    pub dtype: Dtype,
    /// Device: cpu, or cuda:0 in a build for NVIDIA GPUs
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
        }
    }
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
    /// GPUs visible to CUDA
    #[arg(long, hide = true, env = "CUDA_VISIBLE_DEVICES", hide_env = true)]
    visible_gpus: Option<String>,
    /// Enumeration order of CUDA devices
    #[arg(long, hide = true, env = "CUDA_DEVICE_ORDER", hide_env = true)]
    gpu_order: Option<String>,
}

impl InstrumentOptions {
    pub fn sources(&self) -> InstrumentSources {
        InstrumentSources {
            root: Root::default(),
            nvml_library: self.nvml_library.clone(),
            visible: VisibleDevices {
                devices: self.visible_gpus.clone(),
                order: self.gpu_order.clone(),
            },
        }
    }
}
