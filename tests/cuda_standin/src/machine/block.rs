//! Runs blocks one after another: their warps in turn, from barrier to barrier.

use super::shared_memory::Shared;
use super::warp::{Stop, Warp, axes};
use super::{Context, Counts, Trouble};
use crate::fault::{Fault, Kind};
use crate::machine::float::mix;
use crate::race::{self, Actor};

/// What the warps of a block share.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) shared: Shared,
    pub(super) counts: Counts,
    /// The block in the order of the grid, and its number in entries of shared memory.
    pub(super) block: u32,
    pub(super) shared_launch: u32,
}

/// Runs blocks on one thread of the host.
#[derive(Debug)]
pub(super) struct Runner<'c> {
    context: &'c Context<'c>,
    warps: Vec<Warp>,
    work: Work,
    pub(super) counts: Counts,
    blocks: u64,
}

impl<'c> Runner<'c> {
    pub(super) fn new(context: &'c Context<'c>) -> Self {
        let launch = context.launch;
        let threads: u32 = launch.block.iter().product();
        let bytes = context.kernel.shared_bytes + launch.dynamic_shared;
        let checks = context.options.checks_races;
        Self {
            context,
            warps: (0..threads.div_ceil(32)).map(|_| Warp::new(context)).collect(),
            work: Work {
                shared: Shared::new(bytes, context.kernel.shared_granule, checks),
                counts: Counts::default(),
                block: 0,
                shared_launch: 0,
            },
            counts: Counts::default(),
            blocks: 0,
        }
    }

    /// Runs the block with this number in the order of the grid.
    pub(super) fn run(&mut self, block: u64) -> Result<(), Box<Fault>> {
        let number = self.blocks % u64::from(race::LAUNCHES);
        self.work.shared.reset(number == 0 && self.blocks > 0);
        self.work.shared_launch = u32::try_from(number).expect("small") + 1;
        self.work.block = u32::try_from(block).unwrap_or(u32::MAX);
        self.blocks += 1;
        let grid = self.context.launch.grid.map(u64::from);
        let place = [block % grid[0], block / grid[0] % grid[1], block / grid[0] / grid[1]];
        let place = place.map(|axis| u32::try_from(axis).expect("grids have 32 bits"));
        for (warp, first) in self.warps.iter_mut().zip((0..).step_by(32)) {
            warp.start(self.context, place, first);
        }
        let result = self.run_warps(block);
        self.counts.add(&std::mem::take(&mut self.work.counts));
        result.map_err(|(first_thread, pc, trouble)| {
            let size = self.context.launch.block;
            Box::new(Fault {
                kind: trouble.kind,
                kernel: self.context.kernel.name.clone(),
                line: self.context.kernel.lines[pc as usize],
                block: place,
                thread: axes(first_thread + trouble.lane, size),
                what: trouble.what,
            })
        })
    }

    /// The error: the warp's first thread, the instruction and the trouble.
    fn run_warps(&mut self, block: u64) -> Result<(), (u32, u32, Box<Trouble>)> {
        let count = self.warps.len();
        let mut round = 0;
        loop {
            let mut stops: Vec<Option<Stop>> = vec![None; count];
            let start = mix(self.context.options.seed ^ block << 20 ^ round) as usize % count;
            for turn in 0..count {
                let index = (start + turn) % count;
                let warp = &mut self.warps[index];
                let first = warp.first_thread;
                let stop = run(warp, self.context, &mut self.work);
                stops[index] = Some(stop.map_err(|(pc, trouble)| (first, pc, trouble))?);
            }
            let at = |stop: &Option<Stop>| match stop {
                Some(Stop::Barrier(pc)) => Some(*pc),
                _ => None,
            };
            let Some((waiting, pc)) =
                stops.iter().enumerate().find_map(|(index, stop)| at(stop).map(|pc| (index, pc)))
            else {
                return Ok(());
            };
            let trouble = |what: String| {
                let warp = &self.warps[waiting];
                let lane = warp.live.trailing_zeros() as usize;
                (warp.first_thread, pc, Trouble::new(Kind::Barrier, lane, what))
            };
            for (warp, stop) in self.warps.iter().zip(&stops) {
                if warp.live != warp.all {
                    let gone = (warp.all & !warp.live).trailing_zeros() + warp.first_thread;
                    let thread = axes(gone, self.context.launch.block);
                    return Err(trouble(format!("thread {thread:?} has exited before it")));
                }
                let other = at(stop).expect("a warp with live lanes waits");
                if other != pc {
                    let line = self.context.kernel.lines[other as usize];
                    let first = axes(warp.first_thread, self.context.launch.block);
                    return Err(trouble(format!(
                        "thread {first:?} waits at another barrier in line {line}"
                    )));
                }
            }
            let clock = self.warps.iter().map(|warp| warp.clock).max().unwrap_or(0) + 1;
            if clock >= race::CLOCKS && self.context.options.checks_races {
                return Err(trouble(format!("more than {} barriers in a block", race::CLOCKS)));
            }
            self.warps.iter_mut().for_each(|warp| warp.pass_barrier(clock));
            round += 1;
        }
    }
}

impl Work {
    /// A lane as entries of global memory have it.
    pub(super) fn actor(&self, context: &Context, warp: &Warp, lane: usize) -> Actor {
        Actor {
            launch: context.number,
            block: self.block,
            thread: warp.first_thread + u32::try_from(lane).expect("below 32"),
            clock: warp.clock,
            barrier: warp.barrier_clock,
            is_atomic: false,
        }
    }

    /// A lane as entries of shared memory have it.
    pub(super) fn shared_actor(&self, context: &Context, warp: &Warp, lane: usize) -> Actor {
        Actor { launch: self.shared_launch, block: 0, ..self.actor(context, warp, lane) }
    }
}

/// Runs a warp with the vectors that this processor has.
fn run(warp: &mut Warp, context: &Context, work: &mut Work) -> Result<Stop, super::warp::Stopped> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("popcnt")
    {
        // SAFETY: the features were just detected.
        return unsafe { run_avx2(warp, context, work) };
    }
    warp.run(context, work)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2,lzcnt,popcnt")]
fn run_avx2(
    warp: &mut Warp,
    context: &Context,
    work: &mut Work,
) -> Result<Stop, super::warp::Stopped> {
    warp.run(context, work)
}
