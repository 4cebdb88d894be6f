//! What comes first: the answer in one sentence, what limits it, and the figures that it rests on.

use super::super::number;
use super::super::view::Results;
use super::naming::{Named, Names};
use super::table::interval;
use crate::statistics::Estimate;
use crate::statistics::validity::Status;

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// One sentence.
    pub sentence: Vec<Span>,
    /// What a reader must know before using it.
    pub notes: Vec<String>,
    /// The figures of what is recommended, and how much was measured.
    pub facts: Vec<Fact>,
    /// Whether every planned sample is there.
    pub is_complete: bool,
    /// How many cells are VALID, DEGRADED and INVALID.
    pub cells: [u64; 3],
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
    let sentence = if let Some(best) = best {
        sentence(results, names, best)
    } else {
        let text = recommendation.map(|found| found.text.as_str());
        vec![Span::Plain(capital(text.unwrap_or(NOTHING)))]
    };
    let of_status = |status| {
        names.cells.iter().filter(|named| named.cell.validity.status == status).count() as u64
    };
    Verdict {
        sentence,
        notes: notes(results, names, best),
        facts: facts(results, best),
        is_complete: results.campaign.state == "complete",
        cells: [Status::Valid, Status::Degraded, Status::Invalid].map(of_status),
    }
}

/// Where nothing was even considered.
const NOTHING: &str = "nothing is recommended: no cell has both usable figures and a price";

fn sentence(results: &Results, names: &Names<'_>, best: &Named<'_>) -> Vec<Span> {
    let cost = &best.cell.cost.usd_per_1000_requests;
    let plain = |text: &str| Span::Plain(text.to_owned());
    let mut words = vec![Span::Strong(best.target.clone())];
    if !best.detail.is_empty() {
        words.push(Span::Plain(format!(" with {}", best.detail)));
    }
    let others = names.cells.len() - 1;
    words.push(match others {
        0 => plain(" costs "),
        _ => Span::Plain(format!(" is the cheapest of {}: ", names.cells.len())),
    });
    words.push(Span::Strong(format!(
        "{} USD per 1,000 requests",
        cost.value.map_or_else(|| "–".to_owned(), number::shown)
    )));
    if let Some(interval) = interval(cost) {
        words.push(Span::Plain(format!(", 95 % interval {interval}")));
    }
    let unclear = results
        .recommendation
        .as_ref()
        .map_or(0, |recommendation| recommendation.not_distinguishable_from.len());
    let text = match (unclear, others) {
        (_, 0) => ".".to_owned(),
        (0, _) => ", and distinguishable from all others.".to_owned(),
        (1, 1) => "; the data don't tell it from the other.".to_owned(),
        (all, others) if all == others => {
            format!("; the data don't tell it from the {others} others.")
        }
        (some, _) => format!("; the data don't tell it from {some} of the others."),
    };
    words.push(Span::Plain(text));
    words
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
    for entry in &results.results {
        if let Some(endpoint) = entry.engine.as_ref().and_then(|engine| engine.endpoint.as_ref()) {
            notes.push(format!(
                "{}.",
                super::shortened(&super::super::endpoint::asked(entry, endpoint), 400)
            ));
        } else if entry.measured_on != entry.priced_as {
            let target = super::shortened(&entry.target, 80);
            let found = match entry.measured_on.as_str() {
                "unknown" => "a machine of unknown instance type".to_owned(),
                found => super::shortened(found, 120),
            };
            notes.push(format!("{target} was measured on {found} and priced as {target}."));
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
    if let Some(other) = results.recommendation.as_ref().and_then(|found| found.to_separate.first())
    {
        let name = names.whole(&other.name);
        let text = super::shortened(&other.separation.text, 300);
        notes.push(format!("To tell {name} from it: {text}."));
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

fn facts(results: &Results, best: Option<&Named<'_>>) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |title: &str, unit: &str, estimate: &Estimate| {
        let detail = interval(estimate).or_else(|| estimate.reason.clone()).unwrap_or_default();
        facts.push(Fact {
            title: title.to_owned(),
            value: estimate.value.map_or_else(|| "–".to_owned(), number::shown),
            unit: unit.to_owned(),
            detail,
        });
    };
    if let Some(best) = best {
        let estimates = &best.cell.estimates;
        add("Cost per 1,000 requests", "USD", &best.cell.cost.usd_per_1000_requests);
        add("Throughput of one host", "samples/s", &estimates.throughput.per_host);
        add("Request latency, p50", "ms", &estimates.latency_ms.p50);
        add("Request latency, p95", "ms", &estimates.latency_ms.p95);
        if let Some(quality) = &best.cell.quality {
            add("Quality, ROUGE-L", "F1", &quality.rouge_l);
        }
    }
    let campaign = &results.campaign;
    facts.push(Fact {
        title: "Samples counted".to_owned(),
        value: number::count(campaign.counted_samples),
        unit: String::new(),
        detail: format!(
            "of {} planned, over {} dialogues",
            number::count(campaign.planned_samples),
            number::count(results.dataset.samples)
        ),
    });
    facts
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
