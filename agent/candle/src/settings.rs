//! The configuration of a model in candle's form, from the one that this program reads and checks.
//!
//! candle's own readers don't know the files of transformers 5, lists of end tokens, or absent keys.

use super::AnyError;
use ::checkpoint::{HEAD, Tensors};
use candle_nn::Activation;
use candle_transformers::models::{llama, qwen2, qwen3, t5};
use causal::config::{Biases, Config as Causal, Family};
use model::engine::Dtype;
use seq2seq::config::{Config as Seq2Seq, Gate, Positions};

#[derive(Debug)]
pub(super) enum Settings {
    T5(Seq2Seq),
    /// Computed in f32.
    Causal(Causal),
    /// Computed from the blocks of a GGUF file.
    Blocks(Causal),
}

impl Settings {
    pub(super) fn parse(text: &str, model_type: &str, dtype: Dtype) -> Result<Self, AnyError> {
        if model_type == "t5" {
            return Ok(Self::T5(Seq2Seq::parse(text.as_bytes())?));
        }
        let config = Causal::parse(text.as_bytes())?;
        Ok(if dtype == Dtype::Gguf { Self::Blocks(config) } else { Self::Causal(config) })
    }

    /// The release and the module of candle-transformers, and what it computes in.
    pub(super) fn kernel(&self) -> String {
        let dtype = match self {
            Self::T5(_) | Self::Causal(_) => Dtype::F32,
            Self::Blocks(_) => Dtype::Gguf,
        };
        format!("candle-transformers {} {}, {dtype}", super::VERSION, self.module())
    }

    fn module(&self) -> &'static str {
        match self {
            Self::T5(_) => "t5",
            Self::Causal(config) => match config.family {
                Family::Qwen2 => "qwen2",
                Family::Qwen3 => "qwen3",
                Family::Llama | Family::Mistral => "llama",
            },
            Self::Blocks(config) => match config.family {
                Family::Qwen2 => "quantized_qwen2",
                Family::Qwen3 => "quantized_qwen3",
                Family::Llama | Family::Mistral => "quantized_llama",
            },
        }
    }

    /// Of the keys and values of one position, in f32.
    pub(super) fn position_bytes(&self) -> u64 {
        let values = match self {
            Self::T5(config) => config.decoder.inner() * config.decoder.blocks,
            Self::Causal(config) | Self::Blocks(config) => {
                config.key_heads * config.head_width * config.blocks
            }
        };
        2 * 4 * values as u64
    }

    /// A key of the configuration that candle's model has no place for.
    pub(super) fn ignored(&self) -> Option<&'static str> {
        let (config, has_blocks) = match self {
            Self::T5(_) => return None,
            Self::Causal(config) => (config, false),
            Self::Blocks(config) => (config, true),
        };
        let is_wide = config.heads * config.head_width != config.width;
        let has_biases = config.biases != Biases::None;
        match config.family {
            _ if has_blocks && config.rope.scaling.is_some() => Some("rope_scaling"),
            Family::Qwen3 if has_blocks && has_biases => Some("attention_bias"),
            Family::Qwen3 => None,
            _ if is_wide => Some("head_dim"),
            Family::Llama | Family::Mistral if has_biases => Some("attention_bias"),
            _ => None,
        }
    }

    /// Whether candle computes parts of the model with threads of its own, of which a process has one
    /// number for all models.
    pub(super) fn has_own_threads(&self) -> bool {
        match self {
            Self::T5(_) => false,
            // Its attention.
            Self::Causal(config) => config.family == Family::Qwen3,
            // Every product.
            Self::Blocks(_) => true,
        }
    }

    /// What is known to be wrong in candle's model, and how far it matters here. Reports find these texts
    /// by their start, `candle`.
    pub(super) fn defects(&self) -> Vec<String> {
        let note = match self {
            Self::T5(config) => {
                let exact = exact_positions(config);
                Some(format!(
                    "candle's T5 takes the encoder's position buckets in the decoder as well: from output \
                     token {} on, its logits are not those of the model, so its summaries can differ",
                    exact + 1
                ))
            }
            Self::Causal(_) => None,
            Self::Blocks(config) => Some(match config.family {
                Family::Qwen3 => "candle computes the rotary angles of Qwen3 in 16 bits where a GGUF file \
                     has no general.dtype, so its logits are not those of the model, and its summaries \
                     can differ"
                    .to_owned(),
                _ => "candle keeps an attention mask for every length of prompt that it has computed from \
                     a GGUF file, so its memory grows"
                    .to_owned(),
            }),
        };
        note.into_iter().collect()
    }
}

