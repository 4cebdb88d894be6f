//! How the controller stands many agents: `load [AGENTS...]` runs it with so many simulated agents each (10, 100 and
//! 1,000), over real connections, and prints what it took. Their engine is a script: they answer at a given pace.
//!
//! It fails where a limit is missed. Run it on an idle machine: `cargo run --release -p scenarios --bin load`.

#![expect(clippy::print_stdout, reason = "it prints its table")]

mod fleet;
mod overhead;
mod watched;

use fleet::Simulated;
use scenarios::{Workspace, program};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;
use watched::Watched;

/// Dialogues, rounds and batch size: a million samples.
const SAMPLES: u64 = 100_000;
const ROUNDS: u64 = 10;
const BATCH: u64 = 8;
/// Samples a second that all agents offer together.
const PACE: f64 = 21_000.0;

/// What a run must hold.
const REGISTERED: Duration = Duration::from_secs(10);
const DISPATCHED: Duration = Duration::from_millis(50);
const TAKEN_IN: Duration = Duration::from_mins(1);
const RESIDENT_MIB: u64 = 512;

struct Measured {
    agents: u64,
    registered: Duration,
    dispatch: [Duration; 3],
    taken_in: Duration,
    resident_mib: u64,
    processor: Duration,
    report: Duration,
    report_mib: u64,
}

fn main() {
    let given: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let agents = if given.is_empty() { vec![10, 100, 1000] } else { given };
    println!(
        "| agents | registered | dispatch p50 / p99 / max | {} samples taken in | samples/s | controller RSS | CPU | report, RSS |",
        SAMPLES * ROUNDS
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut missed = Vec::new();
    for count in agents {
        let measured = measure(count);
        let [p50, p99, max] = measured.dispatch.map(|time| time.as_secs_f64() * 1e3);
        println!(
            "| {} | {:.2} s | {p50:.1} / {p99:.1} / {max:.0} ms | {:.1} s | {:.0} | {} MiB | {:.1} s | {:.1} s, {} MiB |",
            measured.agents,
            measured.registered.as_secs_f64(),
            measured.taken_in.as_secs_f64(),
            (SAMPLES * ROUNDS) as f64 / measured.taken_in.as_secs_f64(),
            measured.resident_mib,
            measured.processor.as_secs_f64(),
            measured.report.as_secs_f64(),
            measured.report_mib,
        );
        missed.extend(measured.missed());
    }
    let overhead = overhead::measure();
    println!("{overhead}");
    if overhead.share() >= 0.01 {
        missed.push(format!("overhead {:.2} %", overhead.share() * 100.0));
    }
    assert!(missed.is_empty(), "missed: {}", missed.join(", "));
}

impl Measured {
    fn missed(&self) -> Vec<String> {
        let limits = [
            (self.registered > REGISTERED, "registration"),
            (self.dispatch[1] > DISPATCHED, "dispatch p99"),
            (self.taken_in > TAKEN_IN, "intake"),
            (self.resident_mib.max(self.report_mib) > RESIDENT_MIB, "memory"),
        ];
        let agents = self.agents;
        limits
            .iter()
            .filter(|(is_missed, _)| *is_missed)
            .map(|(_, what)| format!("{what} with {agents} agents"))
            .collect()
    }
}

fn matrix(agents: u64) -> String {
    format!(
        r#"
name = "load"
[dataset]
source = "dialogues.jsonl"
samples = {SAMPLES}
[[model]]
name = "script"
id = "scripted:script.json"
[factors]
batch_sizes = [{BATCH}]
[protocol]
runs = {ROUNDS}
warmup = 0
[[target]]
name = "machine"
agents = {agents}
usd_per_hour = 1.0
"#
    )
}

fn measure(agents: u64) -> Measured {
    let workspace = Workspace::default();
    let line = |number: u64| {
        format!(
            "{{\"id\": \"s{number}\", \"dialogue\": \"A: number {number}, please? B: Yes.\"}}\n"
        )
    };
    workspace.write("dialogues.jsonl", (0..SAMPLES).map(line).collect::<String>());
    workspace.write("script.json", "{}");
    workspace.write("matrix.toml", matrix(agents));
    let mut controller = Command::new(program("controller"))
        .current_dir(workspace.path(""))
        .args(["run", "matrix.toml", "--data-dir", "data", "--output", "results.json"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("controller starts");
    let mut lines = BufReader::new(controller.stderr.take().expect("it is piped")).lines();
    let mut next = |wanted: &str| loop {
        let line = lines.next().expect("it goes on").expect("it speaks UTF-8");
        if line.contains(wanted) {
            return line;
        }
    };
    let join = next("agent join");
    let word = |flag: &str| {
        let mut words = join.split_whitespace().skip_while(|word| *word != flag);
        words.nth(1).expect("the line has it").to_owned()
    };
    let token = std::fs::read_to_string(workspace.path(&word("--token-file")));
    let simulated = Simulated {
        controller: word("--controller"),
        token: token.expect("the token is there").trim().to_owned(),
        agents,
        batch: Duration::from_secs_f64(BATCH as f64 * agents as f64 / PACE),
    };
    let watched = Watched::start(controller.id());
    let start = Instant::now();
    let fleet = simulated.start();
    for _ in 0..agents {
        next(" joined for ");
    }
    let registered = start.elapsed();
    let start = Instant::now();
    next(&format!("{0}/{0} samples", SAMPLES * ROUNDS));
    let taken_in = start.elapsed();
    let (resident_mib, processor) = watched.now();
    let start = Instant::now();
    for _ in lines {}
    assert!(controller.wait().expect("it ends").success(), "the campaign isn't complete");
    let report = start.elapsed();
    let (report_mib, _) = watched.end();
    let dispatch = fleet.end();
    let results = workspace.results("results.json");
    assert_eq!(results["campaign"]["missing_samples"], 0, "a sample is missing");
    Measured { agents, registered, dispatch, taken_in, resident_mib, processor, report, report_mib }
}
