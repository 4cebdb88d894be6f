//! Recorded lengths of prompts -> dialogues of about these lengths. All lengths are in characters.

use super::Loads;
use super::plan::{Plan, stream};
use rand::RngExt;
use std::collections::{BTreeSet, HashMap};

/// Dialogues whose length differs from the recorded one by at most this share are equally near.
const NEAR: f64 = 0.05;

/// Recorded requests and the dialogues that they send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// The recorded length of each request.
    pub wanted: Vec<u32>,
    /// The dialogue of each request, as an index of the measured ones.
    pub dialogues: Vec<u32>,
}

/// The length of a dialogue.
pub fn characters(dialogue: &str) -> u32 {
    u32::try_from(dialogue.chars().count()).unwrap_or(u32::MAX)
}

/// A dialogue or request, ordered by length, and at random among those of equal length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ranked {
    length: u32,
    tie_break: u64,
    index: usize,
}

/// In the order of `lengths`.
fn ranked<'a>(
    lengths: &'a [u32],
    random: &'a mut impl RngExt,
) -> impl Iterator<Item = Ranked> + 'a {
    (lengths.iter().enumerate()).map(|(index, length)| Ranked {
        length: *length,
        tie_break: random.random(),
        index,
    })
}

fn sorted(lengths: &[u32], random: &mut impl RngExt) -> Vec<Ranked> {
    let mut all: Vec<Ranked> = ranked(lengths, random).collect();
    all.sort_unstable();
    all
}

/// The requests of a `server` run, or of one period of a sustained load; `None` if their prompts have no lengths.
/// `lengths`: of all measured dialogues.
pub fn matched(
    plan: &Plan,
    loads: &Loads,
    cell: usize,
    round: u32,
    lengths: impl FnOnce() -> Vec<u32>,
) -> Option<Matched> {
    let planned = &plan.cells[cell];
    let recorded = loads.lengths(planned.scenario, planned.load.as_ref()?, plan.seed)?;
    let lengths = lengths();
    if planned.sustained().is_some() {
        let dialogues = nearest(&lengths, &recorded, plan.seed);
        return Some(Matched { wanted: recorded, dialogues });
    }
    // Every shard replays the trace from its start.
    let mut wanted = vec![0; plan.samples];
    let run = plan.runs.iter().find(|run| run.cell == cell);
    for shard in run.into_iter().flat_map(|run| &plan.shards[run.shards.clone()]) {
        let requests = shard.batches.start as usize..shard.batches.end as usize;
        for (wanted, length) in wanted[requests].iter_mut().zip(recorded.iter().cycle()) {
            *wanted = *length;
        }
    }
    let dialogues = assign(&lengths, &wanted, plan.seed, round);
    Some(Matched { wanted, dialogues })
}

/// Chooses a dialogue of its own for each of the `wanted` lengths, the nearest one that is left, and returns their
/// indices in ascending order. `wanted` aren't more than `lengths`.
pub fn choose(lengths: &[u32], wanted: &[u32], seed: u64) -> Vec<usize> {
    let mut random = stream(seed, "lengths of dialogues", &[]);
    let mut free: BTreeSet<Ranked> = ranked(lengths, &mut random).collect();
    // In random order, so that no part of the trace has the first choice.
    let mut order: Vec<(u64, u32)> =
        wanted.iter().map(|length| (random.random(), *length)).collect();
    order.sort_unstable();
    let mut chosen = Vec::with_capacity(wanted.len());
    for (_, length) in order {
        let first = Ranked { length, tie_break: 0, index: 0 };
        let above = free.range(first..).next().copied();
        let below = free.range(..first).next_back().copied();
        let distance = |one: &Ranked| one.length.abs_diff(length);
        let Some(nearest) = above.into_iter().chain(below).min_by_key(distance) else { break };
        free.remove(&nearest);
        chosen.push(nearest.index);
    }
    chosen.sort_unstable();
    chosen
}

/// Assigns each dialogue to one request, so that the differences between `lengths` and `wanted`, which are as many, are
/// smallest on average: the n-th shortest dialogue to the n-th shortest request. `run` decides between equal lengths.
/// Returns the index of the dialogue of each request.
pub fn assign(lengths: &[u32], wanted: &[u32], seed: u64, run: u32) -> Vec<u32> {
    let mut random = stream(seed, "order by lengths", &[run.into()]);
    let (dialogues, requests) = (sorted(lengths, &mut random), sorted(wanted, &mut random));
    let mut assigned = vec![0; requests.len()];
    for (dialogue, request) in dialogues.into_iter().zip(requests) {
        assigned[request.index] = u32::try_from(dialogue.index).unwrap_or(u32::MAX);
    }
    assigned
}

