//! T5 and mT5: defaults and precedence of `T5Config` and `MT5Config` (transformers 5.24,
//! `configuration_t5.py`).

use super::{
    Activation, Biases, Config, Error, Family, Gate, Key, NormKind, NormPlace, Norms, Positions,
    QueryScaling, StackShape, activation, first_id, in_range, in_vocabulary,
};
use generation::generation_config::OneOrMany;
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    T5,
    Mt5,
}

#[derive(Deserialize)]
struct Raw {
    d_model: usize,
    d_kv: usize,
    d_ff: usize,
    num_heads: usize,
    num_layers: usize,
    num_decoder_layers: Option<usize>,
    vocab_size: usize,
    relative_attention_num_buckets: Option<usize>,
    relative_attention_max_distance: Option<usize>,
    layer_norm_epsilon: Option<f64>,
    feed_forward_proj: Option<String>,
    #[serde(default)]
    is_gated_act: Key<bool>,
    #[serde(default)]
    dense_act_fn: Key<String>,
    eos_token_id: Option<OneOrMany>,
    tie_word_embeddings: Option<bool>,
    scale_decoder_outputs: Option<bool>,
}

pub(super) fn parse(text: &[u8], kind: Kind) -> Result<Config, Error> {
    let raw: Raw = serde_json::from_slice(text)?;
    let is_mt5 = kind == Kind::Mt5;
    let default_form = if is_mt5 { "gated-gelu" } else { "relu" };
    let (activation, gate) = feed_forward(&raw, default_form)?;
    let vocabulary = in_range("vocab_size", raw.vocab_size, 2, 1 << 22)?;
    let prompt_end_id = in_vocabulary("eos_token_id", first_id(raw.eos_token_id, 1), vocabulary)?;
    let d_model = in_range("d_model", raw.d_model, 1, 1 << 16)?;
    let buckets = raw.relative_attention_num_buckets.unwrap_or(32);
    let buckets = in_range("relative_attention_num_buckets", buckets, 4, 1 << 16)?;
    let max_distance = raw.relative_attention_max_distance.unwrap_or(128);
    let epsilon = raw.layer_norm_epsilon.unwrap_or(1e-6);
    let tied = raw.tie_word_embeddings.unwrap_or(true);
    let stack = |key, blocks| {
        Ok::<_, Error>(StackShape {
            blocks: in_range(key, blocks, 1, 1000)?,
            heads: in_range("num_heads", raw.num_heads, 1, 1 << 12)?,
            head_width: in_range("d_kv", raw.d_kv, 1, 1 << 16)?,
            d_ff: in_range("d_ff", raw.d_ff, 1, 1 << 20)?,
        })
    };
    Ok(Config {
        family: Family::T5,
        d_model,
        encoder: stack("num_layers", raw.num_layers)?,
        decoder: stack("num_decoder_layers", raw.num_decoder_layers.unwrap_or(raw.num_layers))?,
        vocabulary,
        positions: Positions::Relative {
            buckets,
            max_distance: in_range(
                "relative_attention_max_distance",
                max_distance,
                buckets / 2 + 1,
                1 << 20,
            )?,
        },
        norms: Norms {
            kind: NormKind::Rms,
            place: NormPlace::BeforeLayer,
            epsilon: checked_epsilon(epsilon)?,
            after_embedding: false,
            after_blocks: true,
        },
        biases: Biases::None,
        activation,
        gate,
        embedding_scale: 1.0,
        query_scaling: QueryScaling::None,
        head_scale: if !is_mt5 && raw.scale_decoder_outputs.unwrap_or(tied) {
            (d_model as f32).powf(-0.5)
        } else {
            1.0
        },
        prompt_start_id: None,
        prompt_end_id,
        claims_tied_head: tied,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "norms are computed in f32")]
fn checked_epsilon(epsilon: f64) -> Result<f32, Error> {
    if epsilon > 0.0 && epsilon < 1.0 { Ok(epsilon as f32) } else { Err(Error::Epsilon(epsilon)) }
}

/// As in transformers: the last word of `feed_forward_proj` is the function, and `gated-gelu` means
/// `gelu_new`; `dense_act_fn` and `is_gated_act` override either half.
fn feed_forward(raw: &Raw, default_form: &str) -> Result<(Activation, Gate), Error> {
    let form = raw.feed_forward_proj.as_deref().unwrap_or(default_form);
    let unsupported = || Error::FeedForward(form.to_owned());
    let (gate, function) = match form.split_once('-') {
        Some(("gated", "gelu")) => (Gate::Gated, "gelu_new"),
        Some(("gated", function)) if !function.contains('-') => (Gate::Gated, function),
        Some(_) => return Err(unsupported()),
        // Transformers takes the only word as both halves.
        None if form == "gated" => (Gate::Gated, form),
        None => (Gate::Plain, form),
    };
    let gate = match raw.is_gated_act {
        Key::Absent => gate,
        Key::Is(true) => Gate::Gated,
        Key::Is(false) => Gate::Plain,
        Key::Null => return Err(Error::Null { key: "is_gated_act", expected: "true or false" }),
    };
    let activation = match &raw.dense_act_fn {
        Key::Absent => activation(function).ok_or_else(unsupported)?,
        Key::Is(name) => activation(name)
            .ok_or_else(|| Error::Activation { key: "dense_act_fn", found: name.clone() })?,
        Key::Null => return Err(Error::Null { key: "dense_act_fn", expected: "a function" }),
    };
    Ok((activation, gate))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: &str =
        r#""d_model":4,"d_kv":2,"d_ff":8,"num_heads":2,"num_layers":1,"vocab_size":9"#;

    fn parse(more: &str) -> Result<Config, Error> {
        Config::parse(format!("{{{SHAPE}{more}}}").as_bytes())
    }

    #[test]
    fn absent_keys_take_the_defaults_of_transformers() {
        let config = parse("").unwrap();
        let positions = Positions::Relative { buckets: 32, max_distance: 128 };
        assert_eq!((config.positions, config.decoder.blocks), (positions, 1));
        assert_eq!(config.prompt_end_id, 1);
        assert_eq!((config.activation, config.gate), (Activation::Relu, Gate::Plain));
        assert!(config.claims_tied_head);
    }

    #[test]
    fn the_scale_follows_its_own_key_before_the_tie() {
        let is_scaled = |more| parse(more).unwrap().head_scale < 1.0;
        assert!(is_scaled(r#","tie_word_embeddings":true"#));
        assert!(!is_scaled(r#","tie_word_embeddings":false"#));
        // A flan-t5 re-saved by transformers 5.
        assert!(!is_scaled(r#","tie_word_embeddings":true,"scale_decoder_outputs":false"#));
        assert!(is_scaled(r#","tie_word_embeddings":false,"scale_decoder_outputs":true"#));
    }

    #[test]
    fn prompts_end_with_the_first_eos() {
        assert_eq!(parse(r#","eos_token_id":2"#).unwrap().prompt_end_id, 2);
        assert_eq!(parse(r#","eos_token_id":[7,1]"#).unwrap().prompt_end_id, 7);
    }

    fn form(more: &str) -> (Activation, Gate) {
        let config = parse(more).unwrap();
        (config.activation, config.gate)
    }

    #[test]
    fn the_forms_of_the_feed_forward_layer() {
        for (name, expected) in [
            ("relu", (Activation::Relu, Gate::Plain)),
            ("gelu", (Activation::Gelu, Gate::Plain)),
            ("gated-gelu", (Activation::GeluTanh, Gate::Gated)),
            ("gated-relu", (Activation::Relu, Gate::Gated)),
        ] {
            assert_eq!(form(&format!(r#","feed_forward_proj":"{name}""#)), expected, "{name}");
        }
        assert_eq!(form(r#","model_type":"mt5""#), (Activation::GeluTanh, Gate::Gated));
    }

    #[test]
    fn the_two_halves_override_the_form_as_in_transformers() {
        // The first configs of flan-t5, and one that was edited.
        let first = r#","feed_forward_proj":"gelu","is_gated_act":true,"dense_act_fn":"gelu""#;
        assert_eq!(form(first), (Activation::Gelu, Gate::Gated));
        let edited = r#","feed_forward_proj":"gated-gelu","dense_act_fn":"relu""#;
        assert_eq!(form(edited), (Activation::Relu, Gate::Gated));
        let silu = r#","feed_forward_proj":"gated-silu","dense_act_fn":"gelu_pytorch_tanh""#;
        assert_eq!(form(silu), (Activation::GeluTanh, Gate::Gated));
        let plain = r#","feed_forward_proj":"gated-gelu","is_gated_act":false"#;
        assert_eq!(form(plain), (Activation::GeluTanh, Gate::Plain));
    }

    #[test]
    fn only_t5_scales_before_the_head() {
        let scale = |kind| parse(&format!(r#","model_type":"{kind}""#)).unwrap().head_scale;
        assert!(scale("t5") < scale("mt5"));
    }

    #[test]
    fn what_no_t5_has_is_refused_by_name() {
        for (more, message) in [
            (
                r#","model_type":"mbart""#,
                "unsupported model_type `mbart`: expected t5, mt5, bart, pegasus",
            ),
            (r#","eos_token_id":9"#, "eos_token_id = 9: outside the vocabulary of 9"),
            (r#","num_decoder_layers":0"#, "num_decoder_layers = 0: expected 1 to 1000"),
            (
                r#","layer_norm_epsilon":0"#,
                "layer_norm_epsilon = 0: expected a number between 0 and 1, exclusive",
            ),
            (
                r#","relative_attention_max_distance":16"#,
                "relative_attention_max_distance = 16: expected 17 to 1048576",
            ),
            (
                r#","dense_act_fn":"silu""#,
                "unsupported dense_act_fn `silu`: expected relu, gelu or gelu_new",
            ),
            (
                r#","is_gated_act":null"#,
                "is_gated_act is null: expected true or false, or remove the key so that \
                 feed_forward_proj decides",
            ),
            (
                r#","dense_act_fn":null"#,
                "dense_act_fn is null: expected a function, or remove the key so that \
                 feed_forward_proj decides",
            ),
            (
                r#","feed_forward_proj":"silu-gelu""#,
                "unsupported feed_forward_proj `silu-gelu`: expected relu, gelu or gelu_new, optionally \
                 with the prefix gated-",
            ),
            (
                r#","feed_forward_proj":"gated-silu""#,
                "unsupported feed_forward_proj `gated-silu`: expected relu, gelu or gelu_new, optionally \
                 with the prefix gated-",
            ),
        ] {
            assert_eq!(parse(more).unwrap_err().to_string(), message);
        }
    }
}
