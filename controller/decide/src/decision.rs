//! The ranked options, what separates the first two, and what to measure next.

use super::calibration::{Calibrated, calibrate};
use super::candidate::{Candidate, CandidateFacts, NotSimulated, PromptRange, candidates};
use super::options::{IndexedCandidate, choice, choice_with_base};
use super::prediction::{Attained, Choice, Predicted, Setting, SizedPolicy};
use super::serverless::{serverless_choice, stand_ins};
use rayon::prelude::*;
use results::Results;
use results::parquet::read::SamplesRead;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use traffic::{Demand, Fleet, Objective, PolicyKind, Summary, TrafficFile};

pub const SCHEMA_VERSION: u32 = 1;

/// More requests than this are not simulated: the number of simulations of each option is reduced instead.
const MOST_REQUESTS: f64 = 2e8;
/// The fewest simulations that give an interval.
pub const LEAST_SIMULATIONS: u32 = 5;
/// About how many simulations sizing an option takes.
const SIZING: f64 = 5.0;
/// Intervals over fewer runs are too narrow.
pub const ENOUGH_RUNS: u64 = 5;

/// The fleet to choose for a campaign's measurements and a traffic. Its figures are predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    pub schema_version: u32,
    pub campaign: String,
    pub campaign_name: String,
    /// When the campaign began, UTC.
    pub created_at: String,
    /// Of the program that measured.
    pub controller_version: String,
    /// Whether no sample of the campaign is missing.
    pub is_complete: bool,
    pub traffic: TrafficFacts,
    pub objective: Objective,
    pub fleet: Fleet,
    pub seed: u64,
    /// Of each option.
    pub simulations: u32,
    /// Fewer than were requested, because the traffic has too many requests.
    pub is_reduced: bool,
    pub candidates: Vec<CandidateFacts>,
    /// The options that meet the objective first, then the undecided ones, each by cost.
    pub choices: Vec<Choice>,
    pub not_simulated: Vec<NotSimulated>,
    /// Policies that the traffic doesn't allow.
    pub left_out: Vec<PolicyKind>,
    /// The first two choices that don't miss the objective; null where there are fewer.
    pub first_two: Option<FirstTwo>,
    pub calibration: Vec<Calibrated>,
    pub caveats: Vec<Caveat>,
    pub measure_next: Vec<MeasureNext>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrafficFacts {
    /// The name of the traffic file.
    pub file: String,
    pub time_zone: String,
    /// Requests per second, with growth.
    pub mean_rate: f64,
    /// Requests per second in the busiest hour, with growth.
    pub busiest_rate: f64,
    pub growth: f64,
    pub peak_factor: f64,
    /// The length of the simulated period in seconds; a month repeats it.
    pub span_s: f64,
    /// Null without a trace.
    pub trace: Option<Summary>,
}

/// The cost of the second choice less that of the first, in simulations with the same arrivals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FirstTwo {
    pub difference_usd_per_month: Predicted,
    /// The number of simulations in which the first one costs less.
    pub first_is_cheaper_in: u32,
    /// They differ only in their policy or batch size.
    pub is_same_target: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "caveat")]
