//! What comes first: the answer in one sentence, what limits it, and the figures that it rests on.

use super::naming::{Named, Names};
use super::table::interval;
use plot::number;
use results::{Entry, Results};
use stats::Estimate;
use stats::comparison::separate::{Need, Separation};
use stats::slo::Kept;
use stats::validity::Status;

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// One sentence.
    pub sentence: Vec<Span>,
    /// Whether it recommends something.
    pub is_answer: bool,
    /// What may cost the same as what is recommended.
    pub rivals: Option<Rivals>,
    /// What a reader must know before using it.
    pub notes: Vec<String>,
    /// The figures of what is recommended, and how much was measured.
    pub facts: Vec<Fact>,
    /// Whether every planned sample is there.
    pub is_complete: bool,
    /// How many cells are VALID, DEGRADED and INVALID.
    pub cells: [u64; 3],
}

/// Cells whose cost is not distinguishable from that of the recommended one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rivals {
    /// What they are.
    pub title: String,
    /// Targets, each with what tells its cells from each other.
    pub cells: Vec<(String, Vec<String>)>,
    /// How many more there are.
    pub more: usize,
    /// What would tell them apart, where something is known.
    pub advice: Option<String>,
}

/// Words of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// As they are.
    Plain(String),
    /// That carry it.
    Strong(String),
}

/// A figure with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub title: String,
    /// The figure.
    pub value: String,
    /// Its unit.
    pub unit: String,
    /// Its interval, or what else stands below it.
    pub detail: String,
}

impl Rivals {
    /// In one sentence, for where there is no room for a list.
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
    /// The sentence without its weights.
    pub fn text(&self) -> String {
        let words = |span: &Span| match span {
            Span::Plain(text) | Span::Strong(text) => text.clone(),
        };
        self.sentence.iter().map(words).collect()
    }
}

pub(super) fn verdict(results: &Results, names: &Names<'_>) -> Verdict {
    let recommendation = results.recommendation.as_ref();
    let best = recommendation.and_then(|found| names.find(found.name.as_deref()?));
    let sustained = if best.is_none() { super::stress::answer(names) } else { None };
    let (sentence, figures) = match (best, sustained) {
        (Some(best), _) => (sentence(results, names, best), of_best(best)),
        (None, Some(answer)) => answer,
        (None, None) => {
            let text = recommendation.map(|found| found.text.as_str());
            (vec![Span::Plain(capital(text.unwrap_or(NOTHING)))], Vec::new())
        }
    };
    let is_answer = best.is_some() || !figures.is_empty();
    let of_status = |status| {
        names.cells.iter().filter(|named| named.cell.validity.status == status).count() as u64
    };
    Verdict {
        sentence,
        is_answer,
        rivals: best.and_then(|best| rivals(results, names, best)),
        notes: notes(results, names, best),
        facts: figures.into_iter().chain([counted(results)]).collect(),
        is_complete: results.campaign.state == "complete",
        cells: [Status::Valid, Status::Degraded, Status::Invalid].map(of_status),
    }
}

/// Where nothing was even considered.
const NOTHING: &str = "nothing is recommended: no cell has both usable figures and a price";

fn sentence(results: &Results, names: &Names<'_>, best: &Named<'_>) -> Vec<Span> {
    if let Some(words) = carried(names, best) {
        return words;
    }
    let cost = &best.cell.cost.usd_per_1000_requests;
    let plain = |text: &str| Span::Plain(text.to_owned());
    let mut words = vec![Span::Strong(best.target.clone())];
    if !best.detail.is_empty() {
        words.push(Span::Plain(format!(" with {}", best.detail.replace(" · ", ", "))));
    }
    let others = names.cells.len() - 1;
    words.push(match others {
        0 => plain(" costs "),
        _ => Span::Plain(format!(" is the cheapest of {}, at ", names.cells.len())),
    });
    words.push(Span::Strong(format!(
        "{} USD per 1,000 requests",
        cost.value.map_or_else(|| "–".to_owned(), number::shown)
    )));
    words.extend(interval(cost).map(|interval| Span::Plain(format!(" ({interval})"))));
    words.push(plain(match (unclear(results), others) {
        (_, 0) => ".",
        (0, _) => ", and clearly so.",
        (1, 1) => "; the other may cost the same.",
        (all, others) if all == others => "; the others may cost the same.",
        (1, _) => "; one other may cost the same.",
        _ => "; some others may cost the same.",
    }));
    words
}

