//! One tree of files is one model or adapter, whether it is a folder, an archive or a repository on the hub, and
//! messages name its files as the user does.

use scenarios::generate::{TINY, output, tiny};
use scenarios::hub::Hub;
use scenarios::{Finished, Workspace, generate, repository};
use serde_json::{Map, Value, json};
use std::fs;
use std::process::Command;

type Tree = Vec<(String, Vec<u8>)>;

fn tree<const N: usize>(files: [(&str, Vec<u8>); N]) -> Tree {
    files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// The built-in model below a folder, which ends with a slash if it is not empty.
fn model(folder: &str) -> Tree {
    TINY.iter().map(|file| (format!("{folder}{file}"), tiny(file))).collect()
}

fn parity(adapter: &str, folder: &str) -> Tree {
    let place = repository("agent/tests/parity/gated-untied/adapters").join(adapter);
    let files = ["adapter_config.json", "adapter_model.safetensors"];
    let read = |file: &str| fs::read(place.join(file)).expect("a file of the adapter");
    files.iter().map(|file| (format!("{folder}{file}"), read(file))).collect()
}

/// A tree in each form.
struct Forms {
    workspace: Workspace,
    hub: Hub,
    /// The name of each form, as a user gives it.
    names: [String; 3],
}

fn forms(files: &Tree) -> Forms {
    let workspace = Workspace::default();
    let mut hub = Hub::start();
    for (name, bytes) in files {
        let path = workspace.path("tree").join(name);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
        fs::write(path, bytes).expect("it can be written");
        hub = hub.with("models/org/tree", name, bytes.clone());
    }
    let mut tar = Command::new("tar");
    let tar =
        tar.arg("-czf").arg(workspace.path("tree.tar.gz")).arg("-C").arg(workspace.path("tree"));
    assert!(tar.arg(".").status().expect("tar is there").success());
    let names = ["./tree", "./tree.tar.gz", "org/tree"].map(str::to_owned);
    Forms { workspace, hub, names }
}

impl Forms {
    fn run(&self, mut command: Command) -> Finished {
        Finished::of(self.hub.at(&mut command, &self.workspace))
    }

    fn generate(&self, model: &str) -> Finished {
        self.run(generate::command(&self.workspace, &[model]))
    }

    fn adapted(&self, adapter: &str) -> Finished {
        self.run(generate::with_adapter(&self.workspace, adapter))
    }
}

/// What each form of a tree generates.
fn generated(files: &Tree) -> [String; 3] {
    let forms = forms(files);
    forms.names.each_ref().map(|name| {
        let _ = forms.generate(name).expect(0);
        output(&forms.workspace)
    })
}

fn builtin() -> String {
    let workspace = Workspace::default();
    let _ = Finished::of(&mut generate::command(&workspace, &["builtin:tiny"])).expect(0);
    output(&workspace)
}

/// What each form of a tree says when it is refused, with the form's name as `TREE`.
fn refused(files: &Tree) -> [String; 3] {
    let forms = forms(files);
    forms.names.each_ref().map(|name| said(&forms.generate(name).expect(2), name, &forms))
}

fn said(finished: &Finished, name: &str, forms: &Forms) -> String {
    for cache in ["hf", "cache"] {
        let cache = forms.workspace.path(cache);
        assert!(!finished.err.contains(cache.to_str().expect("a path")), "{}", finished.err);
    }
    // A file in an archive follows a colon.
    finished.err.trim().replace(&format!("{name}:"), "TREE/").replace(name, "TREE")
}

fn assert_all(said: &[String; 3], words: &str) {
    assert!(said.iter().all(|said| said.contains(words)), "{words}: {said:?}");
}

#[test]
fn the_model_at_the_root_wins_in_every_form() {
    let expected = builtin();
    let mut at_root = model("");
    // Another vocabulary: mixing any of its files with the root's would fail.
    at_root.extend(tree([
        ("checkpoint-500/config.json", b"{}".to_vec()),
        ("checkpoint-500/model.safetensors", b"not read".to_vec()),
        ("checkpoint-500/generation_config.json", b"{}".to_vec()),
        ("code/config.json", br#"{"accept": "application/json"}"#.to_vec()),
        ("code/inference.py", b"pass".to_vec()),
    ]));
    assert_eq!(generated(&at_root), [&expected; 3].map(Clone::clone));

    let mut below = model("output/model/");
    below.extend(tree([
        ("checkpoint-1/config.json", b"{}".to_vec()),
        ("checkpoint-1/model.safetensors", b"not read".to_vec()),
        ("code/config.json", b"{}".to_vec()),
    ]));
    assert_eq!(generated(&below), [&expected; 3].map(Clone::clone));
}

#[test]
fn files_of_different_folders_are_not_one_model_in_any_form() {
    let several = [model("a/"), model("b/")].concat();
    assert_all(&refused(&several), "TREE contains several models (./a, ./b): specify the folder");
    let mut apart = model("a/");
    apart[0].0 = "config.json".to_owned();
    assert_all(&refused(&apart), "TREE has no model.safetensors");
    // Without a tokenizer beside it, the model has none.
    let mut without = model("a/");
    without[2].0 = "tokenizer.json".to_owned();
    assert_all(&refused(&without), "has no tokenizer: specify a tokenizer.json");
}

/// The built-in model in two shards with these names, and its index.
fn sharded(names: [&str; 2]) -> Tree {
    let bytes = tiny("model.safetensors");
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("8 bytes"));
    let (header, data) = rest.split_at(usize::try_from(length).expect("it fits into memory"));
    let header: Map<String, Value> = serde_json::from_slice(header).expect("a header");
    let mut map = Map::new();
    let mut shards = [(Map::new(), Vec::new()), (Map::new(), Vec::new())];
    let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
    for (place, (name, mut tensor)) in tensors.enumerate() {
        let at = |end: usize| {
            let offset = tensor["data_offsets"][end].as_u64().expect("an offset");
            usize::try_from(offset).expect("it fits into memory")
        };
        let part = &data[at(0)..at(1)];
        let (header, data) = &mut shards[place % 2];
        tensor["data_offsets"] = json!([data.len(), data.len() + part.len()]);
        data.extend_from_slice(part);
        header.insert(name.clone(), tensor);
        map.insert(name, names[place % 2].into());
    }
    let mut files: Tree =
        model("").into_iter().filter(|(name, _)| !name.contains("safe")).collect();
    for (name, (header, data)) in names.iter().zip(shards) {
        let header = Value::Object(header).to_string();
        let length = (header.len() as u64).to_le_bytes();
        files.push(((*name).to_owned(), [&length[..], header.as_bytes(), &data].concat()));
    }
    let index = json!({ "metadata": {}, "weight_map": map }).to_string();
    files.push(("model.safetensors.index.json".to_owned(), index.into_bytes()));
    files
}

#[test]
fn shards_are_those_that_the_index_names_in_every_form() {
    let names = ["t5_shard-00001-of-00002.safetensors", "t5_shard-00002-of-00002.safetensors"];
    let mut files = sharded(names);
    // Named like a shard, but not by the index.
    files.push(("model-00001-of-00001.safetensors".to_owned(), b"not read".to_vec()));
    assert_eq!(generated(&files), [&builtin(); 3].map(Clone::clone));
    let below =
        files.iter().map(|(name, bytes)| (format!("model/{name}"), bytes.clone())).collect();
    assert_eq!(generated(&below), [&builtin(); 3].map(Clone::clone));
    files.retain(|(name, _)| name != names[1]);
    assert_all(&refused(&files), &format!("TREE has no {}", names[1]));
}

#[test]
fn placeholders_are_named_with_their_remedy_in_every_form() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n";
    let denied = b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>";
    for (place, content, words) in [
        (
            1,
            &pointer[..],
            "TREE/model.safetensors is a Git LFS pointer, not the file itself: run `git lfs pull`",
        ),
        (2, &pointer[..], "TREE/tokenizer.json is a Git LFS pointer"),
        (0, b"<!DOCTYPE html><html>", "TREE/config.json is an HTML page"),
        (1, denied, "TREE/model.safetensors is an XML document with the error code `AccessDenied`"),
    ] {
        let mut files = model("");
        files[place].1 = content.to_vec();
        assert_all(&refused(&files), words);
    }
    let mut shards = sharded(["a.safetensors", "b.safetensors"]);
    for (name, bytes) in &mut shards {
        if name == "b.safetensors" {
            *bytes = pointer.to_vec();
        }
    }
    assert_all(&refused(&shards), "TREE/b.safetensors is a Git LFS pointer");
    for (name, bytes) in &mut shards {
        if name.ends_with("index.json") {
            *bytes = pointer.to_vec();
        }
    }
    assert_all(&refused(&shards), "TREE/model.safetensors.index.json is a Git LFS pointer");
    // An archive as a whole.
    let forms = forms(&model(""));
    forms.workspace.write("tree.tar.gz", pointer);
    let words = "./tree.tar.gz is a Git LFS pointer";
    for finished in [forms.generate("./tree.tar.gz"), forms.adapted("./tree.tar.gz")] {
        let finished = finished.expect(2);
        assert!(finished.err.contains(words), "{}", finished.err);
    }
}

