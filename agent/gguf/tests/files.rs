//! Small files, written by `tools/make_gguf.py` with the Python package `gguf`.

#![expect(clippy::unwrap_used, reason = "in a test an error is a failure, in its helpers too")]

use engine::files::Blob;
use gguf::{File, Model};
use kernels::{Dispatch, Layout, Weights};
use serde_json::{Value, json};

fn path(name: &str) -> String {
    format!("{}/tests/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn open(name: &str) -> File {
    File::open(Blob::open(path(name).as_ref()).unwrap()).unwrap()
}

fn model(name: &str) -> Model {
    Model::new(open(name)).unwrap()
}

#[test]
fn every_format_has_the_values_that_the_python_package_reads() {
    let expected = std::fs::read(path("blocks.f32")).unwrap();
    let mut expected = expected.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value));
    let file = open("blocks.gguf");
    let formats =
        ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"];
    for format in formats {
        let tensor = file.tensor(format).unwrap();
        assert_eq!((tensor.shape.as_slice(), tensor.format.name()), (&[2, 256][..], format));
        for (place, value) in file.values(tensor).unwrap().into_iter().enumerate() {
            let expected = expected.next().unwrap();
            assert_eq!(value.to_bits(), expected.to_bits(), "{format}, value {place}");
        }
    }
    assert_eq!(expected.next(), None);
}

/// Packed and read back, which the products do too.
#[test]
fn blocks_as_they_are_have_the_same_values() {
    let file = open("blocks.gguf");
    for (format, tensor) in file.tensors() {
        let Some(matrix) = file.blocks(tensor).unwrap() else {
            assert!(["F32", "F16", "BF16"].contains(&format));
            continue;
        };
        let weights = Weights::pack_blocks(Dispatch::best(), Layout::Plain, vec![matrix]).unwrap();
        // 4 to 8 bits, and what a panel of two rows has for thirty others.
        assert!(weights.bytes() <= 32 * 256 * 9 / 8, "{format}: {}", weights.bytes());
        let expected = file.values(tensor).unwrap();
        let mut found = vec![0.0; tensor.columns()];
        for (row, expected) in expected.chunks(tensor.columns()).enumerate() {
            weights.row(row, &mut found);
            assert_eq!(found, expected, "{format}, row {row}");
        }
    }
}

/// What `tools/make_gguf.py` stores, under transformers' names and in its order.
fn stored(name: &str, place: usize) -> f32 {
    u16::try_from((place * 31 + name.len() * 17) % 2000).unwrap().into()
}

#[test]
fn tensors_have_the_names_and_rows_of_transformers() {
    for (name, tensors) in [("llama", 21), ("smollm", 20), ("qwen2", 26), ("qwen3", 25)] {
        let model = model(&format!("{name}.gguf"));
        assert_eq!(model.tensors().count(), tensors, "{name}");
        for (tensor, shape) in model.tensors() {
            let values = model.values(tensor).unwrap().unwrap();
            assert_eq!(values.len(), shape.iter().product::<usize>());
            for (place, value) in values.into_iter().enumerate() {
                assert!(
                    (value - stored(tensor, place)).abs() < f32::EPSILON,
                    "{name}: {tensor}, value {place}"
                );
            }
        }
    }
}

#[test]
fn metadata_become_a_configuration() {
    let expected = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "hidden_act": "silu",
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        "tie_word_embeddings": false,
        "attention_bias": false,
        "mlp_bias": false,
        "bos_token_id": 1,
        "eos_token_id": 2,
    });
    assert_eq!(model("llama.gguf").config(), &expected);
    let qwen3 = model("qwen3.gguf");
    assert_eq!(qwen3.config()["model_type"], "qwen3");
    assert_eq!(qwen3.config()["head_dim"], 12);
    assert_eq!(qwen3.config()["rope_scaling"], Value::Null);
    assert_eq!(model("qwen2.gguf").config()["tie_word_embeddings"], true);
    // `<|endoftext|>` ends a turn as well, as in llama.cpp.
    let generation = json!({"bos_token_id": 1, "eos_token_id": [2, 0]});
    assert_eq!(qwen3.generation().unwrap(), generation);
    let settings = qwen3.tokenizer_config().unwrap();
    assert_eq!(settings["bos_token"], "<|im_start|>");
    assert_eq!(settings["pad_token"], "<|endoftext|>");
    assert!(settings["chat_template"].as_str().unwrap().starts_with("{% for m in messages %}"));
}

#[test]
fn texts_have_the_token_ids_of_llama_cpp() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(path("tokens.json")).unwrap()).unwrap();
    for (name, expected_ids) in expected["ids"].as_object().unwrap() {
        let json = model(&format!("{name}.gguf")).tokenizer().unwrap().unwrap();
        let tokenizer = tokenizers::Tokenizer::from_bytes(json.to_string()).unwrap();
        let texts = expected["texts"].as_array().unwrap().iter();
        for (text, ids) in texts.zip(expected_ids.as_array().unwrap()) {
            let text = text.as_str().unwrap();
            let found = tokenizer.encode(text, true).unwrap();
            assert_eq!(&json!(found.get_ids()), ids, "{name}: {text:?}");
        }
    }
}

/// The bytes of a file with one key of text and no tensor.
fn header(key: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let counts = [0_u64, 1].map(u64::to_le_bytes).concat();
    [b"GGUF\x03\0\0\0".to_vec(), counts, text(key), 8_u32.to_le_bytes().to_vec(), text(value)]
        .concat()
}

fn error(bytes: Vec<u8>) -> String {
    let found = File::open(Blob::held("m.gguf", bytes)).map_err(|error| error.to_string());
    let model = found.and_then(|file| {
        Model::new(file).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", cause.unwrap_or_default())
        })
    });
    model.unwrap_err()
}

#[test]
fn a_damaged_file_is_named_with_the_place() {
    assert_eq!(error(b"PK".to_vec()), "m.gguf is not a GGUF file: it does not start with `GGUF`");
    assert_eq!(
        error(b"GGUF\0\0\0\x03".to_vec()),
        "m.gguf has GGUF version 50331648: expected 2 or 3, in little-endian byte order"
    );
    let good = std::fs::read(path("llama.gguf")).unwrap();
    // Wherever it is cut, the file is refused, with what is wrong.
    for length in (8..good.len()).step_by(997).chain([good.len() - 1]) {
        let error = error(good[..length].to_vec());
        assert!(error.contains("is truncated or damaged"), "{length}: {error}");
    }
    let mut many = header("a", "b");
    many[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(
        error(many),
        "m.gguf is truncated or damaged: what byte 8 announces does not fit into the header"
    );
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    assert_eq!(
        error(header("general.architecture", "gemma3")),
        "cannot use m.gguf: architecture `gemma3` is not supported: expected llama, qwen2 or qwen3"
    );
    assert_eq!(error(header("a", "b")), "cannot use m.gguf: `general.architecture` is missing");
    let mut unknown = header("general.architecture", "llama");
    unknown[16] = 2;
    let more = header("llama.logit_scale", "x");
    unknown.extend_from_slice(&more[24..]);
    assert_eq!(
        error(unknown),
        "cannot use m.gguf: `llama.logit_scale` is not supported: it changes what the model computes"
    );
}
