//! The verdict: the answer in one sentence, what limits it, and its figures.

use super::cost::per_million;
use super::fact::{Fact, Span};
use super::naming::{Named, Names};
use super::table::interval;
use super::{prices, shortened};
use crate::sentences::{
    asked, asked_differently, at_capacity, causes, counted, enumerated, gates, objective,
    rows_set_aside, searched, separation,
};
use cost::decision::{Caveat, NoneBecause};
use cost::ranking::{Because, QualityRule, SetAside};
use plot::number;
use results::{CapacityOf, Entry, Results};
use stats::slo::{Capacity, Kept};
use stats::validity::Status;
use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub sentence: Vec<Span>,
    /// Whether the sentence answers the campaign's question.
    pub is_answer: bool,
    /// Cells that are statistically tied with the recommended one.
    pub ties: Option<Ties>,
    pub notes: Vec<String>,
    /// The figures of the recommended cell, and how much was measured.
    pub facts: Vec<Fact>,
    pub is_complete: bool,
    /// Whether the gates of the matrix passed; `None` without gates.
    pub gates_passed: Option<bool>,
    /// How many cells are VALID, DEGRADED and INVALID.
    pub cells: [u64; 3],
}

/// Cells that are statistically tied with the recommended one on cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ties {
    pub title: String,
    /// Targets, each with the details of its cells.
    pub cells: Vec<(String, Vec<String>)>,
    /// Tied cells that aren't listed.
    pub more: usize,
    /// What would separate the nearest one.
    pub advice: Option<String>,
}

impl Ties {
    /// In one sentence, for formats without lists.
    pub fn text(&self) -> String {
        let of_target = |(target, details): &(String, Vec<String>)| {
            let details: Vec<String> = details
                .iter()
                .filter(|detail| !detail.is_empty())
                .map(|detail| detail.replace(" · ", ", "))
                .collect();
            if details.is_empty() {
                target.clone()
            } else {
                format!("{target} ({})", details.join("; "))
            }
        };
        let mut cells: Vec<String> = self.cells.iter().map(of_target).collect();
        if self.more > 0 {
            cells.push(format!("{} more", number::count(self.more as u64)));
        }
        let advice = self.advice.as_ref().map_or(String::new(), |advice| format!(" {advice}"));
        format!("{}: {}.{advice}", self.title, enumerated(&cells, "and"))
    }
}

impl Verdict {
    pub fn text(&self) -> String {
        let words = |span: &Span| match span {
            Span::Plain(text) | Span::Strong(text) => text.clone(),
        };
        self.sentence.iter().map(words).collect()
    }

    /// Complete or not, whether the gates passed, and how many cells have which status: `Complete`, `8 cells VALID`.
    pub fn status(&self) -> Vec<(String, super::Tone)> {
        use super::Tone::{Bad, Good, Warn};
        let complete = if self.is_complete { ("Complete", Good) } else { ("Incomplete", Bad) };
        let mut status = vec![(complete.0.to_owned(), complete.1)];
        status.extend(self.gates_passed.map(|passed| {
            if passed {
                ("Gates passed".to_owned(), Good)
            } else {
                ("Gates failed".to_owned(), Bad)
            }
        }));
        let words = [("VALID", Good), ("DEGRADED", Warn), ("INVALID", Bad)];
        for (count, (word, tone)) in self.cells.into_iter().zip(words) {
            if count > 0 {
                status.push((format!("{} {word}", counted(count, "cell")), tone));
            }
        }
        status
    }
}