pub enum Caveat {
    /// The first choice was measured on another machine than it is priced as.
    OtherMachine {
        target: String,
        measured_on: String,
    },
    /// Its target was measured on one host.
    OneHost {
        target: String,
    },
    /// Its batch times come from few runs.
    FewRuns {
        runs: u64,
    },
    Degraded,
    RandomWeights,
    IncompleteCampaign,
    /// No `server` cell checks the predictions for its model and target.
    NotCalibrated,
    /// The prediction misses measured cells of its model and target.
    MissesItsMeasurements {
        missed: u64,
        cells: u64,
    },
    /// Its largest batches were not observed.
    ExtrapolatedBatches {
        max_batch_size: u32,
    },
    /// The load time was neither measured nor given.
    UnknownLoadTime,
    /// The trace is shorter than a day.
    ShortTrace {
        hours: f64,
    },
    StalePrice {
        date: String,
    },
    /// The price is an assumption about its region.
    AssumedRegion,
    /// Lengths of the trace are not used: they are in characters, or the measured prompts of a batch size all have the same
    /// length.
    LengthsNotUsed,
    /// Share of the prompts that are longer or shorter than the mean prompt of any measured batch, 0 to 1. Their times are
    /// extrapolated.
    ExtrapolatedPrompts {
        share: f64,
    },
    /// Share of the prompts that are cut, as those of the campaign, 0 to 1.
    CutPrompts {
        share: f64,
        max_input_tokens: u32,
    },
    /// The first choice is a serverless endpoint, and the times of a target stand for it.
    ServerlessStandIn {
        target: String,
        memory_mb: u32,
    },
    /// Cost with an on-demand price, although spot interruptions are simulated.
    SpotAtOtherPrice {
        purchase: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "measure")]