#[test]
fn a_sentencepiece_model_says_how_to_convert_it_in_every_form() {
    let mut files = model("");
    files[2] = ("spiece.model".to_owned(), b"pieces".to_vec());
    let said = refused(&files);
    assert_all(
        &said,
        "TREE/spiece.model is not read, and there is no tokenizer.json: convert it with",
    );
    assert_all(&said, "save_pretrained");
    // Given by itself.
    let forms = forms(&files);
    for tokenizer in ["./tree/spiece.model", "./tree", "org/tree"] {
        let model = ["builtin:tiny", "--tokenizer", tokenizer];
        let said = forms.run(generate::command(&forms.workspace, &model)).expect(2);
        let words = "spiece.model is not a tokenizer.json: convert it with";
        assert!(said.err.contains(words), "{tokenizer}: {}", said.err);
    }
}

#[test]
fn an_adapter_is_found_at_the_same_depth_in_every_form() {
    let expected = forms(&parity("qv-r8", ""));
    let _ = expected.adapted("./tree").expect(0);
    let expected = output(&expected.workspace);
    let below = parity("qv-r8", "output/model/run1/adapter/");
    let at_root = [parity("qv-r8", ""), parity("rslora-all", "other/")].concat();
    for files in [below, at_root] {
        let forms = forms(&files);
        for name in &forms.names {
            let _ = forms.adapted(name).expect(0);
            assert_eq!(output(&forms.workspace), expected, "{name}");
        }
    }
    let several = forms(&[parity("qv-r8", "a/"), parity("rslora-all", "b/")].concat());
    let mut pointer = parity("qv-r8", "a/");
    pointer[1].1 = b"version https://git-lfs.github.com/spec/v1\n".to_vec();
    for (forms, words) in [
        (several, "TREE contains several adapters (./a, ./b): specify the folder of one"),
        (forms(&pointer), "TREE/a/adapter_model.safetensors is a Git LFS pointer"),
    ] {
        for name in &forms.names {
            let said = said(&forms.adapted(name).expect(2), name, &forms);
            assert!(said.contains(words), "{said}");
        }
    }
}

