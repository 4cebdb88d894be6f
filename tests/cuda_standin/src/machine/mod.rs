//! Executes kernels: blocks on all cores in a random order, warps of 32 lanes in lockstep.

mod access;
mod alu;
mod bits;
mod block;
mod collective;
pub(crate) mod float;
mod shared_memory;
mod warp;

pub use float::Approximation;

use crate::fault::{Fault, Kind};
use crate::memory::{self, Memory};
use crate::program::Kernel;
use crate::race;
use float::mix;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared memory of a block that a kernel gets without asking, and at most, in bytes.
pub const SHARED_BYTES: u32 = 48 * 1024;
pub const MOST_SHARED_BYTES: u32 = 64 * 1024;
/// Most threads of a block.
pub const MOST_THREADS: u32 = 1024;

/// How a device runs its launches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Orders blocks, and warps within a block.
    pub seed: u64,
    /// Threads of the host.
    pub workers: usize,
    pub checks_races: bool,
    pub approximation: Approximation,
}

impl Default for Options {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { seed: 0, workers, checks_races: true, approximation: Approximation::Exact }
    }
}

/// A launch.
#[derive(Debug, Clone)]
pub struct Launch<'k> {
    pub kernel: &'k Kernel,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    /// Shared memory beyond what the kernel declares, in bytes.
    pub dynamic_shared: u32,
    pub params: Vec<u8>,
}

/// What a launch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Instructions of warps.
    pub instructions: u64,
    /// Bytes of global memory, as often as lanes asked for them.
    pub requested_read: u64,
    pub requested_written: u64,
    /// Bytes of global memory, each once.
    pub read: u64,
    pub written: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.instructions += other.instructions;
        self.requested_read += other.requested_read;
        self.requested_written += other.requested_written;
        self.read += other.read;
        self.written += other.written;
    }
}

/// Why a launch didn't start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "a grid or block of {0:?} x {1:?}: every axis needs 1 or more, a block at most 1,024 threads"
    )]
    Dimensions([u32; 3], [u32; 3]),
    #[error("{wanted} threads in a block: the kernel allows {most}")]
    Threads { wanted: u32, most: u32 },
    #[error("{0} bytes of shared memory in a block: a block has at most 65,536")]
    Shared(u32),
    #[error("{given} bytes of parameters: the kernel has {wanted}")]
    Params { given: usize, wanted: u32 },
    #[error("{0}")]
    Fault(Box<Fault>),
}

/// A device: memory and how it runs.
#[derive(Debug)]
pub struct Machine {
    pub memory: Memory,
    pub options: Options,
    launches: AtomicU64,
}

/// What all blocks of a launch share.
#[derive(Debug)]
pub(crate) struct Context<'l> {
    pub(crate) kernel: &'l Kernel,
    pub(crate) memory: &'l Memory,
    pub(crate) launch: &'l Launch<'l>,
    pub(crate) tracking: memory::Launch,
    /// The launch's number in entries of readers and writers.
    pub(crate) number: u32,
    pub(crate) options: Options,
    pub(crate) stop: AtomicBool,
}

impl Machine {
    /// A device with `bytes` of memory.
    pub fn new(bytes: u64, options: Options) -> Result<Self, memory::Error> {
        Ok(Self { memory: Memory::new(bytes)?, options, launches: AtomicU64::new(0) })
    }

