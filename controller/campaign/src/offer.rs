//! Shard offers with their dialogues, so that agents need no access to the dataset.

use super::scheduler::Offer;
use matrix::lengths::{self, Matched, characters};
use matrix::plan::{Load, Plan, batches, stream};
use matrix::{Loads, Queue};
use model::ids::{CellId, SampleId};
use model::rate_profile::RateProfile;
use model::recorded_arrivals::RecordedArrivals;
use model::{
    generation::Stop,
    load::{Scenario, Share},
};
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
    /// Set if the agent starts together with others.
    pub share: Option<Share>,
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
pub(super) struct Compositions {
    /// By round and batch size.
    shuffled: HashMap<(u32, u32), Vec<Vec<u32>>>,
    /// By round and cell, of recorded requests whose prompts have a length.
    by_length: HashMap<(u32, usize), Vec<Vec<u32>>>,
}

/// What runs are composed of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned<'a> {
    pub(super) plan: &'a Plan,
    pub(super) loads: &'a Loads,
    /// The measured ones first, in the order of the plan.
    pub(super) dialogues: &'a [DialogueRow],
}

impl Planned<'_> {
    /// The recorded requests of a run and their dialogues, if their prompts have lengths.
    fn by_length(&self, cell: usize, round: u32) -> Option<Matched> {
        let lengths = || {
            let characters = |row: &DialogueRow| characters(&row.dialogue);
            self.dialogues.iter().take(self.plan.samples).map(characters).collect()
        };
        lengths::matched(self.plan, self.loads, cell, round, lengths)
    }
}

impl Compositions {
    /// The batches of a run, as indices of dialogues.
    pub(super) fn get(&mut self, planned: Planned<'_>, cell: usize, round: u32) -> &[Vec<u32>] {
        let plan = planned.plan;
        let size = plan.cells[cell].composed();
        let is_shuffled = plan.cells[cell].sustained().is_some()
            || !planned.loads.has_lengths(plan.cells[cell].scenario);
        let shuffled = || batches::compose(plan.seed, round, size, plan.samples);
        if is_shuffled {
            return self.shuffled.entry((round, size)).or_insert_with(shuffled);
        }
        self.by_length.entry((round, cell)).or_insert_with(|| {
            let Some(matched) = planned.by_length(cell, round) else { return shuffled() };
            matched.dialogues.into_iter().map(|dialogue| vec![dialogue]).collect()
        })
    }
}

/// Settings of a campaign that every offer carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfferSettings {
    pub(super) stop: Stop,
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
        planned: Planned<'_>,
        compositions: &mut Compositions,
        settings: OfferSettings,
    ) -> Self {
        let Planned { plan, dialogues, .. } = planned;
        let (cell, round) = (plan.cell_of(offer.shard), plan.round_of(offer.shard));
        let cell_index = plan.runs[plan.shards[offer.shard].run].cell;
        let request = |dialogue: &DialogueRow| Request {
            sample_id: dialogue.sample_id.clone(),
            dialogue: dialogue.dialogue.clone(),
            reference: match settings.stop {
                // The first round counts its tokens; the others don't need it.
                Stop::Eos if round > 1 => None,
                Stop::Eos | Stop::Reference => dialogue.summary.clone(),
            },
        };
        let composition = compositions.get(planned, cell_index, round);
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
            requests: unmeasured
                .by_ref()
                .take(cell.batch_size_per_agent() as usize)
                .map(request)
                .collect(),
        });
        Self {
            shard: offer.shard,
            attempt: offer.attempt,
            lease: settings.lease,
            cell: cell.id.clone(),
            round,
            engine: cell.engine,
            batch_size: cell.batch_size_per_agent(),
            scenario: cell.scenario,
            segment: offer.segment,
            warmup: warmup.collect(),
            batches: batches.collect(),
            load: cell.load.map(|load| {
                let rate_profile = planned.loads.rate_profile(cell.scenario).cloned();
                let seed = arrival_seed(plan.seed, offer, round, settings.arrivals, &load);
                OfferedLoad {
                    rate_profile: rate_profile.unwrap_or_default(),
                    recorded: recorded(offer, planned, composition),
                    ..OfferedLoad::new(load, offer, seed)
                }
            }),
            share: offer.joint.as_ref().map(|joint| joint.share.clone()),
        }
    }
}