pub(super) fn verdict(results: &Results, names: &Names<'_>) -> Verdict {
    let recommendation = results.recommendation.as_ref();
    let best = recommendation.and_then(|found| names.find(found.name.as_deref()?));
    let sustained = if best.is_none() { super::stress::answer(names) } else { None };
    let capacities = capacities(results);
    let is_searched = capacities.is_some();
    let (sentence, figures) = match (best, sustained) {
        _ if is_searched => (capacities.unwrap_or_default(), best.map(of_best).unwrap_or_default()),
        (Some(best), _) => (sentence(results, names, best), of_best(best)),
        (None, Some(answer)) => answer,
        (None, None) => {
            let text = match recommendation.and_then(|found| found.none_because) {
                Some(NoneBecause::ObjectiveMissed) => {
                    "No usable cell meets the objective at any load."
                }
                Some(NoneBecause::NothingUsable) | None => {
                    "Nothing is recommended: no cell has both usable figures and a price."
                }
            };
            (vec![Span::Plain(text.to_owned())], Vec::new())
        }
    };
    let of_status = |status| {
        names.cells.iter().filter(|named| named.cell.validity.status == status).count() as u64
    };
    Verdict {
        is_answer: best.is_some() || is_searched || !figures.is_empty(),
        sentence,
        // Candidates of a search are steps, not alternatives.
        ties: best.filter(|_| !is_searched).and_then(|best| ties(results, names, best)),
        notes: notes(results, names, best),
        facts: figures.into_iter().chain(campaign_facts(results)).collect(),
        is_complete: results.campaign.state == "complete",
        gates_passed: results.gates.as_ref().map(|gates| gates.passed),
        cells: [Status::Valid, Status::Degraded, Status::Invalid].map(of_status),
    }
}

fn usd(best: &Named<'_>) -> Span {
    let cost = best.cell.cost.usd_per_1000_requests.value;
    let cost = cost.map_or_else(|| "–".to_owned(), number::shown);
    Span::Strong(format!("{cost} USD per 1,000 requests"))
}

fn sentence(results: &Results, names: &Names<'_>, best: &Named<'_>) -> Vec<Span> {
    if let Some(words) = sustained_rate(results, names, best) {
        return words;
    }
    let Some(found) = results.recommendation.as_ref() else { return Vec::new() };
    let mut words = vec![Span::Strong(best.target.clone())];
    if !best.detail.is_empty() {
        words.push(Span::Plain(format!(" with {}", best.detail.replace(" · ", ", "))));
    }
    words.push(Span::Plain(match found.ranked.len() + found.set_aside.len() {
        0 | 1 => " costs ".to_owned(),
        all => format!(" is {}, at ", cheapest_of(best, found.ranked.len(), all)),
    }));
    words.push(usd(best));
    let interval = interval(&best.cell.cost.usd_per_1000_requests);
    words.extend(interval.map(|interval| Span::Plain(format!(" (95% CI {interval})"))));
    let per_million = per_million(&best.cell.cost.usd_per_1000_requests);
    words.extend(
        per_million
            .and_then(|cost| cost.value)
            .map(|cost| Span::Plain(format!(", or {} per million", number::shown(cost)))),
    );
    words.push(Span::Plain(match (tied(results).len(), found.ranked.len().saturating_sub(1)) {
        (_, 0) => String::new(),
        (0, 1) => ", significantly cheaper than the other one".to_owned(),
        (0, others) => {
            format!(", significantly cheaper than the other {}", number::count(others as u64))
        }
        (1, 1) => "; the other one is statistically tied on cost".to_owned(),
        (some, others) if some == others => {
            "; the others are statistically tied on cost".to_owned()
        }
        (1, _) => "; 1 other is statistically tied on cost".to_owned(),
        (some, _) => {
            format!("; {} others are statistically tied on cost", number::count(some as u64))
        }
    }));
    words.push(Span::Plain(match set_aside_counts(&found.set_aside) {
        counts if counts.is_empty() => ".".to_owned(),
        counts => format!(". Set aside: {counts}."),
    }));
    words
}

/// `the cheapest of 2 cells that meet the objective`.
fn cheapest_of(best: &Named<'_>, ranked: usize, all: usize) -> String {
    let kept = best.cell.goodput.as_ref().map(|goodput| goodput.kept);
    let (one, several) = match kept {
        Some(Kept::Kept) => ("meets the objective", "meet the objective"),
        Some(Kept::Undecided | Kept::Missed) => {
            ("may meet the objective", "may meet the objective")
        }
        None => ("qualifies", "qualify"),
    };
    match ranked {
        1 => format!("the only one of {all} cells that {one}"),
        _ if ranked == all && kept.is_none() => format!("the cheapest of {all} cells"),
        _ => format!("the cheapest of {ranked} cells that {several}"),
    }
}

