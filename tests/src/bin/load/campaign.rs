//! One campaign of the real controller with simulated agents, and its measurements.

use crate::fleet::Simulated;
use crate::viewers::{Seen, Viewers};
use crate::watched::Watched;
use scenarios::{JoinCommand, Workspace, scripted};
use std::time::Duration;
use tokio::time::Instant;

/// Samples of a batch.
const BATCH: u64 = 8;
/// Samples per second of all agents together.
pub(crate) const PACE: f64 = 21_000.0;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) agents: u64,
    /// Per round.
    pub(crate) samples: u64,
    pub(crate) rounds: u64,
    /// Samples per second of all agents together.
    pub(crate) pace: f64,
    /// Viewers of the live page; null if it is not served.
    pub(crate) viewers: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) registered: Duration,
    /// Median, 99th percentile and maximum of the waits for a shard.
    pub(crate) dispatch: [Duration; 3],
    pub(crate) stored: Duration,
    pub(crate) resident_mib: u64,
    /// CPU time of the controller until all samples were stored.
    pub(crate) processor: Duration,
    pub(crate) report: Duration,
    pub(crate) report_mib: u64,
    /// Null if the page was not served.
    pub(crate) seen: Option<Seen>,
}

impl Asked {
    fn matrix(&self) -> String {
        let Self { agents, samples, rounds, .. } = self;
        format!(
            r#"
name = "load"
[dataset]
source = "dialogues.jsonl"
samples = {samples}
[[model]]
name = "script"
id = "scripted:script.json"
[factors]
batch_sizes = [{BATCH}]
[protocol]
runs = {rounds}
warmup = 0
[[target]]
name = "machine"
agents = {agents}
usd_per_hour = 1.0
"#
        )
    }

    pub(crate) fn measure(&self) -> Measured {
        let &Self { agents, samples, rounds, pace, viewers } = self;
        let workspace = Workspace::default();
        let line = |number: u64| {
            format!(
                "{{\"id\": \"s{number}\", \"dialogue\": \"A: number {number}, please? B: Yes.\"}}\n"
            )
        };
        workspace.write("dialogues.jsonl", (0..samples).map(line).collect::<String>());
        workspace.write("script.json", "{}");
        workspace.write("matrix.toml", self.matrix());
        let page: &[&str] = if viewers.is_some() { &["--web", "127.0.0.1:0"] } else { &[] };
        let mut running = workspace.start(&[&scripted::RUN[..], page].concat());
        let JoinCommand { controller, token_file } = running.join_command();
        let viewers = viewers.map(|count| {
            let line = running.until("live page on http://");
            let (_, address) = line.trim().rsplit_once("http://").expect("the line contains it");
            Viewers::start(address.trim_end_matches('/'), count)
        });
        let token = std::fs::read_to_string(workspace.path(&token_file));
        let simulated = Simulated {
            controller,
            token: token.expect("the token was written").trim().to_owned(),
            agents,
            batch: Duration::from_secs_f64(BATCH as f64 * agents as f64 / pace),
        };
        let watched = Watched::start(running.id());
        let start = Instant::now();
        let fleet = simulated.start();
        for _ in 0..agents {
            running.until(" joined for ");
        }
        let registered = start.elapsed();
        let start = Instant::now();
        running.until(&format!("{0}/{0} samples", samples * rounds));
        let stored = start.elapsed();
        let (resident_mib, processor) = watched.now();
        let start = Instant::now();
        let _ = running.finish().expect(0);
        let report = start.elapsed();
        let (report_mib, _) = watched.end();
        let dispatch = fleet.end();
        let seen = viewers.map(Viewers::end);
        let results = workspace.results("results.json");
        assert_eq!(results["campaign"]["missing_samples"], 0, "a sample is missing");
        Measured { registered, dispatch, stored, resident_mib, processor, report, report_mib, seen }
    }
}
