//! Offers as they go over the wire, and what their attempts may claim.

use crate::scheduler::Offer;
use matrix::plan::{Load, Plan, batches, stream};
use model::generation::Stop;
use proto::wire;
use rand::Rng;
use std::collections::HashMap;
use std::time::Duration;
use store::DialogueRow;

/// Measured time may exceed the time between offer and end by this share, and by this much: clocks of
/// the two programs tick a little differently.
const TIME_SLACK: (f64, Duration) = (1.001, Duration::from_millis(50));

/// Batches of every run that was asked for, composed once.
#[derive(Default)]
pub(super) struct Compositions(HashMap<(u32, u32), Vec<Vec<u32>>>);

impl Compositions {
    /// The batches of a run that are composed of so many requests, as indices of dialogues.
    pub(super) fn of(&mut self, plan: &Plan, run: u32, batch_size: u32) -> &[Vec<u32>] {
        self.0
            .entry((run, batch_size))
            .or_insert_with(|| batches::compose(plan.seed, run, batch_size, plan.samples))
    }
}

/// Writes an offer out with its texts, so that agents need no access to the data.
pub(super) fn written(
    offer: &Offer,
    plan: &Plan,
    dialogues: &[DialogueRow],
    compositions: &mut Compositions,
    (stop, warmup, lease): (Stop, u32, Duration),
) -> wire::ShardOffer {
    let (cell, run) = (plan.cell_of(offer.shard), plan.round_of(offer.shard));
    let request = |dialogue: &DialogueRow| wire::Request {
        sample_id: dialogue.sample_id.to_string(),
        dialogue: dialogue.dialogue.clone(),
        reference: match stop {
            // Counted once, in the first run.
            Stop::Eos if run > 1 => String::new(),
            Stop::Eos | Stop::Reference => dialogue.summary.clone().unwrap_or_default(),
        },
    };
    let composition = compositions.of(plan, run, cell.composed());
    // Under a sustained load all dialogues come round again; what is left are windows.
    let indices: Vec<u32> = match cell.sustained() {
        Some(_) => (0..u32::try_from(composition.len()).unwrap_or(u32::MAX)).collect(),
        None => offer.batches.clone(),
    };
    let batches = indices.into_iter().map(|index| wire::Batch {
        index,
        requests: composition[index as usize]
            .iter()
            .map(|&ordinal| request(&dialogues[ordinal as usize]))
            .collect(),
    });
    let mut spare = dialogues.iter().filter(|dialogue| !dialogue.is_measured).cycle();
    let warmup = if offer.is_new_segment { warmup } else { 0 };
    let warmup = (0..warmup).map(|index| wire::Batch {
        index,
        requests: spare.by_ref().take(cell.batch_size as usize).map(request).collect(),
    });
    wire::ShardOffer {
        shard: offer.shard as u64,
        attempt: offer.attempt,
        lease_ms: u32::try_from(lease.as_millis()).unwrap_or(u32::MAX),
        cell: cell.id.to_string(),
        run,
        engine: u32::try_from(cell.engine).unwrap_or(u32::MAX),
        batch_size: cell.batch_size,
        scenario: cell.scenario.to_string(),
        segment: offer.segment,
        warmup: warmup.collect(),
        batches: batches.collect(),
        load: cell.load.map(|load| written_load(&load, offer, plan.seed, run)),
        // Known once the lease is on disk.
        trace_parent: String::new(),
    }
}

/// All targets and models get the same arrivals in the same run. A shard that is begun anew gets others.
fn written_load(load: &Load, offer: &Offer, seed: u64, run: u32) -> wire::Load {
    let first = offer.batches.first().copied().unwrap_or_default();
    let mut chance = stream(seed, "arrivals", &[u64::from(run), u64::from(first)]);
    let delay_ns = load.queue.max_batch_delay.as_nanos();
    wire::Load {
        request_rate: load.request_rate.unwrap_or_default(),
        constant_gaps: load.is_constant(),
        continuous: load.is_continuous(),
        seed: chance.next_u64(),
        concurrency: load.concurrency,
        max_batch_delay_ns: u64::try_from(delay_ns).unwrap_or(u64::MAX),
        max_queue: load.queue.max_queue,
        sustained: load.sustained.map(|sustained| wire::Sustained {
            window_ns: sustained.window_ns,
            windows: offer.batches.clone(),
        }),
    }
}

/// One attempt as it was leased, and the time that it claims to have measured.
pub(super) struct Lease {
    pub(super) offer: Offer,
    pub(super) offered_at: Duration,
    pub(super) claimed: Claimed,
    /// Its times come from a script: they pass in no time.
    pub(super) is_played: bool,
}

/// Measured time by the agent's clock.
#[derive(Debug, Clone, Copy)]
pub(super) enum Claimed {
    /// Of batches of which one ends before the next one starts.
    OneByOne(Duration),
    /// Of requests that wait for each other: from the first start to the last end, nothing before there is one.
    Together(Option<(u64, u64)>),
}

impl Claimed {
    /// Adds what lies between two times, in nanoseconds.
    pub(super) fn add(&mut self, start_ns: u64, end_ns: u64) {
        match self {
            Self::OneByOne(sum) => *sum += Duration::from_nanos(end_ns.saturating_sub(start_ns)),
            Self::Together(extent) => {
                let (first, last) = extent.unwrap_or((start_ns, end_ns));
                *extent = Some((first.min(start_ns), last.max(end_ns)));
            }
        }
    }

    fn time(self) -> Duration {
        match self {
            Self::OneByOne(sum) => sum,
            Self::Together(extent) => {
                let (first, last) = extent.unwrap_or_default();
                Duration::from_nanos(last.saturating_sub(first))
            }
        }
    }
}

impl Lease {
    /// Whether it claims more measured time than passed.
    pub(super) fn is_time_impossible(&self, now: Duration) -> bool {
        let (share, slack) = TIME_SLACK;
        let passed = now.saturating_sub(self.offered_at).mul_f64(share) + slack;
        !self.is_played && self.claimed.time() > passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(measured: u64, is_played: bool) -> Lease {
        let offer = Offer {
            agent: "a".try_into().unwrap(),
            shard: 0,
            attempt: 1,
            segment: 1,
            is_new_segment: true,
            batches: vec![0],
        };
        Lease {
            offer,
            offered_at: Duration::from_secs(5),
            claimed: Claimed::OneByOne(Duration::from_secs(measured)),
            is_played,
        }
    }

    #[test]
    fn more_time_than_passed_is_impossible_unless_it_is_played() {
        let now = Duration::from_secs(15);
        assert!(!lease(10, false).is_time_impossible(now));
        assert!(lease(11, false).is_time_impossible(now));
        assert!(!lease(11, true).is_time_impossible(now));
    }

    #[test]
    fn requests_that_wait_for_each_other_take_the_time_between_the_first_and_the_last() {
        let second = 1_000_000_000;
        let of = |mut claimed: Claimed| {
            for (start, end) in [(3, 6), (1, 5), (2, 9)] {
                claimed.add(start * second, end * second);
            }
            claimed.time().as_secs()
        };
        assert_eq!(of(Claimed::Together(None)), 8);
        assert_eq!(of(Claimed::OneByOne(Duration::ZERO)), 14);
        assert_eq!(Claimed::Together(None).time(), Duration::ZERO);
    }
}