impl OfferedLoad {
    fn new(load: Load, offer: &Offer, seed: u64) -> Self {
        let windows = load.sustained.map(|_| offer.batches.clone()).unwrap_or_default();
        let load = offer.joint.as_ref().map_or(load, |joint| part(load, &joint.share));
        Self { load, rate_profile: RateProfile::default(), recorded: None, seed, windows }
    }
}

/// The recorded arrivals of a load that follow those which have been measured. Agents that start together have the same.
/// `composition`: the batches of the run, of which a sustained load has one for each dialogue.
fn recorded(
    offer: &Offer,
    planned: Planned<'_>,
    composition: &[Vec<u32>],
) -> Option<RecordedArrivals> {
    let Planned { plan, loads, .. } = planned;
    let cell = plan.cell_of(offer.shard);
    let arrivals = loads.recorded(cell.scenario, cell.load.as_ref()?, plan.seed)?;
    let arrivals = match cell.sustained() {
        Some(_) => sending_by_length(arrivals, offer, planned, composition)?,
        None => arrivals,
    };
    let first = offer.batches.first().copied().unwrap_or_default();
    Some(match (cell.sustained(), &offer.joint) {
        (Some(sustained), joint) => {
            let first = joint.as_ref().map_or(first, |joint| joint.first_batch);
            let passed = sustained.window(first);
            arrivals.after_time(sustained.window_ns.saturating_mul(passed.into()))
        }
        (None, Some(joint)) => {
            let left: u64 = joint.share.requests.iter().sum();
            arrivals.after_requests((plan.samples as u64).saturating_sub(left))
        }
        (None, None) => {
            let start = plan.shards[offer.shard].batches.start;
            arrivals.after_requests(first.saturating_sub(start).into())
        }
    })
}

/// The arrivals of a sustained load, each with the batch of a dialogue of its length, if their prompts have lengths.
fn sending_by_length(
    arrivals: RecordedArrivals,
    offer: &Offer,
    planned: Planned<'_>,
    composition: &[Vec<u32>],
) -> Option<RecordedArrivals> {
    let run = &planned.plan.runs[planned.plan.shards[offer.shard].run];
    let Some(matched) = planned.by_length(run.cell, run.number) else { return Some(arrivals) };
    let mut batches = vec![0; composition.len()];
    for (batch, dialogues) in (0..).zip(composition) {
        for dialogue in dialogues {
            batches[*dialogue as usize] = batch;
        }
    }
    let batch = |dialogue: u32| batches[dialogue as usize];
    // As many as arrivals: both are of the same part of the trace.
    arrivals.sending(matched.dialogues.into_iter().map(batch).collect()).ok()
}

/// The numbers of requests in flight of one agent. Its rate is that of all: each sends its part of the arrivals.
fn part(load: Load, share: &Share) -> Load {
    let agents = share.requests.len();
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    // Sums up to the whole.
    let of = |all: u32| number((all as usize + agents - 1 - share.index) / agents);
    let max_in_flight = of(load.queue.max_in_flight).max(1);
    Load { concurrency: of(load.concurrency), queue: Queue { max_in_flight, ..load.queue }, ..load }
}

/// All targets and models see the same arrivals in the same round. A shard that is measured again sees others.
fn arrival_seed(seed: u64, offer: &Offer, round: u32, arrivals: ArrivalSeed, load: &Load) -> u64 {
    // Agents that start together draw the same arrivals.
    let joint = offer.joint.as_ref().map(|joint| joint.first_batch);
    let first = joint.or_else(|| offer.batches.first().copied()).unwrap_or_default();
    let mut keys = vec![u64::from(round), u64::from(first)];
    if arrivals == ArrivalSeed::RoundAndRate {
        keys.extend(load.request_rate.map(f64::to_bits));
    }
    stream(seed, "arrivals", &keys).next_u64()
}

