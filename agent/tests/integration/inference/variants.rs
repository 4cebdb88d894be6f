//! Checkpoints that contradict themselves, and adapters that are rarer than those of the cases: the
//! tokens of PyTorch, which `tools/make_variants.py` wrote, or a refusal.

use super::fixture::{adapted_spec, cases, decode, decode_ids, folder, load, open, spec};
use candle_core::Device;
use engine::Engine;
use engine::files::{Blob, Weights};
use model::engine::{AdapterMode, EngineSpec};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use seq2seq::candle::CandleT5;
use seq2seq::checkpoint::Checkpoint;
use seq2seq::config::Config;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const SHARED: &str = "shared.weight";
const HEAD: &str = "lm_head.weight";
const ENCODER: &str = "encoder.embed_tokens.weight";
const DECODER: &str = "decoder.embed_tokens.weight";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const MOST: usize = 24;

#[derive(Debug, Deserialize)]
struct Generated {
    variant: String,
    model: String,
    input_ids: Vec<u32>,
    output_ids: Vec<u32>,
}

/// A tensor of f32.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

fn tensors(model: &str) -> Tensors {
    let bytes = fs::read(folder(model).join(WEIGHTS)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let stored = |view: TensorView<'_>| (view.shape().to_vec(), view.data().to_vec());
    file.tensors().into_iter().map(|(name, view)| (name, stored(view))).collect()
}

fn write(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A copy of a model after `change`.
fn copy(model: &str, change: &dyn Fn(&mut Value, &mut Tensors)) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let config = fs::read_to_string(folder(model).join(CONFIG)).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    let mut tensors = tensors(model);
    change(&mut config, &mut tensors);
    fs::write(place.path().join(CONFIG), config.to_string()).unwrap();
    write(&place.path().join(WEIGHTS), &tensors);
    place
}

/// Gives a stack an embedding of its own: the rows of the shared one in reverse.
fn own(tensors: &mut Tensors, name: &str) {
    let (shape, bytes) = &tensors[SHARED];
    let reversed = bytes.chunks_exact(4 * shape[1]).rev().flatten().copied().collect();
    tensors.insert(name.to_owned(), (shape.clone(), reversed));
}

fn rename(tensors: &mut Tensors, from: &str, to: &str) {
    let tensor = tensors.remove(from).unwrap();
    tensors.insert(to.to_owned(), tensor);
}

/// Exact in f32, so that PyTorch had the same.
fn factor(rows: usize, columns: usize) -> (Vec<usize>, Vec<u8>) {
    let mut bytes = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let step = u8::try_from((7 * row + 3 * column) % 11).unwrap();
            bytes.extend(((f32::from(step) - 5.0) / 16.0).to_le_bytes());
        }
    }
    (vec![rows, columns], bytes)
}

/// An adapter of the head.
fn head_adapter(tensors: &Tensors, more: &str) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let targets = r#""target_modules": ["lm_head"]"#;
    let config = format!(r#"{{"peft_type": "LORA", "r": 2, "lora_alpha": 4, {targets}{more}}}"#);
    fs::write(place.path().join("adapter_config.json"), config).unwrap();
    let shape = &tensors[SHARED].0;
    let name = |factor: &str| format!("base_model.model.lm_head.lora_{factor}.weight");
    let factors = [(name("A"), factor(2, shape[1])), (name("B"), factor(shape[0], 2))];
    write(&place.path().join("adapter_model.safetensors"), &factors.into());
    place
}

fn variants() -> BTreeMap<String, Vec<Generated>> {
    let file = folder("variants.jsonl");
    let mut variants: BTreeMap<String, Vec<Generated>> = BTreeMap::new();
    for line in fs::read_to_string(file).unwrap().lines() {
        let row: Generated = serde_json::from_str(line).unwrap();
        variants.entry(row.variant.clone()).or_default().push(row);
    }
    variants
}

