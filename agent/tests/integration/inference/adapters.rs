//! Adapters that don't fit, modules that were trained whole, and archives that aren't what they
//! seem.

use super::fixture::{adapted, adapted_spec, cases, decode, folder, open};
use engine::Engine;
use flate2::Compression;
use flate2::write::GzEncoder;
use model::engine::AdapterMode;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::fs;
use std::io::Write;
use std::path::Path;
use tar::{Builder, EntryType, Header};

const MODEL: &str = "gated-untied";
const FILES: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

fn adapter_file(name: &str) -> Vec<u8> {
    fs::read(folder(MODEL).join("adapters/qv-r8").join(name)).unwrap()
}

/// One entry of an archive. The name is written as it is, which tar's own functions refuse to do.
fn add(archive: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    if kind == EntryType::Symlink || kind == EntryType::Link {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    archive.append(&header, bytes).unwrap();
}

fn gzip(bytes: &[u8], path: &Path) {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    fs::write(path, packed.finish().unwrap()).unwrap();
}

/// What opening an archive says that holds the adapter below `below`, and what `more` puts behind
/// it.
fn opened(below: &str, more: &dyn Fn(&mut Builder<Vec<u8>>)) -> Result<String, String> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("model.tar.gz");
    let mut archive = Builder::new(Vec::new());
    for name in FILES {
        add(&mut archive, EntryType::Regular, &format!("{below}{name}"), &adapter_file(name));
    }
    more(&mut archive);
    gzip(&archive.into_inner().unwrap(), &path);
    adapted(MODEL, path.to_str().unwrap())
        .map(|engine| engine.facts().adapter_sha256.clone().unwrap())
        .map_err(|error| error.to_string().replace(place.path().to_str().unwrap(), "DIR"))
}

#[test]
fn an_archive_is_read_wherever_it_holds_the_adapter_and_hashes_as_the_folder_does() {
    let from_folder = adapted(MODEL, "adapters/qv-r8").unwrap();
    for below in ["", "./", "model/", "adapter/", "checkpoint-100/"] {
        let code = |archive: &mut Builder<Vec<u8>>| {
            add(archive, EntryType::Directory, "code/", b"");
            add(archive, EntryType::Regular, "code/inference.py", b"pass");
        };
        let hash = opened(below, &code).unwrap();
        assert_eq!(Some(hash), from_folder.facts().adapter_sha256, "{below}");
    }
}

#[test]
fn an_archive_that_could_do_harm_is_refused() {
    let refused =
        |kind, name: &str| opened("", &|archive| add(archive, kind, name, b"")).unwrap_err();
    let outside = "is an absolute path or leaves the archive";
    let special = "is neither a file nor a folder";
    for (kind, name, why) in [
        (EntryType::Regular, "/etc/cron.d/x", outside),
        (EntryType::Regular, "../x", outside),
        (EntryType::Regular, "a/../../x", outside),
        (EntryType::Symlink, "x", special),
        (EntryType::Link, "x", special),
        (EntryType::Char, "x", special),
        (EntryType::Block, "x", special),
        (EntryType::Fifo, "x", special),
    ] {
        assert_eq!(
            refused(kind, name),
            format!("DIR/model.tar.gz is rejected: entry {name:?} {why}")
        );
    }
    assert_eq!(
        refused(EntryType::Regular, "./adapter_config.json"),
        "DIR/model.tar.gz is rejected: duplicate entry \"./adapter_config.json\""
    );
    let many = opened("", &|archive| {
        for count in 0..10_000 {
            add(archive, EntryType::Regular, &format!("x{count}"), b"");
        }
    });
    assert_eq!(many.unwrap_err(), "DIR/model.tar.gz is rejected: more than 10000 entries");
    let named = |length: usize| {
        opened("", &|archive| {
            add(archive, EntryType::GNULongName, "././@LongLink", &vec![b'a'; length]);
            add(archive, EntryType::Regular, "x", b"content");
        })
    };
    named(300).unwrap();
    // The parser holds a name in memory.
    assert_eq!(named(2 << 20).unwrap_err(), "cannot read DIR/model.tar.gz");
    let bomb = opened("", &|archive| {
        add(archive, EntryType::Regular, "zeros", &vec![0; 32 << 20]);
    });
    let bomb = bomb.unwrap_err();
    assert!(bomb.ends_with("bytes unpack to more than 16777216"), "{bomb}");
}