/// The output positions whose buckets are the same with half as many: distances are exact below half
/// of the buckets, and candle halves them once more.
fn exact_positions(config: &Seq2Seq) -> usize {
    match config.positions {
        // Distances 0 to `exact`, of which the last one is the first of a range either way.
        Positions::Relative { buckets, .. } => buckets / 4 + 1,
        Positions::Learned { .. } | Positions::Sinusoidal { .. } => 0,
    }
}

/// The tensor of the output layer. The weights decide: files of transformers 5 can claim a tie and
/// have a head of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    Own,
    Embedding,
}

impl Head {
    pub(super) fn of(tensors: &Tensors) -> Self {
        if tensors.has(HEAD) { Self::Own } else { Self::Embedding }
    }
}

fn activation(of: kernels::Activation) -> Activation {
    match of {
        kernels::Activation::Relu => Activation::Relu,
        kernels::Activation::Gelu => Activation::Gelu,
        kernels::Activation::GeluTanh => Activation::NewGelu,
        kernels::Activation::Silu => Activation::Silu,
    }
}

pub(super) fn t5(config: &Seq2Seq, head: Head) -> t5::Config {
    let defaults = t5::Config::default();
    let (buckets, max_distance) = match config.positions {
        Positions::Relative { buckets, max_distance } => (buckets, max_distance),
        Positions::Learned { .. } | Positions::Sinusoidal { .. } => {
            unreachable!("T5 has relative positions")
        }
    };
    t5::Config {
        vocab_size: config.vocabulary,
        d_model: config.d_model,
        d_kv: config.encoder.head_width,
        d_ff: config.encoder.d_ff,
        num_layers: config.encoder.blocks,
        num_decoder_layers: Some(config.decoder.blocks),
        num_heads: config.encoder.heads,
        relative_attention_num_buckets: buckets,
        relative_attention_max_distance: max_distance,
        layer_norm_epsilon: f64::from(config.norms.epsilon),
        feed_forward_proj: t5::ActivationWithOptionalGating {
            gated: config.gate == Gate::Gated,
            activation: activation(config.activation),
        },
        tie_word_embeddings: head == Head::Embedding,
        ..defaults
    }
}

pub(super) fn qwen2(config: &Causal, head: Head) -> qwen2::Config {
    qwen2::Config {
        vocab_size: config.vocabulary,
        hidden_size: config.width,
        intermediate_size: config.d_ff,
        num_hidden_layers: config.blocks,
        num_attention_heads: config.heads,
        num_key_value_heads: config.key_heads,
        max_position_embeddings: config.positions,
        // Checked to be off; candle masks by it anyway.
        sliding_window: config.positions,
        max_window_layers: config.blocks,
        tie_word_embeddings: head == Head::Embedding,
        rope_theta: config.rope.theta,
        rms_norm_eps: f64::from(config.epsilon),
        use_sliding_window: false,
        hidden_act: Activation::Silu,
    }
}

pub(super) fn qwen3(config: &Causal, head: Head) -> qwen3::Config {
    qwen3::Config {
        vocab_size: config.vocabulary,
        hidden_size: config.width,
        intermediate_size: config.d_ff,
        num_hidden_layers: config.blocks,
        num_attention_heads: config.heads,
        head_dim: config.head_width,
        attention_bias: config.biases != Biases::None,
        num_key_value_heads: config.key_heads,
        max_position_embeddings: config.positions,
        sliding_window: None,
        max_window_layers: config.blocks,
        tie_word_embeddings: head == Head::Embedding,
        rope_theta: config.rope.theta,
        rms_norm_eps: f64::from(config.epsilon),
        use_sliding_window: false,
        hidden_act: Activation::Silu,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "candle's rotary positions are f32")]
pub(super) fn llama(config: &Causal, head: Head) -> llama::Config {
    let scaling = config.rope.scaling.map(|scaling| llama::Llama3RopeConfig {
        factor: scaling.factor as f32,
        low_freq_factor: scaling.low as f32,
        high_freq_factor: scaling.high as f32,
        original_max_position_embeddings: usize::try_from(scaling.original).unwrap_or(usize::MAX),
        rope_type: llama::Llama3RopeType::Llama3,
    });
    llama::Config {
        hidden_size: config.width,
        intermediate_size: config.d_ff,
        vocab_size: config.vocabulary,
        num_hidden_layers: config.blocks,
        num_attention_heads: config.heads,
        num_key_value_heads: config.key_heads,
        use_flash_attn: false,
        rms_norm_eps: f64::from(config.epsilon),
        rope_theta: config.rope.theta as f32,
        bos_token_id: None,
        eos_token_id: None,
        rope_scaling: scaling,
        max_position_embeddings: config.positions,
        tie_word_embeddings: head == Head::Embedding,
    }
}