#[cfg(test)]
mod tests {
    use super::super::scheduler::Joint;
    use super::*;
    use matrix::{Arrivals, Batching, Matrix, Overrides};
    use model::ids::AgentId;
    use std::path::Path;

    const TRACES: &str = r#"
name = "traces"
[dataset]
source = "builtin:dialogues"
[[model]]
name = "hosted"
id = "https://h/v1"
[model.endpoint]
input_tokens = "/0/i"
output_tokens = "/0/o"
[factors]
scenarios = ["server", "stress"]
[protocol]
runs = 1
order = "written"
server = { arrivals = "trace", trace = { path = "t.csv" } }
stress = { duration = "10s", window = "1s", arrivals = "trace", trace = { path = "t.csv" } }
[[target]]
name = "behind"
agents = 2
usd_per_hour = 1.0
"#;

    #[test]
    fn agents_that_share_a_trace_resume_where_all_of_them_stopped() {
        let mut matrix = Matrix::check(TRACES, "m", Path::new("/"), &Overrides::default()).unwrap();
        // At 0, 100, 300, 600 ms and so on.
        let times = (0..40).map(|at| at * (at + 1) * 50_000_000).collect();
        let trace = RecordedArrivals::new(times, 100_000_000_000).unwrap();
        for scenario in [Scenario::Server, Scenario::Stress] {
            matrix.loads.record(scenario, &trace, None, matrix.seed).unwrap();
        }
        let plan = Plan::make(&matrix, 8).unwrap();
        let of = |shard: usize, requests: [u64; 2], batches: [u32; 2]| {
            let share = Share { index: shard % 2, requests: requests.to_vec() };
            let first_batch = batches[0].min(batches[1]);
            let offer = Offer {
                agent: AgentId::try_from("a").unwrap(),
                shard,
                attempt: 1,
                segment: 1,
                is_new_segment: true,
                batches: vec![batches[shard % 2]],
                joint: Some(Joint { share, first_batch }),
            };
            let planned = Planned { plan: &plan, loads: &matrix.loads, dialogues: &[] };
            recorded(&offer, planned, &[]).unwrap()
        };
        // The server's run: requests 0 to 3 and 4 to 7.
        assert_eq!([of(0, [4, 4], [0, 4]), of(1, [4, 4], [0, 4])], [trace.clone(), trace.clone()]);
        // Five of the eight were sent, four of them by the first agent.
        let rest = trace.after_requests(5);
        assert_eq!([of(0, [0, 3], [4, 5]), of(1, [0, 3], [4, 5])], [rest.clone(), rest]);
        // The load's windows: 0 to 9 and 10 to 19. Both agents measured three.
        let rest = trace.after_time(3_000_000_000);
        assert_eq!([of(2, [7, 7], [3, 13]), of(3, [7, 7], [3, 13])], [rest.clone(), rest]);
    }

    #[test]
    fn the_parts_of_all_agents_sum_up_to_the_load() {
        let queue = Queue {
            arrivals: Arrivals::Poisson,
            gap_cv: None,
            max_batch_delay: Duration::ZERO,
            max_queue: 1,
            batching: Batching::Dynamic,
            max_in_flight: 1002,
        };
        let load = Load {
            request_rate: Some(200.0),
            trace_factor: None,
            concurrency: 11,
            queue,
            sustained: None,
        };
        let parts: Vec<Load> =
            (0..4).map(|index| part(load, &Share { index, requests: vec![5; 4] })).collect();
        let concurrency: Vec<u32> = parts.iter().map(|part| part.concurrency).collect();
        assert_eq!(concurrency, [3, 3, 3, 2]);
        assert_eq!(parts.iter().map(|part| part.queue.max_in_flight).sum::<u32>(), 1002);
        // Each agent draws the arrivals of all.
        assert!(parts.iter().all(|part| part.request_rate == Some(200.0)));
    }
}