/// The copy of a model that a variant is, as in `tools/make_variants.py`.
fn variant(name: &str, model: &str) -> TempDir {
    let place = copy(model, &|config, tensors| match name {
        "own encoder embedding" => own(tensors, ENCODER),
        "own decoder embedding" => own(tensors, DECODER),
        "own embeddings, tied head" => {
            own(tensors, ENCODER);
            own(tensors, DECODER);
        }
        "own encoder embedding, only the head" => {
            own(tensors, ENCODER);
            rename(tensors, SHARED, HEAD);
        }
        "only the head" => rename(tensors, SHARED, HEAD),
        "only the decoder embedding" => rename(tensors, SHARED, DECODER),
        "gelu, gated" => {
            config["feed_forward_proj"] = "gelu".into();
            config["is_gated_act"] = true.into();
            config["dense_act_fn"] = "gelu".into();
        }
        "gated-gelu of relu" => config["dense_act_fn"] = "relu".into(),
        "start and ends" | "no end" | "adapter of a tied head" => {}
        other => panic!("{other} is unknown"),
    });
    let generation = match name {
        "start and ends" => json!({ "decoder_start_token_id": 7, "eos_token_id": [1, 355, 209] }),
        "no end" => json!({ "bos_token_id": 0 }),
        _ => return place,
    };
    fs::write(place.path().join("generation_config.json"), generation.to_string()).unwrap();
    place
}

#[test]
fn contradictions_are_settled_as_in_pytorch() {
    let variants = variants();
    assert_eq!(variants.len(), 11);
    for (name, rows) in variants {
        assert!(rows.len() >= 7, "{name} has {} rows", rows.len());
        let model = rows[0].model.as_str();
        let place = variant(&name, model);
        let base = spec(place.path().to_str().unwrap());
        let adapter = (name == "adapter of a tied head").then(|| head_adapter(&tensors(model), ""));
        let modes: &[AdapterMode] = match adapter {
            Some(_) => &[AdapterMode::Merged, AdapterMode::Unmerged],
            None => &[AdapterMode::Merged],
        };
        for &adapter_mode in modes {
            let path = adapter.as_ref().map(|place| place.path().to_str().unwrap().to_owned());
            let spec = EngineSpec { adapter: path, adapter_mode, ..base.clone() };
            let mut engine = open(&spec).unwrap().load(1).unwrap();
            let prompts: Vec<Vec<u32>> = rows.iter().map(|row| row.input_ids.clone()).collect();
            for batch_size in [1, 5] {
                let batches = prompts.chunks(batch_size);
                let found: Vec<Vec<u32>> =
                    batches.flat_map(|batch| decode_ids(&mut engine, batch, MOST)).collect();
                for (row, ids) in rows.iter().zip(found) {
                    assert_eq!(ids, row.output_ids, "{name}, {:?}", row.input_ids);
                }
            }
        }
    }
}

/// The implementation that other devices use.
#[test]
fn candle_keeps_embeddings_of_the_stacks_too() {
    for (name, rows) in variants().into_iter().filter(|(name, _)| name.starts_with("own")) {
        let place = variant(&name, &rows[0].model);
        let config = Config::parse(&fs::read(place.path().join(CONFIG)).unwrap()).unwrap();
        let weights = Blob::open(&place.path().join(WEIGHTS)).unwrap();
        let checkpoint = Checkpoint::open(&config, Weights::Stored(vec![weights])).unwrap();
        let mut engine =
            CandleT5::load(&checkpoint, Device::Cpu, model::engine::Dtype::F32).unwrap();
        let prompts = rows.iter().map(|row| &row.input_ids);
        for (row, ids) in rows.iter().zip(super::fixture::greedy(&mut engine, prompts, MOST)) {
            assert_eq!(ids, row.output_ids, "{name}");
        }
    }
}

#[test]
fn equal_copies_of_the_embedding_are_one() {
    for (model, names) in
        [("gated-untied", &[ENCODER, DECODER][..]), ("relu-tied", &[ENCODER, HEAD])]
    {
        let place = copy(model, &|_, tensors| {
            for name in names {
                tensors.insert((*name).to_owned(), tensors[SHARED].clone());
            }
        });
        let (mut copied, original) = (load(place.path(), 1), load(&folder(model), 1));
        let facts =
            |engine: &dyn Engine| (engine.facts().parameters, engine.facts().model_size_bytes);
        assert_eq!(facts(&copied), facts(&original));
        let cases = &cases(model, None)[..4];
        for (case, ids) in cases.iter().zip(decode(&mut copied, cases, 4)) {
            assert_eq!(ids, case.output_ids);
        }
    }
}