/// A reason for which cells are set aside: how the headline counts its cells, and how their list begins.
struct Reason {
    counted: &'static str,
    title: &'static str,
    is_of: fn(&Because) -> bool,
}

/// In the order of the lists: first what a reader may want to reconsider.
const REASONS: [Reason; 6] = [
    Reason {
        counted: "DEGRADED",
        title: "Set aside as DEGRADED",
        is_of: |because| matches!(because, Because::Degraded),
    },
    Reason {
        counted: "with lower ROUGE-L",
        title: "Set aside for lower quality",
        is_of: |because| matches!(because, Because::LowerQuality { .. }),
    },
    Reason {
        counted: "with an undecided objective",
        title: "Set aside because the objective is undecided",
        is_of: |because| matches!(because, Because::ObjectiveUndecided),
    },
    Reason {
        counted: "missing the objective",
        title: "Set aside because the objective is missed",
        is_of: |because| matches!(because, Because::ObjectiveMissed),
    },
    Reason {
        counted: "INVALID",
        title: "Set aside as INVALID",
        is_of: |because| matches!(because, Because::Invalid),
    },
    Reason {
        counted: "without a cost",
        title: "Set aside without a cost",
        is_of: |because| matches!(because, Because::NoCost),
    },
];

/// The reasons that apply, each with its cells.
fn by_reason(set_aside: &[SetAside]) -> impl Iterator<Item = (&'static Reason, Vec<&SetAside>)> {
    let cells_of = |reason: &'static Reason| {
        let cells: Vec<&SetAside> =
            set_aside.iter().filter(|one| (reason.is_of)(&one.because)).collect();
        (reason, cells)
    };
    REASONS.iter().map(cells_of).filter(|(_, cells)| !cells.is_empty())
}

/// `1 INVALID, 2 with lower ROUGE-L`.
fn set_aside_counts(set_aside: &[SetAside]) -> String {
    let counted =
        |(reason, cells): (&Reason, Vec<_>)| format!("{} {}", cells.len(), reason.counted);
    by_reason(set_aside).map(counted).collect::<Vec<_>>().join(", ")
}

/// The rate that a target sustains under the objective, in a campaign that offers several rates to one target. It is
/// the capacity of the campaign's results; where the recommended cell was offered another rate, there is none.
fn sustained_rate(results: &Results, names: &Names<'_>, best: &Named<'_>) -> Option<Vec<Span>> {
    let rate = best.entry.load?.request_rate?;
    let key = |entry: &Entry| {
        let searched = (entry.num_beams, entry.prompt_lookup_num_tokens);
        (entry.target.clone(), entry.model.clone(), entry.dtype.clone(), searched)
    };
    if !names.cells.iter().all(|named| key(named.entry) == key(best.entry)) {
        return None;
    }
    let of_best = |of: &&CapacityOf| {
        (&of.target, &of.model, &of.dtype)
            == (&best.entry.target, &best.entry.model, &best.entry.dtype)
            && of.num_beams == best.entry.num_beams
            && of.prompt_lookup_num_tokens == best.entry.prompt_lookup_num_tokens
            && of.max_batch_size == best.cell.batch_size
    };
    let of = results.capacities.iter().find(of_best)?;
    let sustains = match of.capacity {
        Capacity::Met { request_rate } if request_rate.to_bits() == rate.to_bits() => " sustains ",
        Capacity::Undecided { .. } => " may sustain ",
        Capacity::Met { .. } | Capacity::MetInFlight { .. } | Capacity::NeverMet => return None,
    };
    let is_highest = of.request_rates.last().is_some_and(|highest| *highest <= rate);
    Some(vec![
        Span::Strong(best.target.clone()),
        Span::Plain(sustains.to_owned()),
        Span::Strong(format!("{rate} requests per second")),
        Span::Plain(if is_highest { ", the highest offered rate," } else { "" }.to_owned()),
        Span::Plain(format!(" with {}, at ", objective(&of.slo))),
        usd(best),
        Span::Plain(".".to_owned()),
    ])
}