/// What a target carries under the objective, where one target was offered several rates: those are no choice.
fn carried(names: &Names<'_>, best: &Named<'_>) -> Option<Vec<Span>> {
    let rate = best.entry.load?.request_rate?;
    let goodput = best.cell.goodput.as_ref()?;
    let is_same = |named: &Named<'_>| {
        let (one, other) = (named.entry, best.entry);
        (&one.target, &one.model, &one.dtype) == (&other.target, &other.model, &other.dtype)
    };
    if !names.cells.iter().all(is_same) {
        return None;
    }
    let cost = best.cell.cost.usd_per_1000_requests.value;
    let within = match goodput.kept {
        Kept::Kept => "carries ",
        Kept::Undecided | Kept::Missed => "may carry ",
    };
    Some(vec![
        Span::Strong(best.target.clone()),
        Span::Plain(format!(" {within}")),
        Span::Strong(format!("{rate} requests per second")),
        Span::Plain(format!(
            " with p{} within {} ms, at ",
            goodput.slo.percentile, goodput.slo.request_latency_ms
        )),
        Span::Strong(format!(
            "{} USD per 1,000 requests",
            cost.map_or_else(|| "–".to_owned(), number::shown)
        )),
        Span::Plain(".".to_owned()),
    ])
}

/// How many cells are not distinguishable from the recommended one.
fn unclear(results: &Results) -> usize {
    let recommendation = results.recommendation.as_ref();
    recommendation.map_or(0, |recommendation| recommendation.not_distinguishable_from.len())
}

/// More rivals than this are not read; the table of all cells has them.
const MOST_RIVALS: usize = 12;

fn rivals(results: &Results, names: &Names<'_>, best: &Named<'_>) -> Option<Rivals> {
    if carried(names, best).is_some() {
        return None;
    }
    let recommendation = results.recommendation.as_ref()?;
    let unclear = &recommendation.not_distinguishable_from;
    if unclear.is_empty() {
        return None;
    }
    let mut cells: Vec<(String, Vec<String>)> = Vec::new();
    for id in unclear.iter().take(MOST_RIVALS) {
        let (target, detail) = match names.find(id) {
            Some(its) => (its.target.clone(), its.detail.clone()),
            None => (super::shortened(id, 80), String::new()),
        };
        match cells.iter_mut().find(|(known, _)| *known == target) {
            Some((_, details)) => details.push(detail),
            None => cells.push((target, vec![detail])),
        }
    }
    let count = number::count(unclear.len() as u64);
    let title = match unclear.len() {
        1 => "1 cell whose cost can't be told from it".to_owned(),
        _ => format!("{count} cells whose cost can't be told from it"),
    };
    let nearest = recommendation.to_separate.first();
    let advice = nearest.map(|nearest| advice(&names.whole(&nearest.name), &nearest.separation));
    Some(Rivals { title, cells, more: unclear.len().saturating_sub(MOST_RIVALS), advice })
}

/// What would tell a cell from the recommended one.
fn advice(name: &str, separation: &Separation) -> String {
    let what = match separation.need {
        Need::Runs => "runs differ more than requests do",
        Need::Samples => "requests differ more than runs do, so that more samples help, too",
        Need::Hosts => "hosts differ most, so that more hosts are needed",
    };
    match separation.runs {
        Some(runs) => {
            format!("About {} runs would tell {name} from it: {what}.", number::count(runs.into()))
        }
        None => format!("{name} is too near to be told from it in 1,000 runs: {what}."),
    }
}

/// More notes than this are not read.
const MOST_NOTES: usize = 8;