/// Picks a near dialogue for each request, of which there may be more than dialogues: those within 5% of its length, or
/// as near as the nearest one, take turns. `lengths` isn't empty. Returns the index of the dialogue of each request.
pub fn nearest(lengths: &[u32], wanted: &[u32], seed: u64) -> Vec<u32> {
    let mut random = stream(seed, "nearest lengths", &[]);
    let sorted = sorted(lengths, &mut random);
    let mut turns: HashMap<(usize, usize), usize> = HashMap::new();
    let pick = |wanted: &u32| {
        let (first, end) = near(&sorted, *wanted);
        let turn = turns.entry((first, end)).or_insert_with(|| random.random_range(0..end - first));
        *turn += 1;
        let picked = sorted[first + *turn % (end - first)];
        u32::try_from(picked.index).unwrap_or(u32::MAX)
    };
    wanted.iter().map(pick).collect()
}

/// The range of the dialogues, sorted by length, that are near: never empty.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
fn near(sorted: &[Ranked], wanted: u32) -> (usize, usize) {
    let above = sorted.partition_point(|one| one.length < wanted);
    let neighbors = [above.checked_sub(1), Some(above)];
    let distances = neighbors.into_iter().flatten().filter_map(|at| sorted.get(at));
    let nearest = distances.map(|one| one.length.abs_diff(wanted)).min().unwrap_or_default();
    let within = nearest.max((f64::from(wanted) * NEAR) as u32);
    let (low, high) = (wanted.saturating_sub(within), wanted.saturating_add(within));
    (
        sorted.partition_point(|one| one.length < low),
        sorted.partition_point(|one| one.length <= high),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_nearest_dialogues_are_chosen_and_assigned_by_rank() {
        let lengths = [500, 100, 300, 290, 900, 110];
        let wanted = [305, 105, 880];
        let chosen = choose(&lengths, &wanted, 7);
        assert!(chosen == [1, 2, 4] || chosen == [2, 4, 5], "{chosen:?}");
        assert_eq!(assign(&[100, 300, 900], &[305, 880, 105], 7, 1), [1, 2, 0]);
        // Equal lengths have another order in another run, and the same one again.
        let equal = |run| assign(&[5; 20], &[5; 20], 7, run);
        assert_ne!(equal(1), equal(2));
        assert_eq!(equal(1), equal(1));
    }

    #[test]
    fn near_dialogues_take_turns_and_a_far_one_is_the_nearest() {
        let lengths = [1000, 1010, 1020, 990, 50, 3000];
        let picks = nearest(&lengths, &[1005; 400], 3);
        let uses = |dialogue: u32| picks.iter().filter(|pick| **pick == dialogue).count();
        assert_eq!([0, 1, 2, 3, 4, 5].map(uses), [100, 100, 100, 100, 0, 0]);
        assert_eq!(nearest(&lengths, &[60, 9000, 0], 3), [4, 5, 4]);
    }

    proptest! {
        #[test]
        fn no_other_assignment_is_nearer_on_average(
            lengths in prop::collection::vec(0..1000_u32, 1..7), seed: u64, swap: (usize, usize),
        ) {
            let mut random = stream(seed, "test", &[]);
            let wanted: Vec<u32> = lengths.iter().map(|_| random.random_range(0..1000)).collect();
            let mut assigned = assign(&lengths, &wanted, seed, 1);
            let total = |assigned: &[u32]| -> u64 {
                let difference = |(pick, wanted): (&u32, &u32)| {
                    u64::from(lengths[*pick as usize].abs_diff(*wanted))
                };
                assigned.iter().zip(&wanted).map(difference).sum()
            };
            let least = total(&assigned);
            let count = assigned.len();
            assigned.swap(swap.0 % count, swap.1 % count);
            prop_assert!(least <= total(&assigned));
            assigned.sort_unstable();
            prop_assert!(assigned.into_iter().map(|one| one as usize).eq(0..count));
        }

        #[test]
        fn every_pick_is_within_its_tolerance(
            lengths in prop::collection::vec(0..1000_u32, 1..30),
            wanted in prop::collection::vec(0..1200_u32, 1..60),
            seed: u64,
        ) {
            for (pick, wanted) in nearest(&lengths, &wanted, seed).iter().zip(&wanted) {
                let found = lengths[*pick as usize].abs_diff(*wanted);
                let least = lengths.iter().map(|length| length.abs_diff(*wanted)).min().unwrap();
                prop_assert!(found <= least || found <= wanted / 20, "{found} {least} {wanted}");
            }
            let mut chosen = choose(&lengths, &wanted[..lengths.len().min(wanted.len())], seed);
            prop_assert_eq!(chosen.len(), lengths.len().min(wanted.len()));
            chosen.dedup();
            prop_assert_eq!(chosen.len(), lengths.len().min(wanted.len()));
        }
    }
}
