//! A warp: its registers, and its lanes as groups that are at the same instruction.
//!
//! Of the groups that can run, the one at the lowest instruction does, so that groups meet again where
//! their paths join. A group that comes to a barrier, a shuffle, a vote or a product waits there until
//! the lanes that take part have come.

use super::block::Work;
use super::{Context, Trouble};
use crate::fault::Kind;
use crate::program::{Constant, Guard, Inst, Op, Special, Value};
use crate::ptx::Class;

/// Instructions of a warp that end a launch: such a kernel is taken to run forever.
const MOST_INSTRUCTIONS: u64 = 1 << 32;

pub(super) const ALL: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    /// For other lanes, at a shuffle or the like.
    Waits,
    Barrier,
}

/// Lanes at one instruction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) pc: u32,
    pub(super) mask: u32,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) struct Warp {
    pub(super) words: Vec<[u32; 32]>,
    pub(super) longs: Vec<[u64; 32]>,
    pub(super) predicates: Vec<u32>,
    /// Lanes that wrote a tracked register.
    written: [Vec<u32>; 3],
    pub(super) groups: Vec<Group>,
    /// Lanes that haven't exited.
    pub(super) live: u32,
    /// Lanes that exist.
    pub(super) all: u32,
    pub(super) first_thread: u32,
    pub(super) clock: u32,
    pub(super) barrier_clock: u32,
    instructions: u64,
}

/// Why a warp stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Exited,
    /// All its lanes are at the barrier at this instruction.
    Barrier(u32),
}

/// Trouble and its instruction.
pub(super) type Stopped = (u32, Box<Trouble>);

impl Warp {
    pub(super) fn new(context: &Context) -> Self {
        let kernel = context.kernel;
        let tracked = &kernel.tracked;
        let is_tracked = !tracked.is_empty();
        let written = |count: usize| vec![0; if is_tracked { count } else { 0 }];
        Self {
            words: vec![[0; 32]; kernel.words],
            longs: vec![[0; 32]; kernel.longs],
            predicates: vec![0; kernel.predicates],
            written: [written(kernel.words), written(kernel.longs), written(kernel.predicates)],
            groups: Vec::new(),
            live: 0,
            all: 0,
            first_thread: 0,
            clock: 0,
            barrier_clock: 0,
            instructions: 0,
        }
    }

    /// To the first instruction of a block.
    pub(super) fn start(&mut self, context: &Context, block: [u32; 3], first_thread: u32) {
        let threads: u32 = context.launch.block.iter().product();
        let count = (threads - first_thread).min(32);
        self.all = ALL >> (32 - count);
        self.live = self.all;
        self.first_thread = first_thread;
        (self.clock, self.barrier_clock) = (1, 1);
        self.groups = vec![Group { pc: 0, mask: self.all, state: State::Ready }];
        self.written.iter_mut().for_each(|written| written.fill(0));
        for Constant { row, value } in &context.kernel.constants {
            let row = usize::from(*row);
            match value {
                Value::Word(value) => self.words[row] = [*value; 32],
                Value::Long(value) => self.longs[row] = [*value; 32],
                Value::Special(special) => {
                    self.words[row] = std::array::from_fn(|lane| {
                        let lane = u32::try_from(lane).expect("below 32");
                        of_thread(*special, context, block, first_thread, lane)
                    });
                }
            }
        }
    }