#[test]
fn names_that_a_wrapper_changed_are_told_as_such() {
    let error = |prefix: &str| {
        let place = copy("gated-untied", &|_, tensors| {
            let renamed = std::mem::take(tensors).into_iter();
            tensors.extend(renamed.map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        });
        let path = place.path().to_str().unwrap();
        open(&spec(path)).unwrap_err().to_string().replace(path, "DIR")
    };
    assert_eq!(
        error("_orig_mod."),
        "DIR/model.safetensors: tensor names begin with `_orig_mod.`, which torch.compile adds to a compiled \
         model: save its `_orig_mod`, or remove the prefix from the names"
    );
    assert!(error("module.").contains("`module.`, which DistributedDataParallel adds"));
    assert!(
        error("model.model.").contains("`model.model.`, which a wrapper around the model adds")
    );

    for prefix in ["_orig_mod.base_model.model.", "base_model.model.module."] {
        let adapter = head_adapter(&tensors("relu-tied"), "");
        let name = |factor: &str| {
            format!("{prefix}decoder.block.0.layer.0.SelfAttention.q.lora_{factor}.weight")
        };
        let factors = [(name("A"), factor(2, 48)), (name("B"), factor(48, 2))];
        write(&adapter.path().join("adapter_model.safetensors"), &factors.into());
        let adapter = adapter.path().to_str().unwrap();
        let error = open(&adapted_spec("relu-tied", adapter, AdapterMode::Merged)).unwrap_err();
        assert!(error.to_string().contains("tensor names begin with"), "{prefix}: {error}");
    }
}

#[test]
fn settings_of_generation_come_from_one_file() {
    let place = copy("gated-untied", &|config, _| config["num_beams"] = 4.into());
    let opened = || open(&spec(place.path().to_str().unwrap())).map_err(Box::new);
    let decoding = || opened().unwrap().facts().decoding.unwrap().to_string();
    assert_eq!(decoding(), "num_beams = 4, length_penalty = 1, early_stopping = false");
    // A generation_config.json replaces the settings in config.json.
    let path = place.path().join("generation_config.json");
    let hash = || opened().unwrap().facts().model_sha256;
    let without = hash();
    fs::write(&path, r#"{"decoder_start_token_id": 0, "eos_token_id": 1, "min_length": 40}"#)
        .unwrap();
    assert_eq!(decoding(), "greedy, min_new_tokens = 39");
    assert_ne!(hash(), without, "the file counts among the model's");
    fs::write(&path, "{}").unwrap();
    let error = opened().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().ends_with("generation_config.json"), "{error}");
    assert!(cause.starts_with("the file has neither decoder_start_token_id"), "{cause}");
}

#[test]
fn an_end_of_its_own_does_not_change_how_prompts_end() {
    let place = copy("gated-untied", &|_, _| {});
    let generation = r#"{"decoder_start_token_id": 0, "eos_token_id": [355, 1]}"#;
    fs::write(place.path().join("generation_config.json"), generation).unwrap();
    let engine = load(place.path(), 1);
    assert_eq!(engine.prompt_of_ids(vec![5, 6, 7, 1], 3).unwrap().ids, [5, 6, 1]);
}

/// The patterns of `patterns-head`, written so that they look ahead and behind.
#[test]
fn patterns_that_look_ahead_give_the_same_tokens() {
    let adapter = folder("gated-untied").join("adapters/patterns-head");
    let place = tempfile::tempdir().unwrap();
    let weights = "adapter_model.safetensors";
    fs::copy(adapter.join(weights), place.path().join(weights)).unwrap();
    let text = fs::read_to_string(adapter.join("adapter_config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["rank_pattern"] =
        json!({ "^(?!encoder).*\\.1\\.layer\\.1\\.(?=Enc)EncDecAttention\\.v": 6 });
    config["alpha_pattern"] =
        json!({ "(?!decoder)\\w+\\.block\\.0\\.layer\\.0\\.SelfAttention(?=\\.q$)\\.q": 20 });
    fs::write(place.path().join("adapter_config.json"), config.to_string()).unwrap();
    let path = place.path().to_str().unwrap();
    let spec = adapted_spec("gated-untied", path, AdapterMode::Merged);
    let mut engine = open(&spec).unwrap().load(1).unwrap();
    let cases = cases("gated-untied", Some("patterns-head"));
    for (case, ids) in cases.iter().zip(decode(&mut engine, &cases, 8)) {
        assert_eq!(ids, case.output_ids, "{}", case.id);
    }
}

#[test]
fn an_adapter_of_a_tied_head_keeps_the_embedding_and_says_so() {
    let adapter = head_adapter(&tensors("relu-tied"), "");
    let path = adapter.path().to_str().unwrap();
    for mode in [AdapterMode::Merged, AdapterMode::Unmerged] {
        let opened = open(&adapted_spec("relu-tied", path, mode)).unwrap();
        let notes = opened.facts().notes.join("\n").replace(path, "DIR");
        assert!(
            notes.contains("DIR/adapter_model.safetensors changes the head, which is tied"),
            "{notes}"
        );
    }
    let tying = head_adapter(&tensors("relu-tied"), r#", "ensure_weight_tying": true"#);
    let spec = adapted_spec("relu-tied", tying.path().to_str().unwrap(), AdapterMode::Merged);
    let error = open(&spec).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.starts_with("ensure_weight_tying = true is not supported"), "{cause}");
}

/// peft saves the base of an adapted head as well. One that differs is loaded into the base.
#[test]
fn a_copy_of_the_adapted_head_replaces_it_only_if_it_differs() {
    for model in ["gated-untied", "relu-tied"] {
        let tensors = tensors(model);
        let head = tensors.get(HEAD).unwrap_or(&tensors[SHARED]).clone();
        let adapter = |head: (Vec<usize>, Vec<u8>)| {
            let adapter = head_adapter(&tensors, "");
            let name = |factor: &str| format!("base_model.model.lm_head.lora_{factor}.weight");
            let (rows, width) = (head.0[0], head.0[1]);
            let copy = ("base_model.model.lm_head.base_layer.weight".to_owned(), head);
            let file = [(name("A"), factor(2, width)), (name("B"), factor(rows, 2)), copy];
            write(&adapter.path().join("adapter_model.safetensors"), &file.into());
            adapter
        };
        let cases = &cases(model, None)[..6];
        let decoded = |adapter: &TempDir, mode| {
            let opened = open(&adapted_spec(model, adapter.path().to_str().unwrap(), mode));
            let mut engine = opened.map_err(|error| error.to_string())?.load(1).unwrap();
            let notes = engine.facts().notes.concat();
            Ok::<_, String>((decode(&mut engine, cases, 6), notes))
        };
        let (bare, _) = decoded(&head_adapter(&tensors, ""), AdapterMode::Merged).unwrap();
        let (same, notes) = decoded(&adapter(head.clone()), AdapterMode::Unmerged).unwrap();
        assert_eq!(same, bare);
        assert!(!notes.contains("replaces it"), "{notes}");

        let mut other = head;
        let rows: Vec<u8> = other.1.chunks_exact(4 * other.0[1]).rev().flatten().copied().collect();
        other.1 = rows;
        let (replaced, notes) = decoded(&adapter(other.clone()), AdapterMode::Merged).unwrap();
        assert_ne!(replaced, bare);
        assert!(notes.contains(
            "lm_head.base_layer.weight differs from the base's lm_head.weight and replaces it"
        ));
        let unmerged = decoded(&adapter(other), AdapterMode::Unmerged);
        match unmerged {
            Ok((unmerged, _)) => assert_eq!((unmerged, model), (replaced, "gated-untied")),
            // The embedding changes as well.
            Err(error) => {
                assert!(error.contains("lm_head.base_layer.weight differs from the base's and replaces the embedding"), "{error}");
            }
        }
    }
}

/// The head of an untied base, in both modes and by exchange.
#[test]
fn an_unmerged_adapter_of_the_head_gives_the_tokens_of_a_merged_one() {
    let adapter = head_adapter(&tensors("gated-untied"), "");
    let path = adapter.path().to_str().unwrap();
    let cases = &cases("gated-untied", None)[..8];
    let spec_in = |mode| adapted_spec("gated-untied", path, mode);
    let mut merged = open(&spec_in(AdapterMode::Merged)).unwrap().load(1).unwrap();
    let mut base = load(&folder("gated-untied"), 1);
    let (expected, bare) = (decode(&mut merged, cases, 4), decode(&mut base, cases, 4));
    assert_ne!(expected, bare);
    assert!(base.switch(&spec_in(AdapterMode::Unmerged)).unwrap());
    assert_eq!(decode(&mut base, cases, 4), expected);
    assert!(base.adapter_bytes() > 0);
    assert!(base.switch(&spec(folder("gated-untied").to_str().unwrap())).unwrap());
    assert_eq!(decode(&mut base, cases, 4), bare);
}
