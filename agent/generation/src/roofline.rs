//! The roofline model: work and machine limits in, the lower bound of time out.
//!
//! Williams, Waterman and Patterson (CACM 52(4), 2009): work takes at least as long as reading its
//! bytes, and at least as long as its operations on all threads.

use kernels::{Peaks, Storage};

/// The minimum cost of a computation. Activations are not counted: they stay in cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Phase {
    /// Weights and caches read.
    pub bytes: u64,
    /// In the order of [`Storage::ALL`]; a multiply-add is two.
    pub operations: [u64; Storage::COUNT],
}

impl Phase {
    /// Adds multiply-adds with weights of this storage.
    pub fn multiply(&mut self, storage: Storage, products: usize) {
        self.operations[storage as usize] += 2 * products as u64;
    }

    fn shortest_ns(&self, limits: &Limits) -> f64 {
        let computed: f64 = Storage::ALL
            .iter()
            .zip(self.operations)
            .map(|(storage, operations)| operations as f64 / limits.peaks.of(*storage))
            .sum();
        computed.max(self.bytes as f64 / limits.bandwidth)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Bytes per nanosecond (GB/s) of what a decoder reads per token.
    pub bandwidth: f64,
    /// Operations per nanosecond (Gop/s), by storage.
    pub peaks: Peaks,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Roofline {
    pub limits: Limits,
    pub bytes: u64,
    /// Over all phases, by storage.
    pub operations: [u64; Storage::COUNT],
    /// Lower bound for any implementation that reads as much.
    pub shortest_ns: f64,
}

impl Roofline {
    /// For consecutive phases.
    pub fn new(phases: &[Phase], limits: Limits) -> Self {
        let operations = Storage::ALL
            .map(|storage| phases.iter().map(|phase| phase.operations[storage as usize]).sum());
        Self {
            limits,
            bytes: phases.iter().map(|phase| phase.bytes).sum(),
            operations,
            shortest_ns: phases.iter().map(|phase| phase.shortest_ns(&limits)).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_takes_as_long_as_the_slower_of_reading_and_computing() {
        let limits =
            Limits { bandwidth: 10.0, peaks: Peaks::new([100.0, 100.0, 200.0, 400.0, 1.0, 1.0]) };
        let mut computing = Phase { bytes: 1_000, ..Phase::default() };
        computing.multiply(Storage::F32, 50_000);
        computing.multiply(Storage::Int8, 100_000);
        let reading = Phase { bytes: 20_000, operations: [100, 0, 0, 0, 0, 0] };
        let roofline = Roofline::new(&[computing, reading, reading], limits);
        assert!((roofline.shortest_ns - (1_000.0 + 500.0 + 2.0 * 2_000.0)).abs() < 1e-9);
        assert_eq!(roofline.bytes, 41_000);
        assert_eq!(roofline.operations, [100_200, 0, 0, 200_000, 0, 0]);
    }
}
