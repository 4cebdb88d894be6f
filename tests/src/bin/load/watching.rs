//! The cost of viewers of the live page: the same campaign with and without them, alternately, and the
//! difference of each pair.

use super::campaign::Asked;
use super::pairs::interval;
use std::time::Duration;

const AGENTS: u64 = 100;
const VIEWERS: usize = 50;
/// Dialogues and rounds of one campaign, and samples per second of its agents: it takes ten seconds, and
/// longer if the controller is slowed down.
const SAMPLES: u64 = 20_000;
const ROUNDS: u64 = 5;
const PACE: f64 = 10_000.0;
/// Limit of the time to the first byte of the page, at p99.
const RESPONSIVE: Duration = Duration::from_millis(100);

/// Runs `pairs` pairs and prints them.
pub(crate) fn measure(pairs: u64) {
    let pairs = pairs.clamp(2, 10);
    println!(
        "| {AGENTS} agents, {} samples | stored | dispatch p50 / p99 / max | CPU of the controller | updates per viewer | bytes per update | first byte of the page p50 / p99 / max |",
        SAMPLES * ROUNDS
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut differences = [Vec::new(), Vec::new()];
    let mut slowest = Duration::ZERO;
    for pair in 0..pairs {
        // The order alternates, so that drift affects both.
        let order = if pair % 2 == 0 { [None, Some(VIEWERS)] } else { [Some(VIEWERS), None] };
        let mut took = [[0.0; 2]; 2];
        for viewers in order {
            let asked =
                Asked { agents: AGENTS, samples: SAMPLES, rounds: ROUNDS, pace: PACE, viewers };
            let measured = asked.measure();
            let wall = measured.stored.as_secs_f64();
            let processor = measured.processor.as_secs_f64();
            took[usize::from(viewers.is_some())] = [wall, processor];
            let name = viewers.map_or("none".to_owned(), |count| format!("{count} viewers"));
            let [p50, p99, max] = measured.dispatch.map(milliseconds);
            let seen = measured.seen.map_or("– | – | –".to_owned(), |seen| {
                let [first, late, last] = seen.first_byte.map(milliseconds);
                slowest = slowest.max(seen.first_byte[1]);
                format!(
                    "{} | {} | {first:.1} / {late:.1} / {last:.1} ms of {}",
                    seen.fewest_updates, seen.bytes_per_update, seen.opened
                )
            });
            println!(
                "| {name} | {wall:.3} s | {p50:.1} / {p99:.1} / {max:.0} ms | {processor:.2} s | {seen} |"
            );
        }
        for (place, differences) in differences.iter_mut().enumerate() {
            differences.push(took[1][place] / took[0][place] - 1.0);
        }
    }
    for (name, differences) in ["wall time", "CPU of the controller"].iter().zip(&differences) {
        let (mean, half) = interval(differences);
        println!(
            "{name} with viewers, relative to without: {:+.2}% (95% CI {:+.2}% to {:+.2}%) over {pairs} pairs",
            mean * 100.0,
            (mean - half) * 100.0,
            (mean + half) * 100.0
        );
    }
    assert!(slowest <= RESPONSIVE, "missed: the page's first byte took {slowest:?} at p99");
    let (mean, half) = interval(&differences[0]);
    assert!(mean - half <= 0.0, "missed: viewers prolong the campaign");
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
