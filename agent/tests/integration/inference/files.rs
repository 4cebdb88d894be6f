//! Files that are broken, or in another form than usual.

use super::fixture::{cases, decode, folder, load, open, spec};
use half::bf16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const MODEL: &str = "gated-untied";
const NORM: &str = "encoder.final_layer_norm.weight";

/// A tensor that can be changed before it is written.
#[derive(Clone)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn tensors() -> BTreeMap<String, Stored> {
    let bytes = fs::read(folder(MODEL).join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let stored = |view: TensorView<'_>| Stored {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    file.tensors().into_iter().map(|(name, view)| (name, stored(view))).collect()
}

fn write(path: &Path, tensors: &BTreeMap<String, Stored>) {
    let views = tensors.iter().map(|(name, tensor)| {
        (name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A folder with the model's config and these tensors.
fn model_of(tensors: &BTreeMap<String, Stored>) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(folder(MODEL).join("config.json"), copy.path().join("config.json")).unwrap();
    write(&copy.path().join("model.safetensors"), tensors);
    copy
}

/// What opening and loading a model says, with its folder as `DIR`.
fn error(folder: &Path) -> String {
    let name = folder.to_str().unwrap();
    let error = match open(&spec(name)) {
        Ok(opened) => opened.load(1).unwrap_err().into(),
        Err(error) => error,
    };
    error.to_string().replace(name, "DIR")
}

#[test]
fn a_missing_file_is_named_with_its_folder() {
    let model = model_of(&tensors());
    fs::remove_file(model.path().join("model.safetensors")).unwrap();
    assert_eq!(error(model.path()), "DIR has no model.safetensors");
    fs::write(model.path().join("pytorch_model.bin"), "").unwrap();
    assert!(error(model.path()).starts_with("DIR has its weights in pytorch_model.bin"));
    fs::remove_file(model.path().join("config.json")).unwrap();
    assert_eq!(error(model.path()), "DIR has no config.json");
}

#[test]
fn a_broken_tensor_is_named_with_its_file() {
    let change = |change: &dyn Fn(&mut BTreeMap<String, Stored>)| {
        let mut tensors = tensors();
        change(&mut tensors);
        error(model_of(&tensors).path())
    };
    assert_eq!(
        change(&|tensors| drop(tensors.remove(NORM))),
        format!("tensor {NORM} [64] is missing from DIR/model.safetensors")
    );
    assert_eq!(
        change(&|tensors| drop(tensors.remove("lm_head.weight"))),
        "tensor lm_head.weight [384, 64] is missing from DIR/model.safetensors"
    );
    assert_eq!(
        change(&|tensors| tensors.get_mut(NORM).unwrap().shape = vec![8, 8]),
        format!("DIR/model.safetensors: tensor {NORM} has shape [8, 8], the config requires [64]")
    );
    assert_eq!(
        change(&|tensors| tensors.get_mut(NORM).unwrap().dtype = Dtype::I32),
        format!(
            "DIR/model.safetensors: tensor {NORM} has unsupported dtype I32: expected F32, F16 or BF16"
        )
    );
    assert_eq!(
        change(&|tensors| {
            let norm = tensors.get_mut(NORM).unwrap();
            norm.bytes[12..16].copy_from_slice(&f32::NAN.to_le_bytes());
        }),
        format!(
            "DIR/model.safetensors: tensor {NORM} contains NaN at index 3: the file is corrupt"
        )
    );
    assert_eq!(
        change(&|tensors| {
            let norm = tensors[NORM].clone();
            tensors.insert("encoder.extra.weight".to_owned(), norm);
        }),
        "DIR/model.safetensors: unexpected tensor encoder.extra.weight for this config"
    );
}

#[test]
fn an_untied_model_without_its_embedding_or_head_is_refused_by_name() {
    let without = |names: &[&str]| {
        let mut tensors = tensors();
        tensors.retain(|name, _| !names.contains(&name.as_str()));
        error(model_of(&tensors).path())
    };
    let head = "tensor lm_head.weight [384, 64] is missing from DIR/model.safetensors";
    let embedding = "tensor shared.weight [384, 64] is missing from DIR/model.safetensors";
    assert_eq!(without(&["lm_head.weight"]), head);
    assert_eq!(without(&["shared.weight"]), embedding);
    let neither = without(&["shared.weight", "lm_head.weight"]);
    assert!([head, embedding].contains(&neither.as_str()), "{neither}");
}

/// The model with another text of its config.
fn model_with_config(change: impl Fn(&mut serde_json::Value)) -> TempDir {
    let model = model_of(&tensors());
    let path = model.path().join("config.json");
    let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    fs::write(&path, config.to_string()).unwrap();
    model
}

#[test]
fn another_architecture_is_refused_by_name() {
    for (key, value, named) in [
        ("feed_forward_proj", "gated-silu", "unsupported feed_forward_proj `gated-silu`"),
        ("feed_forward_proj", "silu", "unsupported feed_forward_proj `silu`"),
        ("dense_act_fn", "silu", "unsupported dense_act_fn `silu`"),
        ("model_type", "gemma", "unsupported model_type `gemma`"),
    ] {
        let model = model_with_config(|config| {
            // These would decide instead of feed_forward_proj.
            config
                .as_object_mut()
                .unwrap()
                .retain(|key, _| !key.ends_with("_act") && key != "dense_act_fn");
            config[key] = value.into();
        });
        let Err(error) = open(&spec(model.path().to_str().unwrap())) else { panic!("{value}") };
        let text = ops::error_chain::one_line(&error);
        assert!(text.contains("config.json") && text.contains(named), "{text}");
    }
}

#[test]
fn text_files_may_have_a_byte_order_mark_and_other_encodings() {
    let utf_16 = |text: &str| -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    let tokenizer = "src/model_source/tiny/tokenizer.json";
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join(tokenizer).with_file_name("");
    let plain = decode_text(&tiny);
    for encode in [utf_16, |text: &str| format!("\u{feff}{text}").into_bytes()] {
        let copy = tempfile::tempdir().unwrap();
        for file in ["config.json", "tokenizer.json"] {
            let text = fs::read_to_string(tiny.join(file)).unwrap();
            fs::write(copy.path().join(file), encode(&text)).unwrap();
        }
        fs::copy(tiny.join("model.safetensors"), copy.path().join("model.safetensors")).unwrap();
        fs::write(copy.path().join("generation_config.json"), encode(GENERATION)).unwrap();
        assert_eq!(decode_text(copy.path()), plain);
    }
}

const GENERATION: &str = r#"{"decoder_start_token_id": 0, "eos_token_id": 1}"#;

fn decode_text(model: &Path) -> Vec<u32> {
    let mut engine = load(model, 1);
    let prompt = engine.prompt("Summarize: Ann: Lunch?\nBob: Yes.", 64).unwrap();
    super::fixture::decode_ids(&mut engine, &[prompt.ids], 8).remove(0)
}

#[test]
fn what_was_saved_in_place_of_a_file_is_named() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let page = "<!DOCTYPE html>\n<title>Sign in</title>\n";
    for file in ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"] {
        for (content, named) in [(pointer, "is a Git LFS pointer"), (page, "is an HTML page")] {
            let model = model_of(&tensors());
            fs::write(model.path().join("generation_config.json"), GENERATION).unwrap();
            fs::write(model.path().join(file), content).unwrap();
            let text = error(model.path());
            assert!(text.starts_with(&format!("DIR/{file} {named}")), "{text}");
        }
    }
}

#[test]
fn a_file_that_was_cut_off_is_noticed() {
    let model = model_of(&tensors());
    let path = model.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(
        error(model.path()),
        format!(
            "DIR/model.safetensors has {} bytes, its header requires {}: download it again",
            bytes.len() - 1,
            bytes.len()
        )
    );
    fs::write(&path, "neither weights nor a pointer to them").unwrap();
    assert!(error(model.path()).starts_with("DIR/model.safetensors is not a safetensors file"));
}

#[test]
fn shards_serve_as_one_file_does() {
    let tensors = tensors();
    let model = model_of(&tensors);
    fs::remove_file(model.path().join("model.safetensors")).unwrap();
    let mut weight_map = BTreeMap::new();
    for stack in ["encoder", "decoder", ""] {
        let name = format!("model-{stack}.safetensors");
        let mut shard = tensors.clone();
        shard.retain(|tensor, _| tensor.starts_with(stack) && !weight_map.contains_key(tensor));
        weight_map.extend(shard.keys().map(|tensor| (tensor.clone(), name.clone())));
        write(&model.path().join(name), &shard);
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": weight_map });
    let index_path = model.path().join("model.safetensors.index.json");
    fs::write(&index_path, index.to_string()).unwrap();
    let cases = &cases(MODEL, None)[..4];
    for (case, ids) in cases.iter().zip(decode(&mut load(model.path(), 1), cases, 4)) {
        assert_eq!(ids, case.output_ids);
    }

    fs::remove_file(model.path().join("model-encoder.safetensors")).unwrap();
    assert_eq!(error(model.path()), "DIR has no model-encoder.safetensors");
    fs::write(&index_path, r#"{"weight_map": {"shared.weight": "../model.safetensors"}}"#).unwrap();
    assert_eq!(
        error(model.path()),
        "DIR/model.safetensors.index.json names a file outside its folder: ../model.safetensors"
    );
}

#[test]
fn weights_stored_in_half_the_bytes_are_read_as_f32() {
    let mut tensors = tensors();
    // What bf16 can't hold is cut off first, so that both files hold the same numbers.
    for tensor in tensors.values_mut() {
        tensor.bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|value| value[..2].fill(0));
    }
    let full = model_of(&tensors);
    for tensor in tensors.values_mut() {
        tensor.dtype = Dtype::BF16;
        let (values, _) = tensor.bytes.as_chunks::<4>();
        tensor.bytes = values
            .iter()
            .flat_map(|value| bf16::from_f32(f32::from_le_bytes(*value)).to_le_bytes())
            .collect();
    }
    let half = model_of(&tensors);
    let cases = &cases(MODEL, None)[..8];
    assert_eq!(
        decode(&mut load(full.path(), 1), cases, 4),
        decode(&mut load(half.path(), 1), cases, 4)
    );
}
