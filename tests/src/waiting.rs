//! A small campaign whose agents join from outside, and a controller that waits for them.

use crate::{Running, Workspace};

/// Its target.
pub const THERE: &str = r#"
[[target]]
name = "there"
usd_per_hour = 0.1
"#;

/// Four dialogues with the smallest model, in two batches, in one run on these targets.
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

/// Runs `matrix.toml` over TLS with new certificates in `certs`. Returns the controller and its port.
///
/// # Panics
/// If it doesn't listen.
pub fn over_tls(workspace: &Workspace, further: &str) -> (Running, String) {
    let _ = workspace.run(&["certs", "init", "--dir", "certs"]).expect(0);
    let own = ["run", "matrix.toml", "--listen", "0.0.0.0:0", "--certs", "certs"].into_iter();
    let arguments: Vec<&str> = own.chain(further.split_whitespace()).collect();
    let mut running = workspace.start(&arguments);
    let line = running.until(" on https://");
    let port = line.trim().rsplit(':').next().expect("the line ends with a port").to_owned();
    (running, port)
}
