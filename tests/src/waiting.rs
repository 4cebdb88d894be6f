//! A controller that waits for agents, and what it is to measure then.

use crate::{Running, Workspace};

/// The target.
pub const THERE: &str = r#"
[[target]]
name = "there"
usd_per_hour = 0.1
"#;

/// A matrix of four dialogues with the smallest model, two batches, once, on these targets.
pub fn matrix(name: &str, targets: &str) -> String {
    format!(
        r#"
name = "{name}"
[dataset]
source = "builtin:dialogues"
samples = 4
[[model]]
name = "tiny"
id = "builtin:tiny"
[factors]
batch_sizes = [2]
[protocol]
runs = 1
warmup = 0
{targets}"#
    )
}

/// Runs `matrix.toml` of this folder over TLS, with certificates of `certs`, which are made, and `further` arguments.
/// Gives the port beside it.
///
/// # Panics
/// Where it doesn't come to listen.
pub fn over_tls(workspace: &Workspace, further: &str) -> (Running, String) {
    let _ = workspace.run(&["certs", "init", "--dir", "certs"]).expect(0);
    let own = ["run", "matrix.toml", "--listen", "0.0.0.0:0", "--certs", "certs"].into_iter();
    let arguments: Vec<&str> = own.chain(further.split_whitespace()).collect();
    let mut running = workspace.start(&arguments);
    let line = running.until(" on https://");
    let port = line.trim().rsplit(':').next().expect("the line ends with a port").to_owned();
    (running, port)
}