pub enum MeasureNext {
    /// A `server` cell at the rate that an instance of the first choice gets in the busiest hour.
    ServerCell {
        model: String,
        target: String,
        request_rate: f64,
        max_batch_size: u32,
    },
    /// More runs, because the interval decides.
    MoreRuns {
        targets: Vec<String>,
    },
    MoreHosts {
        target: String,
    },
    OnTheTarget {
        target: String,
    },
    /// The serverless endpoint itself, for which a target stands.
    OnServerless {
        target: String,
        memory_mb: u32,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub enum Nothing {
    /// No cell of the campaign can be simulated.
    NoCandidate(Vec<String>),
    /// The file lists only policies that its traffic doesn't allow.
    NoPolicy,
    /// No cell of a target that is to be a base can be simulated; those that can are listed.
    NoBase { target: String, known: Vec<String> },
    /// No cell of the target that stands for a serverless endpoint has one request at a time; targets that do are listed.
    NoServerless { target: String, known: Vec<String> },
}

/// The measured and the expected.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    pub results: &'a Results,
    pub samples: &'a SamplesRead,
    pub file_name: &'a str,
    pub file: &'a TrafficFile,
    pub demand: &'a Demand,
    pub seed: u64,
    pub simulations: u32,
}

/// Simulates every candidate with every policy and ranks them.
pub fn decide(input: Input<'_>) -> Result<Decision, Nothing> {
    let Input { results, file, seed, .. } = input;
    let max_input_tokens = results.environment.generation.max_input_tokens;
    let demand = &input.demand.clone().cut_to(max_input_tokens);
    let found = candidates(results, input.samples);
    if found.candidates.is_empty() {
        return Err(Nothing::NoCandidate(
            found.not_simulated.iter().map(|one| one.cell.clone()).collect(),
        ));
    }
    let mut setting = Setting { file, demand, seed, simulations: input.simulations };
    let policies = setting.policies();
    if policies.is_empty() {
        return Err(Nothing::NoPolicy);
    }
    let left_out = file.fleet.policies.iter().copied().filter(|kind| !policies.contains(kind));
    let scaled: Vec<PolicyKind> =
        policies.iter().copied().filter(|kind| *kind != PolicyKind::Fixed).collect();
    let pairs_of_targets = pairs_of_targets(file, &found.candidates)?;
    let stand_ins = serverless_targets(file, &found.candidates)?;
    let options = found.candidates.len() * policies.len() + stand_ins.len();
    // A base is chosen among several.
    let mixed = pairs_of_targets.len() * scaled.len() * 2;
    setting.simulations = affordable(setting, options + mixed);
    let pairs: Vec<(usize, PolicyKind)> = (0..found.candidates.len())
        .flat_map(|candidate| policies.iter().map(move |kind| (candidate, *kind)))
        .collect();
    let mut choices: Vec<Choice> = pairs
        .into_par_iter()
        .map(|(index, kind)| choice(setting, index, &found.candidates[index], kind))
        .collect();
    rank(&mut choices);
    // Of each target, the batch size whose best fleet of its own is ranked first.
    let best = |name: &ModelOnTarget| {
        let of = |choice: &Choice| ModelOnTarget::of(&found.candidates[choice.candidate]) == *name;
        let index = choices.iter().find(|choice| of(choice))?.candidate;
        Some(IndexedCandidate { index, candidate: &found.candidates[index] })
    };
    let with_base: Vec<(IndexedCandidate<'_>, IndexedCandidate<'_>, PolicyKind)> =
        (pairs_of_targets.iter())
            .filter_map(|(base, scaled)| Some((best(base)?, best(scaled)?)))
            .flat_map(|(base, peak)| scaled.iter().map(move |kind| (base, peak, *kind)))
            .collect();
    let with_base: Vec<Choice> = with_base
        .into_par_iter()
        .map(|(base, scaled, kind)| choice_with_base(setting, base, scaled, kind))
        .collect();
    choices.extend(with_base);
    if let Some(serverless) = &file.fleet.serverless {
        let of = |stand_in| serverless_choice(setting, serverless, stand_in);
        let endpoints: Vec<Choice> = stand_ins.into_par_iter().map(of).collect();
        choices.extend(endpoints);
    }
    rank(&mut choices);
    let calibration = calibrate(&found, file.objective.percentile, seed);
    let facts = TrafficFacts {
        file: input.file_name.to_owned(),
        time_zone: file.time_zone.name().to_owned(),
        mean_rate: demand.mean_rate() * file.growth,
        busiest_rate: setting.busiest_rate(),
        growth: file.growth,
        peak_factor: file.peak_factor,
        span_s: setting.span_s(),
        trace: match input.demand {
            Demand::Profile(_) => None,
            Demand::Trace(trace) => Some(Summary::of(trace)),
        },
    };
    let mut decision = Decision {
        schema_version: SCHEMA_VERSION,
        campaign: results.campaign.id.clone(),
        campaign_name: results.campaign.name.clone(),
        created_at: results.campaign.created_at.clone(),
        controller_version: results.campaign.controller_version.clone(),
        is_complete: results.campaign.state == "complete",
        traffic: facts,
        objective: file.objective,
        fleet: file.fleet.clone(),
        seed,
        simulations: setting.simulations,
        is_reduced: setting.simulations < input.simulations,
        first_two: None,
        choices,
        candidates: found.candidates.iter().map(|one| one.facts.clone()).collect(),
        not_simulated: found.not_simulated,
        left_out: left_out.collect(),
        calibration,
        caveats: Vec::new(),
        measure_next: Vec::new(),
    };
    decision.first_two = first_two(&decision);
    decision.caveats = caveats(&decision);
    decision.caveats.extend(caveats_of_prompts(&decision, input.demand, max_input_tokens));
    decision.measure_next = measure_next(&decision, &found.candidates);
    Ok(decision)
}

/// Those that meet the objective first, then the undecided ones, each by cost.
fn rank(choices: &mut [Choice]) {
    choices.sort_by(|a, b| {
        (a.attained.cmp(&b.attained))
            .then(a.usd_per_month.value.total_cmp(&b.usd_per_month.value))
            // Of equal costs the better one first.
            .then(b.good_share.value.total_cmp(&a.good_share.value))
    });
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ModelOnTarget {
    model: String,
    target: String,
}

impl ModelOnTarget {
    fn of(candidate: &Candidate) -> Self {
        let facts = &candidate.facts;
        Self { model: facts.model.clone(), target: facts.target.clone() }
    }
}

/// Each target that the file allows as a base, with each other target of the same model.
fn pairs_of_targets(
    file: &TrafficFile,
    candidates: &[Candidate],
) -> Result<Vec<(ModelOnTarget, ModelOnTarget)>, Nothing> {
    let all: BTreeSet<ModelOnTarget> = candidates.iter().map(ModelOnTarget::of).collect();
    for target in &file.fleet.base_targets {
        if !all.iter().any(|one| one.target == *target) {
            let known: BTreeSet<&String> = all.iter().map(|one| &one.target).collect();
            let known = known.into_iter().cloned().collect();
            return Err(Nothing::NoBase { target: target.clone(), known });
        }
    }
    let is_base = |one: &&ModelOnTarget| file.fleet.base_targets.contains(&one.target);
    let others = |base: &ModelOnTarget| {
        let base = base.clone();
        let is_other =
            move |one: &&ModelOnTarget| one.model == base.model && one.target != base.target;
        all.iter().filter(is_other).cloned().collect::<Vec<_>>()
    };
    let pairs = all.iter().filter(is_base);
    Ok(pairs.flat_map(|base| others(base).into_iter().map(|one| (base.clone(), one))).collect())
}

/// The candidates that stand for a serverless endpoint; none if the file has no such endpoint.
fn serverless_targets<'a>(
    file: &TrafficFile,
    candidates: &'a [Candidate],
) -> Result<Vec<IndexedCandidate<'a>>, Nothing> {
    let Some(serverless) = &file.fleet.serverless else { return Ok(Vec::new()) };
    let found = stand_ins(&serverless.target, candidates);
    if found.is_empty() {
        let target = serverless.target.clone();
        let singles = candidates.iter().filter(|one| one.facts.max_batch_size == 1);
        let known: BTreeSet<String> = singles.map(|one| one.facts.target.clone()).collect();
        return Err(Nothing::NoServerless { target, known: known.into_iter().collect() });
    }
    Ok(found)
}