/// The capacities that were searched for, with their intervals and what they cost; `None` without a search.
fn capacities(results: &Results) -> Option<Vec<Span>> {
    let all = || results.capacities.iter().filter_map(|of| Some((of, of.search.as_ref()?)));
    let (first, _) = all().next()?;
    let mut words = Vec::new();
    for (place, (of, search)) in all().take(MOST_NAMED).enumerate() {
        let has_several = all().any(|(other, _)| other.model != first.model);
        let model = if has_several { format!(" ({})", of.model) } else { String::new() };
        words.extend([
            Span::Plain(if place == 0 { "" } else { "; " }.to_owned()),
            Span::Strong(shortened(&of.target, 80)),
            Span::Plain(format!("{model} keeps {} ", objective(&of.slo))),
            Span::Strong(searched(search)),
        ]);
        if let Some(cost) = at_capacity(search) {
            words.extend([Span::Plain(", at ".to_owned()), Span::Strong(cost)]);
        }
    }
    words.push(Span::Plain(match all().count().saturating_sub(MOST_NAMED) {
        0 => ".".to_owned(),
        more => format!("; {more} more."),
    }));
    Some(words)
}

/// Names of cells beyond these are counted only.
const MOST_NAMED: usize = 6;

/// Each reason for which cells were set aside, with the cells and what would change if they counted.
fn set_aside(results: &Results, names: &Names<'_>) -> Vec<String> {
    let found = results.recommendation.as_ref().map_or(&[][..], |found| &found.set_aside);
    let listed = |(reason, cells): (&Reason, Vec<&SetAside>)| {
        // Cells with the same explanation share it.
        let mut named: Vec<(Vec<String>, String)> = Vec::new();
        for one in cells.iter().take(MOST_NAMED) {
            let (name, why) = (names.label(&one.name), why_set_aside(one, names));
            match named.iter_mut().find(|(_, known)| *known == why && !why.is_empty()) {
                Some((cells, _)) => cells.push(name),
                None => named.push((vec![name], why)),
            }
        }
        let mut listed: Vec<String> =
            named.iter().map(|(cells, why)| format!("{}{why}", enumerated(cells, "and"))).collect();
        if let Some(more) = cells.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
            listed.push(format!("{more} more"));
        }
        let cheaper = cheaper_if_counted(&cells[..cells.len().min(MOST_NAMED)], names);
        format!("{}: {}.{cheaper}", reason.title, listed.join("; "))
    };
    by_reason(found).map(listed).collect()
}

/// What would change if the cells counted: those that cost less than the recommended one.
fn cheaper_if_counted(cells: &[&SetAside], names: &Names<'_>) -> String {
    let cost = |one: &&&SetAside| {
        let cell = names.find(&one.name)?;
        let cost = cell.cell.cost.usd_per_1000_requests.value?;
        Some(format!("{} at {}", cell.label(), number::shown(cost)))
    };
    let cheaper: Vec<String> =
        cells.iter().filter(|one| one.would_be_cheaper).filter_map(|one| cost(&one)).collect();
    if cheaper.is_empty() {
        return String::new();
    }
    let costs = if cheaper.len() == 1 { "costs" } else { "cost" };
    format!(
        " Of these, {} USD per 1,000 requests {costs} less than the recommended cell.",
        enumerated(&cheaper, "and")
    )
}

fn why_set_aside(one: &SetAside, names: &Names<'_>) -> String {
    match (&one.because, names.find(&one.name)) {
        (Because::Degraded, Some(named)) => {
            format!(" ({})", shortened(&causes(&named.cell.validity), 120))
        }
        (Because::LowerQuality { best, difference, margin }, _) => {
            let lower = |value: Option<f64>| {
                value.map_or_else(|| "–".to_owned(), |value| number::shown(-value))
            };
            format!(
                " (ROUGE-L lower by {}, 95% CI {} to {}, than {}; margin {margin})",
                lower(difference.value),
                lower(difference.ci_high),
                lower(difference.ci_low),
                names.label(best)
            )
        }
        _ => String::new(),
    }
}

