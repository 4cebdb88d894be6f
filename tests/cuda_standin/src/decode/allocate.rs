//! Registers as written -> few rows: registers that are never needed at the same time share a row, so
//! that a warp's registers fit into the processor's caches.
//!
//! A register that some path reads before it writes it keeps a row of its own, and is tracked: its lanes
//! are checked when they are read. A copy of a tracked register is tracked as well, because compilers
//! copy registers whose value doesn't matter.

use crate::program::{Guard, Kernel, L1, NONE, Op, Role, Row, Value, W1};
use crate::ptx::Class;
use std::collections::HashMap;

const CLASSES: [Class; 3] = [Class::Word, Class::Long, Class::Predicate];

/// Reads and writes of an instruction, as virtual rows of one class.
#[derive(Debug, Default, Clone)]
struct Uses {
    reads: Vec<Row>,
    writes: Vec<Row>,
}

pub(super) fn allocate(kernel: &mut Kernel) {
    for class in CLASSES {
        let constants: Vec<Row> = kernel
            .constants
            .iter()
            .filter(|constant| class_of(constant.value) == class)
            .map(|constant| constant.row)
            .collect();
        let uses = uses(kernel, class);
        let count = count(kernel, class);
        let is_constant = flags(count, &constants);
        let live = Liveness::of(kernel, &uses, count);
        let mut is_tracked: Vec<bool> =
            (0..count).map(|row| live.at_entry.contains(row) && !is_constant[row]).collect();
        spread(kernel, class, &uses, &mut is_tracked);
        let rows = assign(&live, &uses, &is_constant, &is_tracked);
        let used = rows.iter().filter(|row| **row != NONE).map(|row| usize::from(*row) + 1).max();
        let used = used.unwrap_or(0);
        let mut tracked = vec![false; used];
        for (row, is_tracked) in rows.iter().zip(&is_tracked) {
            if *is_tracked {
                tracked[usize::from(*row)] = true;
            }
        }
        rewrite(kernel, class, &rows, &tracked);
        kernel.constants.retain_mut(|constant| {
            if class_of(constant.value) == class {
                constant.row = rows[usize::from(constant.row)];
            }
            constant.row != NONE
        });
        match class {
            Class::Word => (kernel.words, kernel.tracked.words) = (used, tracked),
            Class::Long => (kernel.longs, kernel.tracked.longs) = (used, tracked),
            Class::Predicate => (kernel.predicates, kernel.tracked.predicates) = (used, tracked),
        }
    }
}

fn class_of(value: Value) -> Class {
    if matches!(value, Value::Long(_)) { Class::Long } else { Class::Word }
}

fn count(kernel: &Kernel, class: Class) -> usize {
    match class {
        Class::Word => kernel.words,
        Class::Long => kernel.longs,
        Class::Predicate => kernel.predicates,
    }
}

fn flags(count: usize, rows: &[Row]) -> Vec<bool> {
    let mut flags = vec![false; count];
    for row in rows {
        flags[usize::from(*row)] = true;
    }
    flags
}

fn uses(kernel: &mut Kernel, class: Class) -> Vec<Uses> {
    (0..kernel.code.len())
        .map(|index| {
            let mut uses = Uses::default();
            kernel.visit_registers(index, &mut |row, of, role| {
                if of == class {
                    match role {
                        Role::Read => uses.reads.push(*row),
                        Role::Write => uses.writes.push(*row),
                    }
                }
            });
            uses
        })
        .collect()
}

/// Copies of tracked registers are tracked.
fn spread(kernel: &Kernel, class: Class, uses: &[Uses], is_tracked: &mut [bool]) {
    let copy = match class {
        Class::Word => Op::W1(W1::Mov),
        Class::Long => Op::L1(L1::Mov),
        Class::Predicate => Op::MovP,
    };
    loop {
        let mut is_changed = false;
        for (inst, uses) in kernel.code.iter().zip(uses).filter(|(inst, _)| inst.op == copy) {
            let reads_tracked = is_tracked[usize::from(inst.a)];
            for row in uses.writes.iter().filter(|_| reads_tracked) {
                is_changed |= !std::mem::replace(&mut is_tracked[usize::from(*row)], true);
            }
        }
        if !is_changed {
            return;
        }
    }
}