    /// Runs until all lanes have exited or are at a barrier.
    #[inline(always)]
    pub(super) fn run(&mut self, context: &Context, work: &mut Work) -> Result<Stop, Stopped> {
        let code = context.kernel.code.as_slice();
        'groups: loop {
            let Some((index, limit)) = self.next_group() else { return self.all_wait(context) };
            let Group { mut pc, mut mask, .. } = self.groups[index];
            let before = self.instructions;
            loop {
                let inst: &Inst = &code[pc as usize];
                let active = match inst.guard {
                    Guard::Always => mask,
                    Guard::If(row) => mask & self.predicates[usize::from(row)],
                    Guard::Unless(row) => mask & !self.predicates[usize::from(row)],
                };
                self.instructions += 1;
                if inst.is_tracked {
                    self.check_tracked(context, pc, inst, mask, active)
                        .map_err(|trouble| (pc, trouble))?;
                }
                match inst.op {
                    Op::Branch => {
                        if active == mask {
                            if inst.imm <= pc && self.instructions > MOST_INSTRUCTIONS {
                                return Err((pc, self.endless(mask)));
                            }
                            pc = inst.imm;
                        } else if active == 0 {
                            pc += 1;
                        } else {
                            self.groups[index] =
                                Group { pc: pc + 1, mask: mask & !active, state: State::Ready };
                            let jumps = Group { pc: inst.imm, mask: active, state: State::Ready };
                            self.groups.push(jumps);
                            work.counts.instructions += self.instructions - before;
                            if self.instructions > MOST_INSTRUCTIONS {
                                return Err((pc, self.endless(mask)));
                            }
                            continue 'groups;
                        }
                    }
                    Op::Exit => {
                        self.live &= !active;
                        mask &= !active;
                        pc += 1;
                        if mask == 0 {
                            self.groups.swap_remove(index);
                            work.counts.instructions += self.instructions - before;
                            continue 'groups;
                        }
                    }
                    Op::Barrier
                    | Op::Shuffle
                    | Op::Vote(_)
                    | Op::WarpBarrier
                    | Op::Mma
                    | Op::LoadMatrix { .. } => {
                        if active == 0 {
                            pc += 1;
                        } else {
                            self.groups[index] = Group { pc, mask: active, state: State::Ready };
                            if active != mask {
                                // The others go on without.
                                let rest =
                                    Group { pc: pc + 1, mask: mask & !active, state: State::Ready };
                                self.groups.push(rest);
                            }
                            self.collective(context, work, index, inst)
                                .map_err(|trouble| (pc, trouble))?;
                            work.counts.instructions += self.instructions - before;
                            continue 'groups;
                        }
                    }
                    Op::Trap if active != 0 => {
                        let lane = active.trailing_zeros() as usize;
                        return Err((pc, Trouble::new(Kind::Stopped, lane, "`trap`")));
                    }
                    _ => {
                        if active != 0 {
                            self.execute(context, work, inst, active)
                                .map_err(|trouble| (pc, trouble))?;
                        }
                        pc += 1;
                    }
                }
                if pc >= limit {
                    self.groups[index].pc = pc;
                    self.groups[index].mask = mask;
                    work.counts.instructions += self.instructions - before;
                    continue 'groups;
                }
            }
        }
    }

    #[cold]
    fn endless(&self, mask: u32) -> Box<Trouble> {
        let what = format!("more than {MOST_INSTRUCTIONS} instructions of a warp");
        Trouble::new(Kind::Stopped, mask.trailing_zeros() as usize, what)
    }

    /// The group to run, and the lowest instruction of the others. Groups at the same place become one.
    fn next_group(&mut self) -> Option<(usize, u32)> {
        if let [group] = self.groups[..] {
            return (group.state == State::Ready).then_some((0, u32::MAX));
        }
        let ready = |group: &&Group| group.state == State::Ready;
        let lowest = self.groups.iter().filter(ready).map(|group| group.pc).min()?;
        let is_here = |group: &Group| group.state == State::Ready && group.pc == lowest;
        let first = self.groups.iter().position(is_here)?;
        let mask = self
            .groups
            .iter()
            .filter(|group| is_here(group))
            .fold(0, |mask, group| mask | group.mask);
        self.groups[first].mask = mask;
        let mut at = 0;
        self.groups.retain(|group| {
            at += 1;
            at - 1 == first || !is_here(group)
        });
        let first = self.groups.iter().position(is_here)?;
        let others =
            self.groups.iter().enumerate().filter(|(at, group)| *at != first && ready(group));
        let limit = others.map(|(_, group)| group.pc).min().unwrap_or(u32::MAX);
        Some((first, limit))
    }

    /// No group can run: the warp is done, at a barrier, or stuck.
    fn all_wait(&mut self, context: &Context) -> Result<Stop, Stopped> {
        let Some(first) = self.groups.first().copied() else { return Ok(Stop::Exited) };
        let lines = &context.kernel.lines;
        let waiting = self.groups.iter().find(|group| group.state == State::Waits);
        if let Some(group) = waiting {
            let others: Vec<String> = self
                .groups
                .iter()
                .filter(|other| other.pc != group.pc)
                .map(|other| {
                    format!("lanes {:#x} wait in line {}", other.mask, lines[other.pc as usize])
                })
                .collect();
            let what = format!(
                "only lanes {:#x} are here; lanes {:#x} have exited{}{}",
                group.mask,
                self.all & !self.live,
                if others.is_empty() { "" } else { "; " },
                others.join("; ")
            );
            let lane = group.mask.trailing_zeros() as usize;
            return Err((group.pc, Trouble::new(Kind::InactiveLane, lane, what)));
        }
        let apart = self.groups.iter().find(|group| group.pc != first.pc);
        if let Some(apart) = apart {
            let what = format!(
                "lanes {:#x} of a warp are here, lanes {:#x} at another barrier in line {}",
                first.mask, apart.mask, lines[apart.pc as usize]
            );
            let lane = first.mask.trailing_zeros() as usize;
            return Err((first.pc, Trouble::new(Kind::Barrier, lane, what)));
        }
        let mask = self.groups.iter().fold(0, |mask, group| mask | group.mask);
        self.groups = vec![Group { mask, ..first }];
        Ok(Stop::Barrier(first.pc))
    }

    /// Behind the barrier, at a later time.
    pub(super) fn pass_barrier(&mut self, clock: u32) {
        for group in &mut self.groups {
            group.pc += 1;
            group.state = State::Ready;
        }
        (self.clock, self.barrier_clock) = (clock, clock);
    }

    /// Tracked registers that an instruction reads must be written; copies only pass that on.
    #[cold]
    fn check_tracked(
        &mut self,
        context: &Context,
        pc: u32,
        inst: &Inst,
        mask: u32,
        active: u32,
    ) -> Result<(), Box<Trouble>> {
        use crate::program::{L1, Role, W1};
        let is_copy = matches!(inst.op, Op::W1(W1::Mov) | Op::L1(L1::Mov) | Op::MovP);
        let guard = match inst.guard {
            Guard::Always => None,
            Guard::If(row) | Guard::Unless(row) => Some(row),
        };
        let mut known = active;
        for (class, row, role) in context.kernel.tracked.uses.get(&pc).into_iter().flatten() {
            let file = match class {
                Class::Word => 0,
                Class::Long => 1,
                Class::Predicate => 2,
            };
            let written = &mut self.written[file][usize::from(*row)];
            match role {
                Role::Read => {
                    let is_guard = *class == Class::Predicate && guard == Some(*row);
                    let unwritten = if is_guard { mask } else { active } & !*written;
                    if is_copy && !is_guard {
                        known &= !unwritten;
                    } else if unwritten != 0 {
                        let lane = unwritten.trailing_zeros() as usize;
                        let what =
                            format!("a {class:?} register that lanes {unwritten:#x} never wrote");
                        return Err(Trouble::new(
                            Kind::UninitializedRegister,
                            lane,
                            what.to_lowercase(),
                        ));
                    }
                }
                Role::Write => *written = *written & !active | known,
            }
        }
        Ok(())
    }
}

fn of_thread(
    special: Special,
    context: &Context,
    block: [u32; 3],
    first_thread: u32,
    lane: u32,
) -> u32 {
    let size = context.launch.block;
    let thread = axes(first_thread + lane, size);
    let axis = |axis: u8| usize::from(axis.min(2));
    let bit = 1_u32 << lane;
    match special {
        Special::Thread(at) => thread[axis(at)],
        Special::BlockSize(at) => size[axis(at)],
        Special::Block(at) => block[axis(at)],
        Special::GridSize(at) => context.launch.grid[axis(at)],
        Special::Lane => lane,
        Special::Warp => first_thread / 32,
        Special::MaskEqual => bit,
        Special::MaskBelow => bit - 1,
        Special::MaskUpTo => bit | (bit - 1),
        Special::MaskAbove => !(bit | (bit - 1)),
        Special::MaskFrom => !(bit - 1),
    }
}

/// A thread's place by axis.
pub(super) fn axes(index: u32, size: [u32; 3]) -> [u32; 3] {
    [index % size[0], index / size[0] % size[1], index / size[0] / size[1]]
}
