//! What a fleet can be made of: a model on a target with a largest batch size, from the cells of a campaign.

use super::batch_times::{BatchTimes, OpenLoop};
use cost::ranking::Because;
use matrix::Batching;
use results::parquet::read::SamplesRead;
use results::{Cell, Entry, Price, Results};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::Observation;
use stats::validity::Status;
use std::collections::{BTreeMap, BTreeSet};
use traffic::Request;

/// A model on a target, as fleets are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub facts: CandidateFacts,
    pub times: BatchTimes,
}

/// What a candidate is, and what its batch times were measured with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateFacts {
    pub model: String,
    pub target: String,
    pub dtype: String,
    /// So many requests are decoded together at most.
    pub max_batch_size: u32,
    pub usd_per_hour: f64,
    pub price: Price,
    /// The cells whose batch times are used.
    pub cells: Vec<String>,
    pub batches: u64,
    /// The fewest runs behind the times of a batch size.
    pub runs: u64,
    pub hosts: u64,
    /// On which instance type they were measured, or `unknown`.
    pub measured_on: String,
    /// Share of measured requests that failed for reasons other than a full queue, 0 to 1.
    pub failed_share: f64,
    /// The longest time to load the model, in seconds; null if it wasn't measured.
    pub load_s: Option<f64>,
    /// Some of the cells are DEGRADED.
    pub is_degraded: bool,
    /// The model has random weights.
    pub random_weights: bool,
    /// Batches of the largest size were not observed; their time is extrapolated.
    pub is_extrapolated: bool,
    /// Mean lengths of the prompts of the measured batches, in tokens; null if their times don't tell how they depend on
    /// it.
    #[serde(default)]
    pub prompt_tokens: Option<PromptRange>,
}

/// The shortest and the longest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PromptRange {
    pub least: f64,
    pub most: f64,
}

/// A part of the campaign that gives no candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NotSimulated {
    pub cell: String,
    pub because: NotSimulatedBecause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotSimulatedBecause {
    Invalid,
    /// The machine behind an endpoint is unknown.
    Endpoint,
    /// Continuous batching is not simulated.
    ContinuousBatching,
    /// A sustained load keeps no samples.
    SustainedLoad,
    /// Clients that wait for each other don't show when a batch began.
    ClosedLoopOfClients,
    /// Its summaries are significantly worse, as the recommendation of the campaign states.
    LowerQuality,
    NothingMeasured,
    /// Its times come from a script.
    SyntheticTime,
}

/// An open-loop cell, against which predictions are checked.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenCell {
    pub cell: String,
    /// Index of the group whose times predict it.
    pub group: usize,
    pub number: u32,
    pub request_rate: f64,
    pub arrivals: Offered,
    pub rule: OpenLoop,
    pub max_queue: u32,
    /// Requests of each run.
    pub requests: u64,
    pub runs: u32,
    pub estimates: Box<Cell>,
}

/// How the requests of an open-loop cell arrived.
#[derive(Debug, Clone, PartialEq)]
pub enum Offered {
    Constant,
    Poisson,
    /// The requests of each run, with their times from the first one: bursts, a changing rate or a recorded trace.
    Observed {
        runs: Vec<Vec<Request>>,
        is_recorded: bool,
    },
}

/// The candidates of a campaign, and what they were made from.
#[derive(Debug, Default)]
pub struct Measurements {
    pub candidates: Vec<Candidate>,
    pub not_simulated: Vec<NotSimulated>,
    pub groups: Vec<Group>,
    pub open_cells: Vec<OpenCell>,
}

/// The cells of one model on one target in one dtype.
#[derive(Debug, Default)]
pub struct Group {
    pub model: String,
    pub target: String,
    pub dtype: String,
    /// Batch times by cell.
    pub times: BTreeMap<u32, BatchTimes>,
}

impl Group {
    /// The batch times of all cells but one.
    pub fn without(&self, number: Option<u32>) -> BatchTimes {
        let mut all = BatchTimes::default();
        for (_, times) in self.times.iter().filter(|(cell, _)| Some(**cell) != number) {
            all.extend(times);
        }
        all
    }
}

