//! What this machine's threads can read and multiply at most: the two limits of a roofline.
//!
//! Measured with the product's own threads and instructions, a few times each; the best time counts.

use super::pool::share;
use super::product::{Kernels, MOST_COLUMNS};
use super::table::{MOST_ROWS, Storage};
use super::tile::Operands;
use super::weights::Weights;
use std::hint::black_box;

/// How long each limit is looked for.
const LOOK_NS: u64 = 40_000_000;
/// Steps of a tile: its panel stays in the innermost cache.
const STEPS: usize = 128;
/// Tiles between two looks at the clock.
const TILES: usize = 2_000;

/// Operations per nanosecond that tiles reach on all threads when nothing has to be fetched, by storage.
/// An addition and a multiplication are two operations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peaks([f64; 4]);

impl Peaks {
    /// Of these figures, in the order of [`Storage::ALL`].
    pub fn new(figures: [f64; 4]) -> Self {
        Self(figures)
    }

    /// Of one storage.
    pub fn of(&self, storage: Storage) -> f64 {
        self.0[storage as usize]
    }
}

/// The shortest time of `work`, in nanoseconds, over [`LOOK_NS`] and three times at least.
fn shortest(now_ns: &dyn Fn() -> u64, mut work: impl FnMut()) -> u64 {
    let begin = now_ns();
    let (mut best, mut rounds) = (u64::MAX, 0);
    loop {
        let start = now_ns();
        work();
        let end = now_ns();
        best = best.min(end - start);
        rounds += 1;
        if rounds >= 3 && end - begin >= LOOK_NS {
            return best.max(1);
        }
    }
}

impl Kernels {
    /// Bytes per nanosecond at which all threads read these weights again and again, each its share, as a
    /// decoder does at every token. What fits into the caches comes from there.
    pub fn bandwidth(&self, weights: &[&Weights], now_ns: &dyn Fn() -> u64) -> f64 {
        let threads = self.pool.threads();
        let ns = shortest(now_ns, || {
            self.pool.run(&|thread| {
                for weights in weights {
                    let numbers = weights.memory.slice::<f32>();
                    black_box(self.table.sweep(&numbers[share(numbers.len(), threads, thread)]));
                }
            });
        });
        weights.iter().map(|weights| weights.memory.bytes()).sum::<usize>() as f64 / ns as f64
    }

    /// The peaks of all storages.
    pub fn peaks(&self, now_ns: &dyn Fn() -> u64) -> Peaks {
        Peaks(Storage::ALL.map(|storage| self.peak(storage, now_ns)))
    }

    fn peak(&self, storage: Storage, now_ns: &dyn Fn() -> u64) -> f64 {
        let (rows, columns) = (self.table.tile_rows, self.table.columns());
        let per_step = match storage {
            Storage::F32 | Storage::F16 => 1,
            Storage::Bf16 => 2,
            Storage::Int8 => 4,
        };
        let threads = self.pool.threads();
        let ns = shortest(now_ns, || {
            self.pool.run(&|_| {
                let activations = [0.0_f32; MOST_ROWS * STEPS];
                let panel = [0.0_f32; STEPS * MOST_COLUMNS];
                let mut sums = [0.0_f32; MOST_ROWS * MOST_COLUMNS];
                for _ in 0..TILES {
                    let operands = Operands {
                        rows: activations.as_ptr().cast(),
                        stride: STEPS * size_of::<f32>(),
                        panel: black_box(panel.as_ptr().cast()),
                        steps: STEPS,
                        sums: sums.as_mut_ptr(),
                    };
                    // SAFETY: a step takes four bytes of a row and at most four of each column.
                    unsafe { self.table.tile(storage, rows, &operands) };
                }
                black_box(&sums);
            });
        });
        (2 * threads * TILES * rows * columns * STEPS * per_step) as f64 / ns as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Instructions, Layout, Table};

    #[test]
    fn a_sweep_reads_every_number_once() {
        let numbers: Vec<f32> = (1..=1000).map(|n| n as f32).collect();
        for set in Instructions::detect() {
            let table = Table::with(set).unwrap();
            for count in [0, 1, 63, 64, 129, 1000] {
                let sum = numbers[..count].iter().sum::<f32>();
                assert!((table.sweep(&numbers[..count]) - sum).abs() <= sum * 1e-6, "{set:?}");
            }
        }
    }

    #[test]
    fn both_limits_are_found_on_any_number_of_threads() {
        for threads in [1, 2] {
            let kernels = Kernels::new(Table::best(), threads);
            let start = std::time::Instant::now();
            let now_ns = || u64::try_from(start.elapsed().as_nanos()).unwrap();
            let values = vec![1.0; 64 * 64];
            let weights =
                Weights::pack(kernels.table, Storage::Bf16, Layout::Plain, (64, 64), &values);
            assert!(kernels.bandwidth(&[&weights, &weights], &now_ns) > 0.0);
            assert!(Storage::ALL.iter().all(|x| kernels.peaks(&now_ns).of(*x) > 0.0));
        }
    }
}
