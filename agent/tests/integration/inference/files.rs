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
        Ok(opened) => opened.load(1).unwrap_err(),
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
