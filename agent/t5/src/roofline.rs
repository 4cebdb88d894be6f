//! How near a measurement comes to what the machine allows: work and limits in, the shortest time out.
//!
//! The model of Williams, Waterman and Patterson (CACM 52(4), 2009): work takes at least as long as its bytes
//! take to be read, and at least as long as its operations take on all threads.

use kernels::{Peaks, Storage};

/// What some computation needs at least. Activations are not counted: they stay in the caches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Phase {
    /// Of weights and caches that are read.
    pub bytes: u64,
    /// By storage, in the order of [`Storage::ALL`]; an addition and a multiplication are two.
    pub operations: [u64; 4],
}

impl Phase {
    /// Adds products: so many additions and multiplications with weights of this storage.
    pub fn multiply(&mut self, storage: Storage, products: usize) {
        self.operations[storage as usize] += 2 * products as u64;
    }

    /// The shortest time in nanoseconds.
    fn shortest_ns(&self, limits: &Limits) -> f64 {
        let computed: f64 = Storage::ALL
            .iter()
            .zip(self.operations)
            .map(|(storage, operations)| operations as f64 / limits.peaks.of(*storage))
            .sum();
        computed.max(self.bytes as f64 / limits.bandwidth)
    }
}

/// What a machine can do at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Bytes per nanosecond, that is GB/s, of what a decoder reads for a token.
    pub bandwidth: f64,
    /// Operations per nanosecond, that is Gop/s, by storage.
    pub peaks: Peaks,
}

/// The work of some batches beside the limits of a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Roofline {
    /// The machine's.
    pub limits: Limits,
    /// Over all phases.
    pub bytes: u64,
    /// Over all phases, by storage.
    pub operations: [u64; 4],
    /// No implementation that reads as much can be faster.
    pub shortest_ns: f64,
}

impl Roofline {
    /// Of phases that follow each other.
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
        let limits = Limits { bandwidth: 10.0, peaks: Peaks::new([100.0, 100.0, 200.0, 400.0]) };
        let mut computing = Phase { bytes: 1_000, operations: [0; 4] };
        computing.multiply(Storage::F32, 50_000);
        computing.multiply(Storage::Int8, 100_000);
        let reading = Phase { bytes: 20_000, operations: [100, 0, 0, 0] };
        let roofline = Roofline::new(&[computing, reading, reading], limits);
        assert!((roofline.shortest_ns - (1_000.0 + 500.0 + 2.0 * 2_000.0)).abs() < 1e-9);
        assert_eq!(roofline.bytes, 41_000);
        assert_eq!(roofline.operations, [100_200, 0, 0, 200_000]);
    }
}