    /// Runs a launch to its end, or to the first fault.
    pub fn run(&self, launch: &Launch) -> Result<Counts, Error> {
        let kernel = launch.kernel;
        check(launch)?;
        let serial = self.launches.fetch_add(1, Ordering::Relaxed);
        let number = u32::try_from(serial % u64::from(race::LAUNCHES)).expect("small") + 1;
        if number == 1 && serial > 0 {
            self.memory.forget_actors();
        }
        let blocks: u64 = launch.grid.iter().map(|count| u64::from(*count)).product();
        let context = Context {
            kernel,
            memory: &self.memory,
            launch,
            tracking: memory::Launch {
                // 2^32 launches of a test would take years.
                number: u32::try_from(serial + 1).unwrap_or(u32::MAX),
                granule: kernel.global_granule,
                checks_races: self.options.checks_races && blocks <= race::BLOCKS,
            },
            number,
            options: self.options,
            stop: AtomicBool::new(false),
        };
        let order = Order::new(blocks, mix(self.options.seed ^ serial));
        let next = AtomicU64::new(0);
        let counts = Mutex::new(Counts::default());
        let fault: Mutex<Option<(u64, Fault)>> = Mutex::new(None);
        let work = || {
            let mut runner = block::Runner::new(&context);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= blocks || context.stop.load(Ordering::Relaxed) {
                    break;
                }
                let block = order.at(index);
                if let Err(found) = runner.run(block) {
                    context.stop.store(true, Ordering::Relaxed);
                    let mut fault = fault.lock().expect("no panic holds the lock");
                    if fault.as_ref().is_none_or(|(at, _)| index < *at) {
                        *fault = Some((index, *found));
                    }
                }
            }
            counts.lock().expect("no panic holds the lock").add(&runner.counts);
        };
        let workers = self.options.workers.min(usize::try_from(blocks).unwrap_or(usize::MAX));
        if workers <= 1 {
            work();
        } else {
            std::thread::scope(|scope| {
                (1..workers).for_each(|_| {
                    scope.spawn(work);
                });
                work();
            });
        }
        if let Some((_, fault)) = fault.into_inner().expect("no panic holds the lock") {
            return Err(Error::Fault(Box::new(fault)));
        }
        Ok(counts.into_inner().expect("no panic holds the lock"))
    }
}

fn check(launch: &Launch) -> Result<(), Error> {
    let Launch { kernel, grid, block, dynamic_shared, params } = launch;
    let threads = block.iter().try_fold(1_u32, |product, axis| product.checked_mul(*axis));
    let threads = threads.filter(|threads| *threads <= MOST_THREADS && *threads > 0);
    let is_grid = grid.iter().all(|axis| *axis > 0) && grid[1] <= 65535 && grid[2] <= 65535;
    let threads = threads.filter(|_| is_grid && block[2] <= 64);
    let threads = threads.ok_or(Error::Dimensions(*grid, *block))?;
    if let Some(most) = kernel.most_threads.filter(|most| threads > *most) {
        return Err(Error::Threads { wanted: threads, most });
    }
    let shared = kernel.shared_bytes.saturating_add(*dynamic_shared);
    if shared > MOST_SHARED_BYTES {
        return Err(Error::Shared(shared));
    }
    if params.len() != kernel.param_bytes as usize {
        return Err(Error::Params { given: params.len(), wanted: kernel.param_bytes });
    }
    Ok(())
}

/// A permutation of blocks that needs no table: a Feistel network over the next power of four, which
/// is applied until the result is a block.
#[derive(Debug, Clone, Copy)]
struct Order {
    count: u64,
    half: u32,
    seed: u64,
}

impl Order {
    fn new(count: u64, seed: u64) -> Self {
        let bits = 64 - count.saturating_sub(1).leading_zeros();
        Self { count, half: bits.div_ceil(2).max(1), seed }
    }

    fn at(&self, index: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let mut value = index;
        loop {
            let (mut left, mut right) = (value >> self.half, value & mask);
            for round in 0..3 {
                let mixed = mix(self.seed ^ right << 3 ^ round) & mask;
                (left, right) = (right, left ^ mixed);
            }
            value = left << self.half | right;
            if value < self.count {
                return value;
            }
        }
    }
}

/// What went wrong in an instruction, and with which lane.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) kind: Kind,
    pub(crate) lane: u32,
    pub(crate) what: String,
}

impl Trouble {
    #[cold]
    pub(crate) fn new(kind: Kind, lane: usize, what: impl Into<String>) -> Box<Self> {
        let lane = u32::try_from(lane).unwrap_or(0);
        Box::new(Self { kind, lane, what: what.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_comes_once_and_seeds_differ() {
        for count in [1, 2, 3, 5, 64, 100, 1000] {
            let order = Order::new(count, 3);
            let mut blocks: Vec<u64> = (0..count).map(|index| order.at(index)).collect();
            blocks.sort_unstable();
            assert!(blocks.iter().copied().eq(0..count), "{count}");
        }
        let of = |seed| (0..50).map(|at| Order::new(50, seed).at(at)).collect::<Vec<_>>();
        assert_ne!(of(1), of(2));
    }
}