fn notes(results: &Results, names: &Names<'_>, best: Option<&Named<'_>>) -> Vec<String> {
    let mut notes = Vec::new();
    let campaign = &results.campaign;
    if campaign.missing_samples > 0 {
        notes.push(format!(
            "Incomplete: {} of {} planned samples are missing.",
            number::count(campaign.missing_samples),
            number::count(campaign.planned_samples)
        ));
    }
    if let Some(best) = best.filter(|best| best.cell.validity.status == Status::Degraded) {
        let reasons = best.cell.validity.reasons.iter().map(|reason| reason.text.as_str());
        let reasons = reasons.collect::<Vec<_>>().join("; ");
        notes.push(format!("Its figures are DEGRADED: {}.", super::shortened(&reasons, 300)));
    }
    if names.cells.iter().any(|named| named.cell.estimates.hosts < 2) {
        notes.push(
            "It rests on one host per side: it speaks of these machines, not of these instance types."
                .to_owned(),
        );
    }
    if best.and_then(|best| best.cell.goodput.as_ref()).is_some_and(|of| of.kept == Kept::Undecided)
    {
        notes.push("Whether it keeps the objective is not decided.".to_owned());
    }
    notes.extend(stand_ins(results));
    for entry in &results.results {
        if let Some(endpoint) = entry.engine.as_ref().and_then(|engine| engine.endpoint.as_ref()) {
            notes.push(format!(
                "{}.",
                super::shortened(&super::super::endpoint::asked(entry, endpoint), 400)
            ));
        }
        if entry.engine.as_ref().is_some_and(|engine| engine.random_weights) {
            let model = super::shortened(&entry.model, 80);
            notes.push(format!("{model} has random weights: its summaries mean nothing."));
        }
        if entry.engine.as_ref().is_some_and(|engine| engine.played) {
            let model = super::shortened(&entry.model, 80);
            notes.push(format!("{model} plays a script: its times were not measured."));
        }
    }
    let stale = results.results.iter().flat_map(|entry| &entry.cells);
    let stale = stale.filter(|cell| cell.cost.price.stale);
    if let Some(days) = stale.filter_map(|cell| cell.cost.price.age_days).max() {
        notes.push(format!("Prices are stale: the oldest was read {days} days ago."));
    }
    let mut seen = std::collections::BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    if notes.len() > MOST_NOTES {
        let more = notes.len() - MOST_NOTES;
        notes.truncate(MOST_NOTES);
        notes.push(format!("{more} more notes of this kind stand in results.json."));
    }
    notes
}

/// Targets that were measured on something else than what they are priced as, by what was found.
fn stand_ins(results: &Results) -> Vec<String> {
    let mut found: Vec<(&str, Vec<String>)> = Vec::new();
    // What stands behind an endpoint nobody sees; it has a note of its own.
    let is_endpoint =
        |entry: &Entry| entry.engine.as_ref().is_some_and(|engine| engine.endpoint.is_some());
    let stands_in = |entry: &&Entry| entry.measured_on != entry.priced_as && !is_endpoint(entry);
    for entry in results.results.iter().filter(stands_in) {
        let target = super::shortened(&entry.target, 80);
        match found.iter_mut().find(|(known, _)| *known == entry.measured_on) {
            Some((_, targets)) if targets.contains(&target) => {}
            Some((_, targets)) => targets.push(target),
            None => found.push((&entry.measured_on, vec![target])),
        }
    }
    let sentence = |(found, targets): (&str, Vec<String>)| {
        let is_unknown = found == "unknown";
        let found = super::shortened(found, 120);
        match targets.as_slice() {
            [target] if is_unknown => format!(
                "{target} was measured on a machine of unknown instance type and priced as {target}."
            ),
            [target] => format!("{target} was measured on {found} and priced as {target}."),
            targets if is_unknown => format!(
                "{} were measured on machines of unknown instance type and priced as what they are called.",
                enumerated(targets, "and")
            ),
            targets => format!(
                "{} were measured on {found} and priced as what they are called.",
                enumerated(targets, "and")
            ),
        }
    };
    found.into_iter().map(sentence).collect()
}

/// `a, b and c`
pub(super) fn enumerated(names: &[String], word: &str) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}

/// The figures of what is recommended.
fn of_best(best: &Named<'_>) -> Vec<Fact> {
    let fact = |title: &str, unit: &str, estimate: &Estimate| Fact {
        title: title.to_owned(),
        value: estimate.value.map_or_else(|| "–".to_owned(), number::shown),
        unit: if estimate.value.is_some() { unit.to_owned() } else { String::new() },
        detail: interval(estimate).or_else(|| estimate.reason.clone()).unwrap_or_default(),
    };
    let estimates = &best.cell.estimates;
    let mut facts = vec![
        fact("Cost per 1,000 requests", "USD", &best.cell.cost.usd_per_1000_requests),
        fact("Throughput of one host", "samples/s", &estimates.throughput.per_host),
        fact("Request latency, p50", "ms", &estimates.latency_ms.p50),
        fact("Request latency, p95", "ms", &estimates.latency_ms.p95),
    ];
    if let Some(quality) = &best.cell.quality {
        facts.push(fact("Quality, ROUGE-L", "F1", &quality.rouge_l));
    }
    facts
}

fn counted(results: &Results) -> Fact {
    let campaign = &results.campaign;
    Fact {
        title: "Samples counted".to_owned(),
        value: number::count(campaign.counted_samples),
        unit: String::new(),
        detail: format!(
            "of {} planned, over {} dialogues",
            number::count(campaign.planned_samples),
            number::count(results.dataset.samples)
        ),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
