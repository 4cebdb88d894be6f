//! How long 10^7 requests of a fleet and 10^6 rows of a trace take.
//!
//! `cargo bench -p decide --bench simulation`; the limits are 20 s and 2 s on one core.

use decide::simulation::{Batching, Fleet, simulate};
use divan::Bencher;
use divan::counter::ItemsCount;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use traffic::{Arrivals, Trace};

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 1, sample_size = 1)]
fn requests(bencher: Bencher<'_, '_>) {
    let count: u32 = 10_000_000;
    let batching = Batching { max_size: 8, max_delay_s: 0.0 };
    let fleet = Fleet { max_queue: 256, limit_s: 1.0, ..Fleet::fixed(8, batching) };
    let batch_time = |size: usize, rng: &mut ChaCha8Rng| {
        let unit: f64 = rng.random();
        0.05 + 0.02 * size as f64 * unit
    };
    bencher.counter(ItemsCount::new(count)).bench(|| {
        let arrivals = Arrivals::poisson(vec![200.0], 1e9, 1).take(count as usize);
        simulate(arrivals, &batch_time, &fleet, 2).good_share()
    });
}

#[divan::bench(sample_count = 1, sample_size = 1, args = ["azure", "mooncake"])]
fn trace_rows(bencher: Bencher<'_, '_>, form: &str) {
    let mut text = String::new();
    if form == "azure" {
        text.push_str("TIMESTAMP,ContextTokens,GeneratedTokens\n");
    }
    for row in 0..1_000_000_u32 {
        let (minute, second, part) = (row / 60_000 % 60, row / 1000 % 60, row % 1000);
        if form == "azure" {
            text.push_str(&format!("2023-11-16 18:{minute:02}:{second:02}.{part:03}0000,374,44\n"));
        } else {
            text.push_str(&format!("{{\"timestamp\": {row}, \"input_length\": 6955, \"output_length\": 52, \"hash_ids\": [46, 47, 48, 49]}}\n"));
        }
    }
    bencher
        .counter(ItemsCount::new(1_000_000_u32))
        .bench(|| Trace::read(form, text.as_bytes(), None).map(|trace| trace.arrivals_s.len()));
}
