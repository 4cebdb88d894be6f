//! The controller's overhead: wall time beyond the measured time of a campaign.

use scenarios::Workspace;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// Of one campaign with the scripted engine, which waits in real time.
#[derive(Debug)]
pub(crate) struct Overhead {
    wall: Duration,
    measured: Duration,
}

impl Overhead {
    /// As a share of the wall time.
    pub(crate) fn share(&self) -> f64 {
        1.0 - self.measured.as_secs_f64() / self.wall.as_secs_f64()
    }
}

impl fmt::Display for Overhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a campaign of {:.2} s measured {:.2} s: {:.2}% for start, dispatch, store and report",
            self.wall.as_secs_f64(),
            self.measured.as_secs_f64(),
            self.share() * 100.0
        )
    }
}

const MATRIX: &str = r#"
name = "overhead"
[dataset]
source = "builtin:dialogues"
samples = 160
[[model]]
name = "script"
id = "scripted:script.json"
[factors]
batch_sizes = [1, 8]
[protocol]
runs = 4
warmup = 0
[[fleet.local]]
target = "machine"
threads = 1
usd_per_hour = 1.0
"#;

pub(crate) fn measure() -> Overhead {
    let workspace = Workspace::default();
    // 100 ms per batch: 4 rounds of 160 batches of one, and 20 of eight.
    let script = r#"{"prompt_ms": 40, "token_ms": 10, "output_tokens": 7, "paced": true}"#;
    workspace.write("script.json", script);
    workspace.write("matrix.toml", MATRIX);
    let start = Instant::now();
    let _ = workspace.run(&["run", "matrix.toml", "--quiet", "--output", "results.json"]).expect(0);
    let wall = start.elapsed();
    let samples = workspace.samples("results.json");
    // All samples of a batch start together, so its span is the longest latency.
    let mut batches = std::collections::BTreeMap::new();
    for row in &samples {
        let longest: &mut i64 = batches.entry((&row.cell, row.run, row.batch)).or_default();
        *longest = row.latency_ns.max(*longest);
    }
    let measured = u64::try_from(batches.values().sum::<i64>()).expect("times are positive");
    Overhead { wall, measured: Duration::from_nanos(measured) }
}
