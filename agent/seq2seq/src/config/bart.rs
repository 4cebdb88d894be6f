//! BART and PEGASUS: defaults and precedence of `BartConfig` and `PegasusConfig` (transformers
//! 5.24, `configuration_bart.py`, `configuration_pegasus.py`).

use super::{
    Biases, Config, Error, Family, Gate, NormKind, NormPlace, Norms, Positions, QueryScaling,
    StackShape, activation, first_id, in_range, in_vocabulary,
};
use generation::generation_config::OneOrMany;
use serde::Deserialize;

/// Rows before that of position 0 in BART's tables.
const OFFSET: usize = 2;
/// PyTorch's default, which both keep.
const EPSILON: f32 = 1e-5;

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    vocab_size: usize,
    d_model: usize,
    max_position_embeddings: usize,
    encoder_layers: usize,
    encoder_attention_heads: usize,
    encoder_ffn_dim: usize,
    decoder_layers: usize,
    decoder_attention_heads: usize,
    decoder_ffn_dim: usize,
    activation_function: String,
    scale_embedding: Option<bool>,
    tie_word_embeddings: Option<bool>,
    bos_token_id: Option<u32>,
    eos_token_id: Option<OneOrMany>,
    // Of models converted from fairseq, before each form was a class of its own.
    normalize_before: Option<bool>,
    normalize_embedding: Option<bool>,
    add_final_layer_norm: Option<bool>,
    static_position_embeddings: Option<bool>,
    do_blenderbot_90_layernorm: Option<bool>,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            vocab_size: 50265,
            d_model: 1024,
            max_position_embeddings: 1024,
            encoder_layers: 12,
            encoder_attention_heads: 16,
            encoder_ffn_dim: 4096,
            decoder_layers: 12,
            decoder_attention_heads: 16,
            decoder_ffn_dim: 4096,
            activation_function: "gelu".to_owned(),
            scale_embedding: None,
            tie_word_embeddings: None,
            bos_token_id: None,
            eos_token_id: None,
            normalize_before: None,
            normalize_embedding: None,
            add_final_layer_norm: None,
            static_position_embeddings: None,
            do_blenderbot_90_layernorm: None,
        }
    }
}

pub(super) fn parse(text: &[u8], family: Family) -> Result<Config, Error> {
    let raw: Raw = serde_json::from_slice(text)?;
    let is_pegasus = family == Family::Pegasus;
    check_form(&raw, family)?;
    let vocabulary = in_range("vocab_size", raw.vocab_size, 2, 1 << 22)?;
    let d_model = in_range("d_model", raw.d_model, 1, 1 << 16)?;
    let key = "activation_function";
    let unsupported = || Error::Activation { key, found: raw.activation_function.clone() };
    let activation = activation(&raw.activation_function).ok_or_else(unsupported)?;
    let encoder = StackShape {
        blocks: in_range("encoder_layers", raw.encoder_layers, 1, 1000)?,
        d_ff: in_range("encoder_ffn_dim", raw.encoder_ffn_dim, 1, 1 << 20)?,
        ..heads("encoder_attention_heads", raw.encoder_attention_heads, d_model)?
    };
    let decoder = StackShape {
        blocks: in_range("decoder_layers", raw.decoder_layers, 1, 1000)?,
        d_ff: in_range("decoder_ffn_dim", raw.decoder_ffn_dim, 1, 1 << 20)?,
        ..heads("decoder_attention_heads", raw.decoder_attention_heads, d_model)?
    };
    let count = in_range("max_position_embeddings", raw.max_position_embeddings, 2, 1 << 20)?;
    let start = in_vocabulary("bos_token_id", raw.bos_token_id.unwrap_or(0), vocabulary);
    let end = first_id(raw.eos_token_id, if is_pegasus { 1 } else { 2 });
    Ok(Config {
        family,
        d_model,
        encoder,
        decoder,
        vocabulary,
        positions: if is_pegasus {
            Positions::Sinusoidal { count }
        } else {
            Positions::Learned { count, offset: OFFSET }
        },
        norms: Norms {
            kind: NormKind::Layer,
            place: if is_pegasus { NormPlace::BeforeLayer } else { NormPlace::AfterSum },
            epsilon: EPSILON,
            after_embedding: !is_pegasus,
            after_blocks: is_pegasus,
        },
        biases: Biases::All,
        activation,
        gate: Gate::Plain,
        embedding_scale: if raw.scale_embedding.unwrap_or(false) {
            (d_model as f32).sqrt()
        } else {
            1.0
        },
        query_scaling: QueryScaling::ByWidth,
        head_scale: 1.0,
        // PEGASUS's prompts have no token before the text.
        prompt_start_id: if is_pegasus { None } else { Some(start?) },
        prompt_end_id: in_vocabulary("eos_token_id", end, vocabulary)?,
        claims_tied_head: raw.tie_word_embeddings.unwrap_or(true),
    })
}

fn heads(key: &'static str, heads: usize, d_model: usize) -> Result<StackShape, Error> {
    in_range(key, heads, 1, 1 << 12)?;
    if !d_model.is_multiple_of(heads) {
        return Err(Error::Heads { key, heads, d_model });
    }
    Ok(StackShape { blocks: 0, heads, head_width: d_model / heads, d_ff: 0 })
}