/// Cells that are statistically tied with the recommended one.
fn tied(results: &Results) -> &[String] {
    results.recommendation.as_ref().map_or(&[], |found| &found.not_distinguishable_from)
}

/// Ties beyond these are counted only.
const MOST_TIES: usize = 12;

fn ties(results: &Results, names: &Names<'_>, best: &Named<'_>) -> Option<Ties> {
    let tied = tied(results);
    if tied.is_empty() || sustained_rate(results, names, best).is_some() {
        return None;
    }
    let mut cells: Vec<(String, Vec<String>)> = Vec::new();
    for id in tied.iter().take(MOST_TIES) {
        let (target, detail) = match names.find(id) {
            Some(cell) => (cell.target.clone(), cell.detail.clone()),
            None => (shortened(id, 80), String::new()),
        };
        match cells.iter_mut().find(|(known, _)| *known == target) {
            Some((_, details)) => details.push(detail),
            None => cells.push((target, vec![detail])),
        }
    }
    let nearest = results.recommendation.as_ref()?.to_separate.first();
    let advice = nearest.map(|nearest| {
        let name = names.label(&nearest.name);
        format!("To separate {name}: {}.", separation(&nearest.separation))
    });
    Some(Ties {
        title: format!("{} statistically tied on cost", counted(tied.len() as u64, "cell")),
        cells,
        more: tied.len().saturating_sub(MOST_TIES),
        advice,
    })
}

/// Notes beyond these are counted only.
const MOST_NOTES: usize = 8;

fn notes(results: &Results, names: &Names<'_>, best: Option<&Named<'_>>) -> Vec<String> {
    let mut notes: Vec<String> = results.gates.iter().map(gates).collect();
    let campaign = &results.campaign;
    if campaign.missing_samples > 0 {
        notes.push(format!(
            "Incomplete: {} of {} planned samples are missing.",
            number::count(campaign.missing_samples),
            number::count(campaign.planned_samples)
        ));
    }
    notes.extend(results.dataset.set_aside.as_ref().and_then(rows_set_aside));
    // That other rates miss the objective is what a search looks for.
    if results.capacities.iter().all(|of| of.search.is_none()) {
        notes.extend(set_aside(results, names));
    }
    notes.extend(asked_differently(results));
    notes.extend(results.results.iter().flat_map(defects_of_candle));
    let ranking = results.recommendation.as_ref().filter(|found| found.ranked.len() > 1);
    if ranking.is_some_and(|found| found.quality == QualityRule::NotMeasured) {
        notes.push("No quality was measured: cost alone decided.".to_owned());
    }
    let caveats = results.recommendation.as_ref().map_or(&[][..], |found| &found.caveats);
    if let Some(best) = best.filter(|_| caveats.contains(&Caveat::Degraded)) {
        let reasons = shortened(&causes(&best.cell.validity), 300);
        notes.push(format!("The figures of the recommended cell are DEGRADED: {reasons}."));
    }
    let on_one_host = names.cells.iter().filter(|named| named.cell.estimates.hosts < 2).count();
    if on_one_host > 0 {
        let which =
            if on_one_host == names.cells.len() { "per target" } else { "for some targets" };
        notes.push(format!(
            "One host {which}: this describes these machines, not the instance types in general."
        ));
    }
    if caveats.contains(&Caveat::ObjectiveUndecided) {
        notes.push("Whether the recommended cell meets the objective is undecided.".to_owned());
    }
    notes.extend(stand_ins(results));
    for entry in &results.results {
        let Some(engine) = &entry.engine else { continue };
        let model = shortened(&entry.model, 80);
        notes.extend(engine.endpoint.as_ref().map(|endpoint| asked(entry, endpoint)));
        if engine.random_weights {
            notes.push(format!("{model} has random weights: its summaries are meaningless."));
        }
        if engine.synthetic_time {
            notes.push(format!("{model} is scripted: its latencies were not measured."));
        }
    }
    notes.extend(prices::mixed(results));
    let stale = results.results.iter().flat_map(|entry| &entry.cells);
    let stale = stale.filter(|cell| cell.cost.price.stale);
    if let Some(days) = stale.filter_map(|cell| cell.cost.price.age_days).max() {
        notes.push(format!("Prices are stale: the oldest is {days} days old."));
    }
    let mut seen = BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    if notes.len() > MOST_NOTES {
        let more = notes.len() - MOST_NOTES;
        notes.truncate(MOST_NOTES);
        notes.push(format!("{} in results.json.", counted(more as u64, "more note")));
    }
    notes
}

