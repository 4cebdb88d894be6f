//! Shard offers with their dialogues, so that agents need no access to the dataset.

use super::scheduler::Offer;
use matrix::Loads;
use matrix::plan::{Load, Plan, batches, stream};
use model::ids::{CellId, SampleId};
use model::rate_profile::RateProfile;
use model::recorded_arrivals::RecordedArrivals;
use model::{generation::Stop, load::Scenario};
use rand::Rng;
use records::DialogueRow;
use std::{collections::HashMap, time::Duration};

/// A shard, as one agent is asked to measure it.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardOffer {
    pub shard: usize,
    pub attempt: u64,
    pub lease: Duration,
    pub cell: CellId,
    /// From 1.
    pub round: u32,
    /// Index into the target's engines.
    pub engine: usize,
    pub batch_size: u32,
    pub scenario: Scenario,
    /// From 1 in its run.
    pub segment: u64,
    /// Decoded first, never counted. Empty if the segment continues.
    pub warmup: Vec<Batch>,
    /// Under a load: single requests, in order of arrival.
    pub batches: Vec<Batch>,
    /// None: one batch after the other.
    pub load: Option<OfferedLoad>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub index: u32,
    pub requests: Vec<Request>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub sample_id: SampleId,
    pub dialogue: String,
    /// Its tokens are to be counted, or to be generated as many.
    pub reference: Option<String>,
}

/// How requests arrive under a load.
#[derive(Debug, Clone, PartialEq)]
pub struct OfferedLoad {
    pub load: Load,
    pub rate_profile: RateProfile,
    /// The times at which what is left of the load arrives, instead of random ones.
    pub recorded: Option<RecordedArrivals>,
    /// Random arrival times follow from it.
    pub seed: u64,
    /// The remaining windows of a sustained load; empty for other loads.
    pub windows: Vec<u32>,
}

/// Batches of every run that was needed so far. A run is composed once.
#[derive(Default)]
pub(super) struct Compositions(HashMap<(u32, u32), Vec<Vec<u32>>>);

impl Compositions {
    /// The batches of a round at a batch size, as indices of dialogues.
    pub(super) fn get(&mut self, plan: &Plan, round: u32, batch_size: u32) -> &[Vec<u32>] {
        self.0
            .entry((round, batch_size))
            .or_insert_with(|| batches::compose(plan.seed, round, batch_size, plan.samples))
    }
}

/// Settings of a campaign that every offer carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfferSettings<'a> {
    pub(super) stop: Stop,
    pub(super) loads: &'a Loads,
    /// Warm-up batches of a new segment.
    pub(super) warmup: u32,
    pub(super) lease: Duration,
    pub(super) arrivals: ArrivalSeed,
}

/// What arrival times depend on, in addition to the campaign's seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArrivalSeed {
    /// The round: rates share their arrival times, scaled, so that they can be compared.
    Round,
    /// Also the rate: each run of a search is evidence of its own.
    RoundAndRate,
}

impl ShardOffer {
    pub(super) fn new(
        offer: &Offer,
        plan: &Plan,
        dialogues: &[DialogueRow],
        compositions: &mut Compositions,
        settings: OfferSettings<'_>,
    ) -> Self {
        let (cell, round) = (plan.cell_of(offer.shard), plan.round_of(offer.shard));
        let request = |dialogue: &DialogueRow| Request {
            sample_id: dialogue.sample_id.clone(),
            dialogue: dialogue.dialogue.clone(),
            reference: match settings.stop {
                // The first round counts its tokens; the others don't need it.
                Stop::Eos if round > 1 => None,
                Stop::Eos | Stop::Reference => dialogue.summary.clone(),
            },
        };
        let composition = compositions.get(plan, round, cell.composed());
        // A sustained load cycles through all dialogues; its remaining "batches" are windows.
        let indices: Vec<u32> = match cell.sustained() {
            Some(_) => (0..u32::try_from(composition.len()).unwrap_or(u32::MAX)).collect(),
            None => offer.batches.clone(),
        };
        let batches = indices.into_iter().map(|index| Batch {
            index,
            requests: composition[index as usize]
                .iter()
                .map(|&ordinal| request(&dialogues[ordinal as usize]))
                .collect(),
        });
        let mut unmeasured = dialogues.iter().filter(|dialogue| !dialogue.is_measured).cycle();
        let warmup = if offer.is_new_segment { settings.warmup } else { 0 };
        let warmup = (0..warmup).map(|index| Batch {
            index,
            requests: unmeasured.by_ref().take(cell.batch_size as usize).map(request).collect(),
        });
        Self {
            shard: offer.shard,
            attempt: offer.attempt,
            lease: settings.lease,
            cell: cell.id.clone(),
            round,
            engine: cell.engine,
            batch_size: cell.batch_size,
            scenario: cell.scenario,
            segment: offer.segment,
            warmup: warmup.collect(),
            batches: batches.collect(),
            load: cell.load.map(|load| {
                let rate_profile = settings.loads.rate_profile(cell.scenario).cloned();
                let seed = arrival_seed(plan.seed, offer, round, settings.arrivals, &load);
                OfferedLoad {
                    rate_profile: rate_profile.unwrap_or_default(),
                    recorded: recorded(offer, plan, settings.loads),
                    ..OfferedLoad::new(load, offer, seed)
                }
            }),
        }
    }
}

impl OfferedLoad {
    fn new(load: Load, offer: &Offer, seed: u64) -> Self {
        let windows = load.sustained.map(|_| offer.batches.clone()).unwrap_or_default();
        Self { load, rate_profile: RateProfile::default(), recorded: None, seed, windows }
    }
}

/// The recorded arrivals of a load that follow those which have been measured.
fn recorded(offer: &Offer, plan: &Plan, loads: &Loads) -> Option<RecordedArrivals> {
    let cell = plan.cell_of(offer.shard);
    let arrivals = loads.recorded(cell.scenario, cell.load.as_ref()?, plan.seed)?;
    let first = offer.batches.first().copied().unwrap_or_default();
    Some(match cell.sustained() {
        Some(sustained) => arrivals.after_time(sustained.window_ns.saturating_mul(first.into())),
        None => {
            let start = plan.shards[offer.shard].batches.start;
            arrivals.after_requests(first.saturating_sub(start).into())
        }
    })
}

/// All targets and models see the same arrivals in the same round. A shard that is measured again sees others.
fn arrival_seed(seed: u64, offer: &Offer, round: u32, arrivals: ArrivalSeed, load: &Load) -> u64 {
    let first = offer.batches.first().copied().unwrap_or_default();
    let mut keys = vec![u64::from(round), u64::from(first)];
    if arrivals == ArrivalSeed::RoundAndRate {
        keys.extend(load.request_rate.map(f64::to_bits));
    }
    stream(seed, "arrivals", &keys).next_u64()
}