/// The keys of old configs say the form of the layers, which the family decides today. One that
/// says otherwise is of a model that transformers would not compute as it was trained.
fn check_form(raw: &Raw, family: Family) -> Result<(), Error> {
    let is_pegasus = family == Family::Pegasus;
    for (key, found, expected) in [
        ("normalize_before", raw.normalize_before, is_pegasus),
        ("normalize_embedding", raw.normalize_embedding, !is_pegasus),
        ("add_final_layer_norm", raw.add_final_layer_norm, is_pegasus),
        ("static_position_embeddings", raw.static_position_embeddings, is_pegasus),
        ("do_blenderbot_90_layernorm", raw.do_blenderbot_90_layernorm, false),
    ] {
        if let Some(found) = found.filter(|found| *found != expected) {
            return Err(Error::Form { key, found, expected, family });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Stack;

    fn parse(text: &str) -> Result<Config, Error> {
        Config::parse(text.as_bytes())
    }

    #[test]
    fn absent_keys_take_the_defaults_of_transformers() {
        let bart = parse(r#"{"model_type": "bart"}"#).unwrap();
        let shape = StackShape { blocks: 12, heads: 16, head_width: 64, d_ff: 4096 };
        assert_eq!((bart.encoder, bart.decoder), (shape, shape));
        assert_eq!(bart.positions, Positions::Learned { count: 1024, offset: 2 });
        assert_eq!((bart.prompt_start_id, bart.prompt_end_id), (Some(0), 2));
        assert_eq!(bart.activation, kernels::Activation::Gelu);
        assert!((bart.query_scale(Stack::Encoder) - 0.125).abs() < 1e-9);
        let pegasus = parse(r#"{"model_type": "pegasus"}"#).unwrap();
        assert_eq!(pegasus.positions, Positions::Sinusoidal { count: 1024 });
        assert_eq!((pegasus.prompt_start_id, pegasus.prompt_end_id), (None, 1));
        assert_eq!(pegasus.norms.place, NormPlace::BeforeLayer);
    }

    #[test]
    fn the_stacks_have_shapes_of_their_own() {
        let config = parse(
            r#"{"model_type": "bart", "d_model": 8, "encoder_attention_heads": 2, "decoder_attention_heads": 4,
                "encoder_ffn_dim": 3, "decoder_ffn_dim": 5, "encoder_layers": 7, "decoder_layers": 1,
                "scale_embedding": true, "activation_function": "gelu_new"}"#,
        )
        .unwrap();
        let encoder = StackShape { blocks: 7, heads: 2, head_width: 4, d_ff: 3 };
        let decoder = StackShape { blocks: 1, heads: 4, head_width: 2, d_ff: 5 };
        assert_eq!((config.encoder, config.decoder), (encoder, decoder));
        assert!((config.embedding_scale - 8_f32.sqrt()).abs() < 1e-6);
        assert_eq!(config.activation, kernels::Activation::GeluTanh);
    }

    /// As in the configs of facebook/bart-large-cnn and google/pegasus-xsum.
    #[test]
    fn old_keys_that_agree_with_the_family_are_passed_over() {
        let bart = r#"{"model_type": "bart", "add_bias_logits": false, "add_final_layer_norm": false,
            "extra_pos_embeddings": 2, "normalize_before": false, "normalize_embedding": true,
            "static_position_embeddings": false}"#;
        let pegasus = r#"{"model_type": "pegasus", "add_bias_logits": false, "add_final_layer_norm": true,
            "extra_pos_embeddings": 1, "normalize_before": true, "normalize_embedding": false,
            "static_position_embeddings": true}"#;
        assert!(parse(bart).is_ok() && parse(pegasus).is_ok());
    }

    #[test]
    fn what_the_family_does_not_have_is_refused_by_name() {
        let bart = |more: &str| {
            parse(&format!(r#"{{"model_type": "bart", {more}}}"#)).unwrap_err().to_string()
        };
        for (more, message) in [
            (
                r#""normalize_before": true"#,
                "normalize_before = true is not supported for model_type bart: expected false",
            ),
            (
                r#""static_position_embeddings": true"#,
                "static_position_embeddings = true is not supported for model_type bart: expected false",
            ),
            (
                r#""activation_function": "swish""#,
                "unsupported activation_function `swish`: expected relu, gelu or gelu_new",
            ),
            (
                r#""decoder_attention_heads": 3"#,
                "decoder_attention_heads = 3: does not divide d_model = 1024",
            ),
            (
                r#""vocab_size": 9, "bos_token_id": 9"#,
                "bos_token_id = 9: outside the vocabulary of 9",
            ),
            (r#""encoder_layers": 0"#, "encoder_layers = 0: expected 1 to 1000"),
        ] {
            assert_eq!(bart(more), message);
        }
        let pegasus = r#"{"model_type": "pegasus", "normalize_before": false}"#;
        assert_eq!(
            parse(pegasus).unwrap_err().to_string(),
            "normalize_before = false is not supported for model_type pegasus: expected true"
        );
    }
}