/// The number of simulations of each option.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is clamped")]
fn affordable(setting: Setting<'_>, options: usize) -> u32 {
    let requests = setting.demand.mean_rate() * setting.file.growth * setting.span_s();
    let each = MOST_REQUESTS / requests.max(1.0) / options as f64 - SIZING;
    let most = each.clamp(f64::from(LEAST_SIMULATIONS), f64::from(u32::MAX)) as u32;
    setting.simulations.min(most)
}

impl Decision {
    /// The chosen option: the first one, unless it misses the objective.
    pub fn best(&self) -> Option<&Choice> {
        self.choices.first().filter(|choice| choice.attained != Attained::Missed)
    }

    pub fn candidate(&self, choice: &Choice) -> &CandidateFacts {
        &self.candidates[choice.candidate]
    }

    /// The candidates of a choice: that which is scaled, and its base.
    pub fn candidates_of(&self, choice: &Choice) -> Vec<&CandidateFacts> {
        let base = choice.base.as_ref().map(|base| &self.candidates[base.candidate]);
        std::iter::once(self.candidate(choice)).chain(base).collect()
    }

    /// The checked cells of a candidate's model and target.
    pub fn calibration_of(&self, facts: &CandidateFacts) -> Vec<&Calibrated> {
        let is_its = |one: &&Calibrated| {
            (&one.model, &one.target, &one.dtype) == (&facts.model, &facts.target, &facts.dtype)
        };
        self.calibration.iter().filter(is_its).collect()
    }
}

fn first_two(decision: &Decision) -> Option<FirstTwo> {
    let [first, second, ..] = &decision.choices[..] else { return None };
    if second.attained == Attained::Missed {
        return None;
    }
    let differences: Vec<f64> = (second.usd_by_simulation.iter())
        .zip(&first.usd_by_simulation)
        .map(|(second, first)| second - first)
        .collect();
    let cheaper = differences.iter().filter(|difference| **difference > 0.0).count();
    let (a, b) = (decision.candidate(first), decision.candidate(second));
    let base = |choice: &Choice| choice.base.as_ref().map(|base| base.candidate);
    Some(FirstTwo {
        difference_usd_per_month: Predicted::of(differences),
        first_is_cheaper_in: u32::try_from(cheaper).unwrap_or(u32::MAX),
        is_same_target: (&a.model, &a.target, &a.dtype) == (&b.model, &b.target, &b.dtype)
            && base(first) == base(second)
            && first.is_serverless() == second.is_serverless(),
    })
}

