//! Memory after thousands of generations. Takes a minute, so it is run by hand:
//! `cargo test --release -p agent --test engine memory -- --ignored --nocapture`.

use super::fixture::{decode_ids, open, spec};
use host::Memory;
use model::engine::{Dtype, EngineSpec};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::Write;

const GENERATIONS: usize = 2_000;
/// Until here buffers grow to the largest batch, and allocators settle.
const WARM: usize = 400;
const MB: f64 = 1_048_576.0;

#[test]
#[ignore = "takes a minute"]
fn two_thousand_generations_leave_memory_as_it_was() {
    for dtype in [Dtype::F32, Dtype::Int8] {
        let spec = EngineSpec { dtype, ..spec("builtin:tiny") };
        let mut engine = open(&spec).unwrap().load(2).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut warm = 0;
        for generation in 1..=GENERATIONS {
            let batch: Vec<Vec<u32>> = (0..random.random_range(1..=8))
                .map(|_| {
                    let length = random.random_range(1..300);
                    (0..length).map(|_| random.random_range(2..500)).collect()
                })
                .collect();
            decode_ids(&mut engine, &batch, 16);
            if generation == WARM {
                warm = Memory::read().resident;
            }
            if generation % WARM == 0 {
                let resident = Memory::read().resident;
                let line = format!("{dtype}: {:.1} mb after {generation}\n", resident as f64 / MB);
                std::io::stdout().write_all(line.as_bytes()).unwrap();
            }
        }
        let grown = Memory::read().resident.saturating_sub(warm);
        assert!(grown < 2 << 20, "{dtype}: {grown} bytes more than after {WARM} generations");
    }
}
