//! Measures the two limits of a roofline: bandwidth and peak throughput of this machine's threads.
//!
//! Both are measured with the production threads and instructions; the best of several times
//! counts.

use super::block_matrix::{Coefficients, GROUP, Part, Quants};
use super::block_tile::{self, BlockOperands, GROUP_BYTES};
use super::dispatch::{MAX_ROWS, Storage};
use super::gemm::{Kernels, MAX_COLUMNS};
use super::pool::share;
use super::tile::Operands;
use super::weights::Weights;
use std::hint::black_box;

/// Duration of each measurement.
const PROBE_NS: u64 = 40_000_000;
/// Steps of a tile; its panel fits the L1 cache.
const STEPS: usize = 128;
/// Tiles between two clock readings.
const TILES: usize = 2_000;

/// Operations per nanosecond of all threads with all operands in cache, by storage. An addition and
/// a multiplication are two operations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peaks([f64; Storage::COUNT]);

impl Peaks {
    /// `figures` in the order of [`Storage::ALL`].
    pub fn new(figures: [f64; Storage::COUNT]) -> Self {
        Self(figures)
    }

    pub fn of(&self, storage: Storage) -> f64 {
        self.0[storage as usize]
    }
}

/// The shortest time of `work` in nanoseconds, over [`PROBE_NS`] and at least three runs.
fn shortest(now_ns: &dyn Fn() -> u64, mut work: impl FnMut()) -> u64 {
    let begin = now_ns();
    let (mut best, mut rounds) = (u64::MAX, 0);
    loop {
        let start = now_ns();
        work();
        let end = now_ns();
        best = best.min(end - start);
        rounds += 1;
        if rounds >= 3 && end - begin >= PROBE_NS {
            return best.max(1);
        }
    }
}

impl Kernels {
    /// Bytes per nanosecond at which all threads read these weights repeatedly, each its part, as a
    /// decoder does for every token. Weights that fit the caches are read from there.
    pub fn bandwidth(&self, weights: &[&Weights], now_ns: &dyn Fn() -> u64) -> f64 {
        let threads = self.pool.threads();
        let ns = shortest(now_ns, || {
            self.pool.run(&|thread| {
                for weights in weights {
                    let numbers = weights.memory.slice::<f32>();
                    black_box(self.dispatch.sweep(&numbers[share(numbers.len(), threads, thread)]));
                }
            });
        });
        weights.iter().map(|weights| weights.memory.bytes()).sum::<usize>() as f64 / ns as f64
    }

    pub fn peaks(&self, now_ns: &dyn Fn() -> u64) -> Peaks {
        Peaks(Storage::ALL.map(|storage| self.peak(storage, now_ns)))
    }

    fn peak(&self, storage: Storage, now_ns: &dyn Fn() -> u64) -> f64 {
        if let Some(quants_as) = storage.quants() {
            return self.block_peak(quants_as, now_ns);
        }
        let (rows, columns) = (self.dispatch.tile_rows, self.dispatch.columns());
        let per_step = match storage {
            Storage::F32 | Storage::F16 => 1,
            Storage::Bf16 => 2,
            Storage::Int8 | Storage::Q4 | Storage::Q8 => 4,
        };
        let threads = self.pool.threads();
        let ns = shortest(now_ns, || {
            self.pool.run(&|_| {
                let activations = [0.0_f32; MAX_ROWS * STEPS];
                let panel = [0.0_f32; STEPS * MAX_COLUMNS];
                let mut sums = [0.0_f32; MAX_ROWS * MAX_COLUMNS];
                for _ in 0..TILES {
                    let operands = Operands {
                        rows: activations.as_ptr().cast(),
                        stride: STEPS * size_of::<f32>(),
                        panel: black_box(panel.as_ptr().cast()),
                        steps: STEPS,
                        sums: sums.as_mut_ptr(),
                    };
                    // SAFETY: a step takes four bytes of a row and at most four of each column.
                    unsafe { self.dispatch.tile(storage, rows, &operands) };
                }
                black_box(&sums);
            });
        });
        (2 * threads * TILES * rows * columns * STEPS * per_step) as f64 / ns as f64
    }
}

impl Kernels {
    fn block_peak(&self, quants_as: Quants, now_ns: &dyn Fn() -> u64) -> f64 {
        const GROUPS: usize = 4 * STEPS / GROUP;
        let (rows, columns) = (self.dispatch.block_rows(), self.dispatch.columns());
        let threads = self.pool.threads();
        let part = Part {
            quants_as,
            coefficients: Coefficients::Scale { zero: 0 },
            first_panel: 0,
            start: 0,
            groups: GROUPS,
            quant_bytes: 0,
            panel_bytes: 0,
        };
        let ns = shortest(now_ns, || {
            self.pool.run(&|_| {
                let activations = [0_u8; block_tile::MAX_ROWS * GROUPS * GROUP_BYTES];
                let quants = [0_u8; GROUPS * GROUP * MAX_COLUMNS];
                let coefficients = [0.0_f32; GROUPS * 2 * MAX_COLUMNS];
                let mut sums = [0.0_f32; MAX_ROWS * MAX_COLUMNS];
                for _ in 0..TILES {
                    let operands = BlockOperands {
                        rows: activations.as_ptr(),
                        stride: GROUPS * GROUP_BYTES,
                        quants: black_box(quants.as_ptr()),
                        coefficients: coefficients.as_ptr(),
                        groups: GROUPS,
                        sums: sums.as_mut_ptr(),
                    };
                    // SAFETY: there are as many groups of each as the operands say.
                    unsafe { self.dispatch.block_tile(&part, rows, &operands) };
                }
                black_box(&sums);
            });
        });
        (2 * threads * TILES * rows * columns * GROUPS * GROUP) as f64 / ns as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dispatch, InstructionSet, Layout};

    #[test]
    fn a_sweep_reads_every_number_once() {
        let numbers: Vec<f32> = (1..=1000).map(|n| n as f32).collect();
        for set in InstructionSet::detect() {
            let dispatch = Dispatch::with(set).unwrap();
            for count in [0, 1, 63, 64, 129, 1000] {
                let sum = numbers[..count].iter().sum::<f32>();
                assert!((dispatch.sweep(&numbers[..count]) - sum).abs() <= sum * 1e-6, "{set:?}");
            }
        }
    }

    #[test]
    fn both_limits_are_found_on_any_number_of_threads() {
        for threads in [1, 2] {
            let kernels = Kernels::new(Dispatch::best(), threads);
            #[expect(
                clippy::disallowed_methods,
                reason = "the probe needs a clock, and kernels know no stopwatch"
            )]
            let start = std::time::Instant::now();
            let now_ns = || u64::try_from(start.elapsed().as_nanos()).unwrap();
            let values = vec![1.0; 64 * 64];
            let weights =
                Weights::pack(kernels.dispatch, Storage::Bf16, Layout::Plain, (64, 64), &values);
            assert!(kernels.bandwidth(&[&weights, &weights], &now_ns) > 0.0);
            assert!(Storage::ALL.iter().all(|x| kernels.peaks(&now_ns).of(*x) > 0.0));
        }
    }
}