fn caveats(decision: &Decision) -> Vec<Caveat> {
    let mut found = Vec::new();
    if !decision.is_complete {
        found.push(Caveat::IncompleteCampaign);
    }
    if let Some(trace) = decision.traffic.trace.as_ref().filter(|trace| trace.span_s < 86_400.0) {
        found.push(Caveat::ShortTrace { hours: trace.span_s / 3600.0 });
    }
    let Some(best) = decision.best() else { return found };
    for facts in decision.candidates_of(best) {
        let more = match (&best.sized, &decision.fleet.serverless) {
            (SizedPolicy::Serverless { .. }, Some(serverless)) => {
                caveats_of_serverless(facts, serverless)
            }
            _ => caveats_of(decision, facts),
        };
        let is_new: Vec<Caveat> = more.into_iter().filter(|one| !found.contains(one)).collect();
        found.extend(is_new);
    }
    found
}

/// More prompts than this share are told of.
const NOTED_PROMPTS: f64 = 0.01;

/// What limits predictions for the lengths of a trace.
fn caveats_of_prompts(decision: &Decision, demand: &Demand, max_input_tokens: u32) -> Vec<Caveat> {
    let (Demand::Trace(trace), Some(best)) = (demand, decision.best()) else { return Vec::new() };
    let lengths = &trace.input_tokens;
    if lengths.is_empty() {
        let is_counted = !trace.input_characters.is_empty();
        return is_counted.then_some(Caveat::LengthsNotUsed).into_iter().collect();
    }
    let candidates = decision.candidates_of(best).into_iter();
    let ranges: Option<Vec<PromptRange>> = candidates.map(|facts| facts.prompt_tokens).collect();
    let Some(ranges) = ranges else { return vec![Caveat::LengthsNotUsed] };
    let share = |is_it: &dyn Fn(f64) -> bool| {
        let count = lengths.iter().filter(|length| is_it(f64::from(**length))).count();
        count as f64 / lengths.len() as f64
    };
    let most = f64::from(max_input_tokens);
    let cut = share(&|length| length > most);
    let is_outside = |length: f64| {
        ranges.iter().any(|range| !(range.least..=range.most).contains(&length.min(most)))
    };
    let outside = share(&is_outside);
    let found = [
        (cut > NOTED_PROMPTS).then_some(Caveat::CutPrompts { share: cut, max_input_tokens }),
        (outside > NOTED_PROMPTS).then_some(Caveat::ExtrapolatedPrompts { share: outside }),
    ];
    found.into_iter().flatten().collect()
}

/// What limits the predictions of a serverless endpoint for which a candidate stands.
fn caveats_of_serverless(facts: &CandidateFacts, serverless: &traffic::Serverless) -> Vec<Caveat> {
    let (target, memory_mb) = (facts.target.clone(), serverless.memory_mb);
    let more = [
        (facts.runs < ENOUGH_RUNS).then_some(Caveat::FewRuns { runs: facts.runs }),
        facts.is_degraded.then_some(Caveat::Degraded),
        facts.random_weights.then_some(Caveat::RandomWeights),
        (facts.load_s.or(serverless.cold_start_s).is_none()).then_some(Caveat::UnknownLoadTime),
    ];
    let stand_in = Caveat::ServerlessStandIn { target, memory_mb };
    std::iter::once(stand_in).chain(more.into_iter().flatten()).collect()
}