#[test]
fn an_archive_that_is_cut_off_or_none_at_all_is_noticed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("model.tar.gz");
    let whole = fs::read(folder(MODEL).join("adapters/qv-r8.model.tar.gz")).unwrap();
    let error = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = adapted(MODEL, path.to_str().unwrap()).unwrap_err();
        error.to_string().replace(place.path().to_str().unwrap(), "DIR")
    };
    assert_eq!(error(&whole[..whole.len() / 2]), "cannot read DIR/model.tar.gz");
    assert_eq!(
        error(b"PK\x03\x04 a zip file, and long enough"),
        "DIR/model.tar.gz is not a tar.gz archive: expected a folder or a model.tar.gz"
    );
}

#[test]
fn several_adapters_are_listed() {
    let two = opened("one/", &|archive| {
        for name in FILES {
            add(archive, EntryType::Regular, &format!("two/{name}"), &adapter_file(name));
        }
    });
    assert_eq!(
        two.unwrap_err(),
        "DIR/model.tar.gz contains several adapters (./one, ./two): specify the folder of one (unpack an \
         archive first)"
    );
}

/// What a folder with the adapter says after `change` was made to its config.
fn with_config(change: &dyn Fn(&mut serde_json::Value)) -> Result<Vec<String>, String> {
    let place = tempfile::tempdir().unwrap();
    let mut config: serde_json::Value =
        serde_json::from_slice(&adapter_file("adapter_config.json")).unwrap();
    change(&mut config);
    fs::write(place.path().join(FILES[0]), config.to_string()).unwrap();
    fs::write(place.path().join(FILES[1]), adapter_file(FILES[1])).unwrap();
    adapted(MODEL, place.path().to_str().unwrap())
        .map(|engine| engine.facts().notes.clone())
        .map_err(|error| {
            let error: &dyn std::error::Error = &error;
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{error}{cause}").replace(place.path().to_str().unwrap(), "DIR")
        })
}

#[test]
fn an_adapter_that_does_not_fit_is_refused_by_name() {
    let error = with_config(&|config| config["r"] = 4.into()).unwrap_err();
    assert_eq!(
        error,
        "DIR/adapter_model.safetensors: tensor base_model.model.decoder.block.0.layer.0.SelfAttention.q.\
         lora_A.weight has shape [8, 64], model and config require [4, 64]"
    );
    let error = with_config(&|config| config["use_dora"] = true.into()).unwrap_err();
    assert_eq!(
        error,
        "cannot use DIR/adapter_config.json: use_dora = true is not supported: merge the adapter into its \
         model with peft and use the merged model"
    );
    let error =
        with_config(&|config| config["target_modules"] = serde_json::json!(["q"])).unwrap_err();
    assert_eq!(
        error,
        "DIR/adapter_model.safetensors: tensor base_model.model.decoder.block.0.layer.0.SelfAttention.v.\
         lora_A.weight is of a module that DIR/adapter_config.json does not target, so peft would ignore it: \
         add the module to target_modules, or remove the tensor"
    );
    let error = adapted("relu-tied", "../gated-untied/adapters/qv-r8").unwrap_err().to_string();
    assert!(error.contains("has shape [8, 64], model and config require [8, 48]"), "{error}");
}

#[test]
fn another_base_by_name_is_said_and_shapes_decide() {
    let notes = with_config(&|_| {}).unwrap();
    assert!(
        notes[0].starts_with("the adapter was trained on parity/base and is used with /"),
        "{notes:?}"
    );
    let same =
        with_config(&|config| config["base_model_name_or_path"] = "someone/gated-untied".into());
    assert_eq!(same.unwrap(), [""; 0]);
}

