//! Open loop on this machine: do arrivals keep their schedule, and do requests start when they
//! should?
//!
//! `cargo bench -p agent --bench arrivals [-- RATE REQUESTS STALL_MS]`: Poisson arrivals, answered
//! at once but for one stall. Prints mean and variance of the gaps as they came against those of a
//! Poisson process, the schedule delay, and how many requests saw the stall in their latency from
//! the intended start.

#![expect(clippy::print_stdout, reason = "figures are what it is there for")]

use agent::workload::{Arrival, ArrivalBatch, Load, Workload};
use std::time::Duration;
use stopwatch::Stopwatch;

fn main() -> std::io::Result<()> {
    let given: Vec<f64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let number = |index: usize, default: f64| given.get(index).copied().unwrap_or(default);
    let (rate, requests, stall_ms) = (number(0, 200.0), number(1, 4000.0), number(2, 0.0));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let requests = requests as u64;
    let load = Load { request_rate: rate, seed: 7, max_queue: 1_000_000, ..Load::default() };
    let stopwatch = Stopwatch::start();
    let mut workload = Workload::start(&load, 1, Some(requests), &stopwatch)?;
    let mut came: Vec<(Arrival, u64)> = Vec::new();
    let mut has_stalled = stall_ms <= 0.0;
    while let Some(ArrivalBatch { batch, .. }) = workload.wait(&|| false) {
        if !has_stalled && came.len() as u64 >= requests / 2 {
            has_stalled = true;
            stall(Duration::from_secs_f64(stall_ms / 1e3));
        }
        let end_ns = stopwatch.now_ns();
        came.extend(batch.into_iter().map(|arrival| (arrival, end_ns)));
    }
    report(rate, stall_ms, &came);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an engine that stands still is what is played")]
fn stall(time: Duration) {
    std::thread::sleep(time);
}

fn report(rate: f64, stall_ms: f64, came: &[(Arrival, u64)]) {
    let sent = |arrival: &Arrival| arrival.intended_ns + arrival.delay_ns.unwrap_or_default();
    let gaps: Vec<f64> =
        came.windows(2).map(|pair| (sent(&pair[1].0) - sent(&pair[0].0)) as f64 / 1e6).collect();
    let n = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / n;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let expected = 1e3 / rate;
    println!("{} requests at {rate}/s", came.len());
    println!(
        "gaps as they came: mean {mean:.4} ms (a Poisson process: {expected:.4} ± {:.4}), variance {variance:.3} ms² ({:.3} ± {:.3})",
        expected / n.sqrt(),
        expected * expected,
        expected * expected * (8.0 / n).sqrt()
    );
    let mut delays: Vec<u64> = came.iter().filter_map(|(arrival, _)| arrival.delay_ns).collect();
    delays.sort_unstable();
    let at = |share: usize| delays.get(delays.len() * share / 1000).copied().unwrap_or_default();
    println!(
        "schedule delay: p50 {:.3} ms, p99 {:.3} ms, most {:.3} ms",
        at(500) as f64 / 1e6,
        at(990) as f64 / 1e6,
        delays.last().copied().unwrap_or_default() as f64 / 1e6
    );
    if stall_ms > 0.0 {
        let latency =
            |(arrival, end_ns): &(Arrival, u64)| (end_ns - arrival.intended_ns) as f64 / 1e6;
        let late = came.iter().filter(|one| latency(one) > 5.0).count();
        let most = came.iter().map(latency).fold(0.0, f64::max);
        println!(
            "a stall of {stall_ms} ms: {late} requests took more than 5 ms from their intended start (about {:.0} came meanwhile), {most:.1} ms at most",
            stall_ms / 1e3 * rate
        );
    }
}