/// What limits the predictions of a candidate.
fn caveats_of(decision: &Decision, facts: &CandidateFacts) -> Vec<Caveat> {
    let mut found = Vec::new();
    if facts.measured_on != facts.target {
        let (target, measured_on) = (facts.target.clone(), facts.measured_on.clone());
        found.push(Caveat::OtherMachine { target, measured_on });
    }
    if facts.hosts < 2 {
        found.push(Caveat::OneHost { target: facts.target.clone() });
    }
    if facts.runs < ENOUGH_RUNS {
        found.push(Caveat::FewRuns { runs: facts.runs });
    }
    let checked = decision.calibration_of(facts);
    let missed = checked.iter().filter(|one| !one.is_hit).count() as u64;
    if checked.is_empty() {
        found.push(Caveat::NotCalibrated);
    } else if missed > 0 {
        let cells = checked.len() as u64;
        found.push(Caveat::MissesItsMeasurements { missed, cells });
    }
    let price = &facts.price;
    let stale = price.date.clone().filter(|_| price.stale);
    let spot = price
        .purchase
        .clone()
        .filter(|purchase| decision.fleet.spot_interruptions_per_hour > 0.0 && purchase != "spot");
    let max_batch_size = facts.max_batch_size;
    let more = [
        facts.is_degraded.then_some(Caveat::Degraded),
        facts.random_weights.then_some(Caveat::RandomWeights),
        facts.is_extrapolated.then_some(Caveat::ExtrapolatedBatches { max_batch_size }),
        (facts.load_s.or(decision.fleet.load_s).is_none()).then_some(Caveat::UnknownLoadTime),
        stale.map(|date| Caveat::StalePrice { date }),
        price.region_assumed.then_some(Caveat::AssumedRegion),
        spot.map(|purchase| Caveat::SpotAtOtherPrice { purchase }),
    ];
    found.extend(more.into_iter().flatten());
    found
}

fn measure_next(decision: &Decision, candidates: &[Candidate]) -> Vec<MeasureNext> {
    let Some(best) = decision.best() else { return Vec::new() };
    let facts = decision.candidate(best);
    if let SizedPolicy::Serverless { memory_mb, .. } = best.sized {
        return vec![MeasureNext::OnServerless { target: facts.target.clone(), memory_mb }];
    }
    let mut found = Vec::new();
    let checked = decision.calibration_of(facts);
    let busiest = best.hours.iter().max_by(|a, b| a.requests_per_s.total_cmp(&b.requests_per_s));
    let rate = busiest.map(|hour| match &best.base {
        None => hour.requests_per_s / hour.instances.max(1.0),
        // What the base leaves, by scaled instance.
        Some(base) => {
            let scaled = hour.instances - f64::from(base.instances);
            (hour.requests_per_s - base.rate).max(0.0) / scaled.max(1.0)
        }
    });
    // A measured rate that is at least as high checks the busiest hour.
    let is_checked = |rate: f64| checked.iter().any(|one| one.request_rate >= 0.9 * rate);
    if let Some(request_rate) = rate.filter(|rate| *rate > 0.0 && !is_checked(*rate)) {
        found.push(MeasureNext::ServerCell {
            model: facts.model.clone(),
            target: facts.target.clone(),
            request_rate,
            max_batch_size: facts.max_batch_size,
        });
    }
    let is_tied = decision
        .first_two
        .as_ref()
        .is_some_and(|two| !two.is_same_target && two.difference_usd_per_month.low <= 0.0);
    if is_tied || best.attained == Attained::Undecided {
        let two = &decision.choices[..if is_tied { 2 } else { 1 }];
        let mut targets: Vec<String> =
            two.iter().map(|one| candidates[one.candidate].facts.target.clone()).collect();
        targets.dedup();
        found.push(MeasureNext::MoreRuns { targets });
    }
    let target = facts.target.clone();
    if facts.measured_on != facts.target {
        found.push(MeasureNext::OnTheTarget { target });
    } else if facts.hosts < 2 {
        found.push(MeasureNext::MoreHosts { target });
    }
    found
}