fn rewrite(kernel: &mut Kernel, class: Class, rows: &[Row], tracked: &[bool]) {
    for index in 0..kernel.code.len() {
        let mut found = Vec::new();
        kernel.visit_registers(index, &mut |row, of, role| {
            if of == class {
                *row = rows[usize::from(*row)];
                if tracked[usize::from(*row)] {
                    found.push((class, *row, role));
                }
            }
        });
        if !found.is_empty() {
            kernel.code[index].is_tracked = true;
            let index = u32::try_from(index).expect("below 2^32 instructions");
            kernel.tracked.uses.entry(index).or_default().extend(found);
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Set(Vec<u64>);

impl Set {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn contains(&self, row: usize) -> bool {
        self.0[row / 64] >> (row % 64) & 1 == 1
    }

    fn insert(&mut self, row: usize) {
        self.0[row / 64] |= 1 << (row % 64);
    }

    fn remove(&mut self, row: usize) {
        self.0[row / 64] &= !(1 << (row % 64));
    }

    fn rows(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(at, bits)| {
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| at * 64 + bit)
        })
    }
}

/// Where registers are needed.
#[derive(Debug)]
struct Liveness {
    at_entry: Set,
    /// For each register: the first and last instruction between which it is needed.
    ranges: Vec<Option<(usize, usize)>>,
}

impl Liveness {
    fn of(kernel: &Kernel, uses: &[Uses], count: usize) -> Self {
        let code = &kernel.code;
        let mut starts: Vec<usize> = vec![0];
        for (index, inst) in code.iter().enumerate() {
            if inst.op == Op::Branch {
                starts.push(inst.imm as usize);
            }
            if matches!(inst.op, Op::Branch | Op::Exit | Op::Trap) && index + 1 < code.len() {
                starts.push(index + 1);
            }
        }
        starts.sort_unstable();
        starts.dedup();
        let block_at: HashMap<usize, usize> =
            starts.iter().enumerate().map(|(block, start)| (*start, block)).collect();
        let end = |block: usize| starts.get(block + 1).copied().unwrap_or(code.len());
        let mut before = vec![Set::new(count); starts.len()];
        let mut after = vec![Set::new(count); starts.len()];
        let mut is_changed = true;
        while is_changed {
            is_changed = false;
            for block in (0..starts.len()).rev() {
                let last = end(block) - 1;
                let mut live = Set::new(count);
                let falls = !(code[last].guard == Guard::Always
                    && matches!(code[last].op, Op::Branch | Op::Exit | Op::Trap));
                let next = (falls && block + 1 < starts.len()).then_some(block + 1);
                let jump =
                    (code[last].op == Op::Branch).then(|| block_at[&(code[last].imm as usize)]);
                for follower in next.into_iter().chain(jump) {
                    for (to, from) in live.0.iter_mut().zip(&before[follower].0) {
                        *to |= from;
                    }
                }
                after[block] = live.clone();
                for index in (starts[block]..=last).rev() {
                    // A guarded write leaves some lanes as they were.
                    if code[index].guard == Guard::Always {
                        uses[index].writes.iter().for_each(|row| live.remove(usize::from(*row)));
                    }
                    uses[index].reads.iter().for_each(|row| live.insert(usize::from(*row)));
                }
                is_changed |= live != before[block];
                before[block] = live;
            }
        }
        let mut ranges: Vec<Option<(usize, usize)>> = vec![None; count];
        let mut extend = |row: usize, at: usize| {
            let range = ranges[row].get_or_insert((at, at));
            *range = (range.0.min(at), range.1.max(at));
        };
        for block in 0..starts.len() {
            before[block].rows().for_each(|row| extend(row, starts[block]));
            after[block].rows().for_each(|row| extend(row, end(block) - 1));
        }
        for (index, uses) in uses.iter().enumerate() {
            uses.reads.iter().chain(&uses.writes).for_each(|row| extend(usize::from(*row), index));
        }
        Self { at_entry: before.swap_remove(0), ranges }
    }
}

/// The row of each register: constants and tracked ones have their own, the others share by a linear scan.
fn assign(live: &Liveness, uses: &[Uses], is_constant: &[bool], is_tracked: &[bool]) -> Vec<Row> {
    let count = is_constant.len();
    let mut rows = vec![NONE; count];
    let mut next: Row = 0;
    let mut fresh = || {
        next += 1;
        next - 1
    };
    let mut used = vec![false; count];
    for uses in uses {
        uses.reads.iter().chain(&uses.writes).for_each(|row| used[usize::from(*row)] = true);
    }
    for register in (0..count).filter(|row| used[*row] && (is_constant[*row] || is_tracked[*row])) {
        rows[register] = fresh();
    }
    let mut order: Vec<(usize, usize, usize)> = (0..count)
        .filter(|row| used[*row] && rows[*row] == NONE)
        .filter_map(|row| live.ranges[row].map(|(first, last)| (first, last, row)))
        .collect();
    order.sort_unstable();
    let mut active: std::collections::BinaryHeap<std::cmp::Reverse<(usize, Row)>> =
        std::collections::BinaryHeap::new();
    let mut free: Vec<Row> = Vec::new();
    for (first, last, register) in order {
        while let Some(std::cmp::Reverse((end, row))) = active.peek().copied() {
            // The instruction that reads a register for the last time may not write its row: with
            // several results, one could be written before another operand is read.
            if end >= first {
                break;
            }
            active.pop();
            free.push(row);
        }
        let row = free.pop().unwrap_or_else(&mut fresh);
        rows[register] = row;
        active.push(std::cmp::Reverse((last, row)));
    }
    rows
}