/// Makes the candidates of a campaign.
pub fn candidates(results: &Results, samples: &SamplesRead) -> Measurements {
    let mut by_cell: BTreeMap<&str, Vec<Observation>> = BTreeMap::new();
    for sample in &samples.samples {
        let name = samples.cells[sample.cell as usize].as_str();
        by_cell.entry(name).or_default().push(sample.observation);
    }
    let mut found = Measurements::default();
    let mut used: Vec<Vec<(&Entry, &Cell)>> = Vec::new();
    let mut number = 0;
    for entry in &results.results {
        for cell in &entry.cells {
            number += 1;
            let observations = by_cell.get(cell.cell.as_str()).map_or(&[][..], Vec::as_slice);
            if let Some(because) = unusable(results, entry, cell, observations) {
                let cell = cell.cell.clone();
                found.not_simulated.push(NotSimulated { cell, because });
                continue;
            }
            let group = group_of(&mut found.groups, entry);
            used.resize_with(found.groups.len(), Vec::new);
            used[group].push((entry, cell));
            let mut times = BatchTimes::default();
            match open_loop(entry, cell) {
                None => times.add_closed(number, observations),
                Some(rule) => {
                    times.add_open(number, observations, rule);
                    let arrivals = offered(entry, observations);
                    let open = open_cell((entry, cell), arrivals, group, number, rule);
                    found.open_cells.extend(open);
                }
            }
            found.groups[group].times.insert(number, times);
        }
    }
    for (group, cells) in found.groups.iter().zip(&used) {
        let times = group.without(None);
        let sizes: BTreeSet<u32> = cells.iter().map(|(_, cell)| cell.batch_size).collect();
        for max_batch_size in sizes {
            let facts = facts(cells, max_batch_size, &times, &by_cell);
            found.candidates.push(Candidate { facts, times: times.clone() });
        }
    }
    found
}

fn group_of(groups: &mut Vec<Group>, entry: &Entry) -> usize {
    let is_same = |group: &Group| {
        (&group.model, &group.target, &group.dtype) == (&entry.model, &entry.target, &entry.dtype)
    };
    groups.iter().position(is_same).unwrap_or_else(|| {
        groups.push(Group {
            model: entry.model.clone(),
            target: entry.target.clone(),
            dtype: entry.dtype.clone(),
            times: BTreeMap::new(),
        });
        groups.len() - 1
    })
}

fn unusable(
    results: &Results,
    entry: &Entry,
    cell: &Cell,
    observations: &[Observation],
) -> Option<NotSimulatedBecause> {
    use NotSimulatedBecause as Reason;
    let engine = entry.engine.as_ref();
    let set_aside = results.recommendation.iter().flat_map(|found| &found.set_aside);
    let is_worse = |entry: &Entry| {
        let names = || entry.cells.iter().map(|cell| cell.cell.as_str());
        set_aside.clone().any(|one| {
            matches!(one.because, Because::LowerQuality { .. })
                && names().any(|name| name == one.name)
        })
    };
    match entry.load {
        _ if engine.is_some_and(|engine| engine.endpoint.is_some()) => Some(Reason::Endpoint),
        _ if engine.is_some_and(|engine| engine.synthetic_time) => Some(Reason::SyntheticTime),
        _ if entry.scenario == "stress" => Some(Reason::SustainedLoad),
        Some(load) if load.batching == Batching::Continuous => Some(Reason::ContinuousBatching),
        Some(load) if load.request_rate.is_none() => Some(Reason::ClosedLoopOfClients),
        _ if cell.validity.status == Status::Invalid => Some(Reason::Invalid),
        _ if is_worse(entry) => Some(Reason::LowerQuality),
        _ if !observations.iter().any(|row| row.is_ok) => Some(Reason::NothingMeasured),
        _ => None,
    }
}

/// The batching of an open loop; `None` for a closed loop.
fn open_loop(entry: &Entry, cell: &Cell) -> Option<OpenLoop> {
    let load = entry.load?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a delay")]
    let max_delay_ns = (load.max_batch_delay_ms.unwrap_or_default() * 1e6).max(0.0) as u64;
    Some(OpenLoop { max_size: cell.batch_size.max(1) as usize, max_delay_ns })
}