/// What the engine notes on candle, whose name these notes start with.
fn defects_of_candle(entry: &Entry) -> Vec<String> {
    let engine = entry.engine.as_ref().filter(|engine| engine.implementation() == "candle");
    let notes = engine.map_or(&[][..], |engine| &engine.notes);
    let of_candle = notes.iter().filter(|note| note.starts_with("candle"));
    of_candle.map(|note| format!("{}: {note}.", shortened(&entry.model, 80))).collect()
}

/// Targets that were measured on something other than what they are priced as, by what was detected.
fn stand_ins(results: &Results) -> Vec<String> {
    let mut found: Vec<(&str, Vec<String>)> = Vec::new();
    // Endpoints have a note of their own.
    let is_endpoint =
        |entry: &Entry| entry.engine.as_ref().is_some_and(|engine| engine.endpoint.is_some());
    let stands_in = |entry: &&Entry| entry.measured_on != entry.priced_as && !is_endpoint(entry);
    for entry in results.results.iter().filter(stands_in) {
        let target = shortened(&entry.target, 80);
        match found.iter_mut().find(|(known, _)| *known == entry.measured_on) {
            Some((_, targets)) if targets.contains(&target) => {}
            Some((_, targets)) => targets.push(target),
            None => found.push((&entry.measured_on, vec![target])),
        }
    }
    let sentence = |(found, targets): (&str, Vec<String>)| {
        let targets = enumerated(&targets, "and");
        match found {
            "unknown" => format!("{targets}: instance type not detected; priced by target name."),
            found => {
                format!("{targets}: measured on {}; priced by target name.", shortened(found, 120))
            }
        }
    };
    found.into_iter().map(sentence).collect()
}

fn of_best(best: &Named<'_>) -> Vec<Fact> {
    let estimates = &best.cell.estimates;
    let cost = &best.cell.cost.usd_per_1000_requests;
    let mut facts = vec![Fact::of("Cost per 1,000 requests", "USD", cost)];
    let per_million = per_million(cost);
    facts.extend(per_million.map(|cost| Fact::of("Cost per million requests", "USD", &cost)));
    facts.extend([
        Fact::of("Throughput per host", "samples/s", &estimates.throughput.per_host),
        Fact::of("Request latency, p50", "ms", &estimates.latency_ms.p50),
        Fact::of("Request latency, p95", "ms", &estimates.latency_ms.p95),
    ]);
    facts.extend(
        best.cell.quality.as_ref().map(|of| Fact::of("Quality, ROUGE-L", "F1", &of.rouge_l)),
    );
    facts
}

fn campaign_facts(results: &Results) -> [Fact; 2] {
    let campaign = &results.campaign;
    let counted = Fact {
        title: "Samples counted".to_owned(),
        value: number::count(campaign.counted_samples),
        unit: String::new(),
        detail: format!(
            "of {} planned, over {} dialogues",
            number::count(campaign.planned_samples),
            number::count(results.dataset.samples)
        ),
    };
    let limit = campaign.spending.max_usd.map(|most| format!("of at most {most} USD"));
    let cost = Fact {
        title: "Cost of the campaign".to_owned(),
        value: number::shown(campaign.spending.usd),
        unit: "USD".to_owned(),
        detail: limit.unwrap_or_default(),
    };
    [counted, cost]
}
