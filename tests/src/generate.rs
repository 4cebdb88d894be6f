//! `agent generate` on one dialogue, for scenarios about the source of a model.

use crate::{Workspace, repository};
use std::process::Command;

const INPUT: &str =
    "{\"id\": \"a\", \"dialogue\": \"Ann: Lunch at noon?\\nBob: Yes, see you there.\"}\n";

/// The files of `builtin:tiny`.
pub const TINY: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// The bytes of a file of `builtin:tiny`.
///
/// # Panics
/// If there is no such file.
pub fn tiny(file: &str) -> Vec<u8> {
    std::fs::read(repository("agent/src/model_source/tiny").join(file))
        .expect("a file of the model")
}

/// `agent generate` with a model by name, and more options.
pub fn command(workspace: &Workspace, model: &[&str]) -> Command {
    workspace.write("in.jsonl", INPUT);
    let own = ["generate", "--input", "in.jsonl", "--output", "out.jsonl", "--model"];
    workspace.agent(&[&own[..], model].concat())
}

/// `agent generate` with an adapter by name, on token ids of its base model.
pub fn with_adapter(workspace: &Workspace, adapter: &str) -> Command {
    workspace.write("in.jsonl", "{\"id\": 1, \"input_ids\": [233, 17, 90, 1]}\n");
    let base = repository("agent/tests/parity/gated-untied");
    let base = base.to_str().expect("the path is UTF-8");
    let files = ["--input", "in.jsonl", "--output", "out.jsonl"];
    workspace.agent(&[&["generate", "--model", base, "--adapter", adapter], &files[..]].concat())
}

/// What was generated.
///
/// # Panics
/// If nothing was.
pub fn output(workspace: &Workspace) -> String {
    std::fs::read_to_string(workspace.path("out.jsonl")).expect("agent generate wrote it")
}