/// Archives as they were reported from the field.
mod field {
    use super::{Finished, Workspace, generate, output};
    use scenarios::repository;
    use std::path::PathBuf;

    #[expect(clippy::disallowed_methods, reason = "the inputs are not part of the repository")]
    fn archives() -> PathBuf {
        let field =
            std::env::var_os("FLEETMARK_TEST_CASES").expect("FLEETMARK_TEST_CASES names a folder");
        PathBuf::from(field).join("archives")
    }

    #[test]
    #[ignore = "needs ../shared/cases: FLEETMARK_TEST_CASES=FOLDER cargo xtask ignored field:: --test integration"]
    fn models_are_read_from_archives() {
        for (archive, model) in [
            ("root-and-checkpoint.tar.gz", "relu-tied"),
            ("root-and-code.tar.gz", "relu-tied"),
            ("sharded-odd.tar.gz", "gated-untied"),
        ] {
            let archive = archives().join(archive);
            let folder = repository("agent/tests/parity").join(model);
            let [found, expected] = [archive, folder].map(|model| {
                let workspace = Workspace::default();
                let model = model.to_str().expect("the path is UTF-8");
                let mut command = generate::command(&workspace, &[model]);
                workspace.write("in.jsonl", "{\"id\": 1, \"input_ids\": [233, 17, 90, 1]}\n");
                let cache = workspace.path("cache");
                let _ = Finished::of(command.env("FLEETMARK_CACHE", cache)).expect(0);
                output(&workspace)
            });
            assert_eq!(found, expected, "{model}");
        }
    }
}