/// What arrived, if it can't be drawn again.
fn offered(entry: &Entry, observations: &[Observation]) -> Offered {
    let load = entry.load.as_ref();
    let is_recorded = entry.trace.is_some();
    let has_bursts = load.is_some_and(|load| load.gap_cv.is_some());
    if !is_recorded && !has_bursts && entry.rate_profile.is_empty() {
        let is_constant = load.and_then(|load| load.constant_gaps).unwrap_or_default();
        return if is_constant { Offered::Constant } else { Offered::Poisson };
    }
    let mut rows = observations.to_vec();
    let key = |row: &Observation| (row.run, row.host, row.segment);
    rows.sort_unstable_by_key(|row| (key(row), row.start_ns));
    let times = |rows: &[Observation]| {
        let first_ns = rows[0].start_ns;
        let request = |row: &Observation| Request {
            at_s: (row.start_ns - first_ns) as f64 / 1e9,
            prompt_tokens: row.input_tokens,
        };
        rows.iter().map(request).collect()
    };
    let runs = rows.chunk_by(|a, b| key(a) == key(b)).map(times).collect();
    Offered::Observed { runs, is_recorded }
}

/// `group` and `number` are those of [`OpenCell`].
fn open_cell(
    (entry, cell): (&Entry, &Cell),
    arrivals: Offered,
    group: usize,
    number: u32,
    rule: OpenLoop,
) -> Option<OpenCell> {
    let load = entry.load?;
    let runs = entry.num_runs.max(1);
    Some(OpenCell {
        cell: cell.cell.clone(),
        group,
        number,
        request_rate: load.request_rate?,
        arrivals,
        rule,
        max_queue: load.max_queue.unwrap_or(u32::MAX),
        requests: (cell.counted_samples + cell.failed_samples) / u64::from(runs),
        runs,
        estimates: Box::new(cell.clone()),
    })
}

fn facts(
    cells: &[(&Entry, &Cell)],
    max_batch_size: u32,
    times: &BatchTimes,
    by_cell: &BTreeMap<&str, Vec<Observation>>,
) -> CandidateFacts {
    let (entry, first) = cells[0];
    let rows = || cells.iter().filter_map(|(_, cell)| by_cell.get(cell.cell.as_str())).flatten();
    let hosts: BTreeSet<u32> = rows().map(|row| row.host).collect();
    let not_sent: u64 = cells.iter().filter_map(|(_, cell)| cell.not_sent).sum();
    let failed = rows().filter(|row| !row.is_ok).count() as u64;
    let load_ms = cells.iter().filter_map(|(_, cell)| cell.memory.load_ms).reduce(f64::max);
    let is_degraded = cells.iter().any(|(_, cell)| cell.validity.status == Status::Degraded);
    let random = |(entry, _): &(&Entry, &Cell)| {
        entry.engine.as_ref().is_some_and(|engine| engine.random_weights)
    };
    let measured: BTreeSet<&str> =
        cells.iter().map(|(entry, _)| entry.measured_on.as_str()).collect();
    CandidateFacts {
        model: entry.model.clone(),
        target: entry.target.clone(),
        dtype: entry.dtype.clone(),
        max_batch_size,
        usd_per_hour: first.cost.usd_per_hour,
        price: first.cost.price.clone(),
        cells: cells.iter().map(|(_, cell)| cell.cell.clone()).collect(),
        batches: times.batches(),
        runs: times.least_runs(),
        hosts: hosts.len() as u64,
        measured_on: measured.into_iter().collect::<Vec<_>>().join(", "),
        failed_share: failed.saturating_sub(not_sent) as f64 / rows().count().max(1) as f64,
        load_s: load_ms.map(|ms| ms / 1000.0),
        is_degraded,
        random_weights: cells.iter().any(random),
        is_extrapolated: times.largest() < max_batch_size as usize,
        prompt_tokens: times
            .prompts()
            .map(|range| PromptRange { least: *range.start(), most: *range.end() }),
    }
}
