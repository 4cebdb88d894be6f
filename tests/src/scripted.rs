//! Campaigns whose engine takes its times from `script.json`, without a model.

use crate::Workspace;

pub const RUN: [&str; 6] = ["run", "matrix.toml", "--data-dir", "data", "--output", "results.json"];
pub const RESUME: [&str; 7] =
    ["run", "--resume", "latest", "--data-dir", "data", "--output", "results.json"];

/// One local target.
pub const HERE: &str = r#"
[[fleet.local]]
target = "here"
threads = 1
usd_per_hour = 0.1
"#;

/// 15 ms a batch. A paced engine takes this time, so that something can happen meanwhile.
pub fn script(is_paced: bool) -> String {
    format!(r#"{{"prompt_ms": 5, "token_ms": 1, "output_tokens": 10, "paced": {is_paced}}}"#)
}

/// A matrix over built-in dialogues; `rest` holds factors, protocol and targets.
pub fn matrix(name: &str, samples: usize, rest: &str) -> String {
    format!(
        r#"
name = "{name}"
[dataset]
source = "builtin:dialogues"
samples = {samples}
[[model]]
name = "script"
id = "scripted:script.json"
{rest}"#
    )
}

/// A folder with a script and a matrix.
pub fn workspace(script: &str, matrix: &str) -> Workspace {
    let workspace = Workspace::default();
    workspace.write("script.json", script);
    workspace.write("matrix.toml", matrix);
    workspace
}
