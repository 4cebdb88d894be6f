//! How the controller stands many agents: `load [AGENTS...]` runs it with so many simulated agents each (10, 100 and
//! 1,000), over real connections, and prints what it took. Their engine is a script: they answer at a given pace.
//! `load viewers [PAIRS]` runs it with 100 agents, with 50 viewers of the live page and without them, in turn.
//! `load strangers [PAIRS]` runs it with two agents in 1 GiB of addresses, amid 512 strangers and without them.
//!
//! It fails where a limit is missed. Run it on an idle machine: `cargo run --release -p scenarios --bin load`.

#![expect(clippy::print_stdout, reason = "it prints its table")]

mod campaign;
mod fleet;
mod overhead;
mod pairs;
mod strangers;
mod viewers;
mod watched;
mod watching;

use campaign::{Asked, Measured, PACE};
use std::time::Duration;

/// Dialogues and rounds: a million samples.
const SAMPLES: u64 = 100_000;
const ROUNDS: u64 = 10;

/// The limits.
const REGISTERED: Duration = Duration::from_secs(10);
const DISPATCHED: Duration = Duration::from_millis(50);
const STORED: Duration = Duration::from_mins(1);
const RESIDENT_MIB: u64 = 512;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if words.first().is_some_and(|word| word == "viewers") {
        return watching::measure(given.first().copied().unwrap_or(5));
    }
    if words.first().is_some_and(|word| word == "strangers") {
        return strangers::measure(given.first().copied().unwrap_or(5));
    }
    let agents = if given.is_empty() { vec![10, 100, 1000] } else { given };
    println!(
        "| agents | registered | dispatch p50 / p99 / max | {} samples stored | samples/s | controller RSS | CPU | report, RSS |",
        SAMPLES * ROUNDS
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut missed = Vec::new();
    for count in agents {
        let asked =
            Asked { agents: count, samples: SAMPLES, rounds: ROUNDS, pace: PACE, viewers: None };
        let measured = asked.measure();
        let [p50, p99, max] = measured.dispatch.map(|time| time.as_secs_f64() * 1e3);
        println!(
            "| {} | {:.2} s | {p50:.1} / {p99:.1} / {max:.0} ms | {:.1} s | {:.0} | {} MiB | {:.1} s | {:.1} s, {} MiB |",
            count,
            measured.registered.as_secs_f64(),
            measured.stored.as_secs_f64(),
            (SAMPLES * ROUNDS) as f64 / measured.stored.as_secs_f64(),
            measured.resident_mib,
            measured.processor.as_secs_f64(),
            measured.report.as_secs_f64(),
            measured.report_mib,
        );
        missed.extend(missed_by(count, &measured));
    }
    let overhead = overhead::measure();
    println!("{overhead}");
    if overhead.share() >= 0.01 {
        missed.push(format!("overhead {:.2}%", overhead.share() * 100.0));
    }
    assert!(missed.is_empty(), "missed: {}", missed.join(", "));
}

/// The limits that a run missed.
fn missed_by(agents: u64, measured: &Measured) -> Vec<String> {
    let limits = [
        (measured.registered > REGISTERED, "registration"),
        (measured.dispatch[1] > DISPATCHED, "dispatch p99"),
        (measured.stored > STORED, "intake"),
        (measured.resident_mib.max(measured.report_mib) > RESIDENT_MIB, "memory"),
    ];
    limits
        .iter()
        .filter(|(is_missed, _)| *is_missed)
        .map(|(_, what)| format!("{what} with {agents} agents"))
        .collect()
}