#[test]
fn a_folder_without_an_adapter_names_what_is_missing() {
    let place = tempfile::tempdir().unwrap();
    let error = || {
        let error = adapted(MODEL, place.path().to_str().unwrap()).unwrap_err();
        error.to_string().replace(place.path().to_str().unwrap(), "DIR")
    };
    assert_eq!(error(), "DIR has no adapter_config.json");
    fs::write(place.path().join(FILES[0]), "{}").unwrap();
    assert_eq!(error(), "DIR has adapter_config.json but no adapter_model.safetensors beside it");
    fs::write(place.path().join("adapter_model.bin"), "").unwrap();
    assert!(
        error().starts_with("DIR has its weights in adapter_model.bin, which is not supported")
    );
}

/// The adapter `qv-r8`, which also saved `module` whole: the base's tensor `tensor`, each value
/// doubled.
fn with_whole(module: &str, tensor: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let mut config: serde_json::Value =
        serde_json::from_slice(&adapter_file("adapter_config.json")).unwrap();
    config["modules_to_save"] = serde_json::json!([module]);
    fs::write(place.path().join(FILES[0]), config.to_string()).unwrap();
    let base = fs::read(folder(MODEL).join("model.safetensors")).unwrap();
    let base = SafeTensors::deserialize(&base).unwrap();
    let base = base.tensor(tensor).unwrap();
    let (values, _) = base.data().as_chunks::<4>();
    let doubled: Vec<u8> =
        values.iter().flat_map(|value| (2.0 * f32::from_le_bytes(*value)).to_le_bytes()).collect();
    let whole = TensorView::new(Dtype::F32, base.shape().to_vec(), &doubled).unwrap();
    let adapter = adapter_file(FILES[1]);
    let adapter = SafeTensors::deserialize(&adapter).unwrap();
    let mut tensors = adapter.tensors();
    tensors.push((format!("base_model.model.{tensor}"), whole));
    fs::write(place.path().join(FILES[1]), safetensors::serialize(tensors, None).unwrap()).unwrap();
    place
}

/// As in peft 0.21.2 with transformers 5.23, where nothing reads the copy of `shared` that was
/// trained.
#[test]
fn a_saved_shared_embedding_is_passed_over_and_said_so() {
    let place = with_whole("shared", "shared.weight");
    let mut engine = adapted(MODEL, place.path().to_str().unwrap()).unwrap();
    let cases = cases(MODEL, Some("qv-r8"));
    for (case, ids) in cases.iter().zip(decode(&mut engine, &cases, 8)) {
        assert_eq!(ids, case.output_ids, "{}", case.id);
    }
    let notes = engine.facts().notes.join("\n");
    assert!(notes.contains("base_model.model.shared.weight is ignored, as in peft"), "{notes}");
}

#[test]
fn a_saved_norm_can_be_merged_only() {
    let place = with_whole("final_layer_norm", "decoder.final_layer_norm.weight");
    let path = place.path().to_str().unwrap();
    assert!(adapted(MODEL, path).is_ok());
    let error = open(&adapted_spec(MODEL, path, AdapterMode::Unmerged)).unwrap_err();
    assert_eq!(
        error.to_string().replace(path, "DIR"),
        "DIR/adapter_model.safetensors: tensor base_model.model.decoder.final_layer_norm.weight replaces a \
         weight of the base, which an unmerged adapter can do for lm_head only: use adapter_mode = \
         \"merged\" (--adapter-mode merged)"
    );
}

#[test]
fn the_built_in_adapter_fits_the_built_in_model() {
    let spec = model::engine::EngineSpec {
        adapter: Some("builtin:tiny-minutes".to_owned()),
        ..super::fixture::spec("builtin:tiny")
    };
    let facts = open(&spec).unwrap().facts();
    assert_eq!(facts.adapter_sha256.map(|hash| hash.len()), Some(64));
    assert_eq!(facts.notes, [""; 0]);
    let unknown = model::engine::EngineSpec { adapter: Some("builtin:x".to_owned()), ..spec };
    let error = open(&unknown).unwrap_err().to_string();
    assert_eq!(error, "unknown builtin adapter `x`: expected tiny-minutes");
}
