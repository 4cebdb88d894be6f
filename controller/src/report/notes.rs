//! What a reader of the figures must know, one line each. Every format shows the same lines.

use super::number::digits;
use super::view::{CapacityOf, Cell, Comparison, Entry, Event, Host, Results};
use crate::cost::offered::BreakEven;
use crate::cost::rate::{Cheaper, Range};
use crate::statistics::precision::Look;
use crate::statistics::slo::Capacity;

/// More ranges of offered rates than this are for the plot, not for a line.
const RANGES: usize = 5;

/// The lines, most important first.
pub fn notes(results: &Results) -> Vec<String> {
    let mut notes = Vec::new();
    let campaign = &results.campaign;
    if let Some(recommendation) = &results.recommendation {
        notes.push(recommendation.text.clone());
        notes.extend(
            recommendation
                .to_separate
                .iter()
                .map(|other| format!("to tell {} from it: {}", other.name, other.separation.text)),
        );
    }
    notes.extend(results.comparisons.iter().map(compared));
    notes.extend(results.capacities.iter().map(capacity));
    notes.extend(results.offered_rates.break_even.iter().map(break_even));
    notes.push(format!(
        "{} of {} samples counted over {} dialogues; in brackets 95 % intervals between runs; – needs more samples",
        campaign.counted_samples, campaign.planned_samples, results.dataset.samples
    ));
    let spending = &campaign.spending;
    let limit =
        spending.max_usd.map_or(String::new(), |most| format!(" of {most} USD that it may"));
    notes.push(format!("the campaign itself cost {} USD{limit}", digits(spending.usd)));
    for entry in &results.results {
        of_entry(entry, &mut notes);
    }
    notes.extend(not_measurable(results));
    // That somebody was told is no news to who reads this.
    let is_news =
        |event: &&Event| !["notify_begun", "notify_delivered"].contains(&event.kind.as_str());
    notes.extend(
        campaign.events.iter().filter(is_news).map(|event| format!("note: {}", event.detail)),
    );
    let mut seen = std::collections::BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    notes
}

/// What each machine can't tell. GPUs are missed only where one infers.
fn not_measurable(results: &Results) -> Vec<String> {
    let is_gpu = |device: &String| device != "cpu";
    let has_gpu = results.results.iter().any(|entry| entry.device.as_ref().is_some_and(is_gpu));
    let note = |host: &Host| {
        let absent = host.not_measurable.iter().map(|absent| absent.what.as_str());
        let absent: Vec<&str> = absent
            .filter(|what| has_gpu || !(*what == "gpu" || what.starts_with("gpu_")))
            .collect();
        let (name, absent) = (&host.name, absent.join(", "));
        (!absent.is_empty())
            .then(|| format!("not measurable here: {absent} (agent doctor on {name} says why)"))
    };
    results.environment.hosts.iter().filter_map(note).collect()
}

fn compared(comparison: &Comparison) -> String {
    let figures = &comparison.figures.request_latency;
    let advice = comparison
        .separation
        .as_ref()
        .map_or(String::new(), |separation| format!("; {}", separation.text));
    let Comparison { candidate, baseline, .. } = comparison;
    format!("{candidate} against {baseline}: {} ({}){advice}", figures.verdict.text, figures.scope)
}

/// What a target carries under the objective.
pub(super) fn capacity(of: &CapacityOf) -> String {
    let CapacityOf { model, target, dtype, max_batch_size, slo, .. } = of;
    let who = format!("{model}.{dtype}.b{max_batch_size}@{target}");
    let limit = format!("p{} within {} ms", slo.percentile, digits(slo.request_latency_ms));
    let highest = of.request_rates.last().copied().unwrap_or_default();
    match &of.capacity {
        Capacity::Met { request_rate } if *request_rate >= highest => format!(
            "{who} keeps {limit} at {request_rate} requests/s, the highest rate that was offered: it may carry more"
        ),
        Capacity::Met { request_rate } => {
            format!("{who} keeps {limit} up to {request_rate} requests/s")
        }
        Capacity::NeverMet => format!("{who} keeps {limit} at none of the rates"),
        Capacity::Undecided { reason } => {
            format!("whether {who} keeps {limit} is undecided: {reason}")
        }
    }
}

/// Where one target is cheaper than another as the offered rate grows.
pub(super) fn break_even(pair: &BreakEven) -> String {
    let BreakEven { model, first, second, ranges, reason } = pair;
    if let Some(reason) = reason {
        return format!(
            "where {first} and {second} cost the same for {model} is unknown: {reason}"
        );
    }
    let range = |range: &Range| {
        let who = match range.cheaper {
            Cheaper::First => format!("{first} is cheaper"),
            Cheaper::Second => format!("{second} is cheaper"),
            Cheaper::Same => "both cost the same".to_owned(),
            Cheaper::Undecided => "undecided".to_owned(),
        };
        format!("{who} from {} to {}", digits(range.from), digits(range.to))
    };
    let mut shown: Vec<String> = ranges.iter().take(RANGES).map(range).collect();
    if ranges.len() > RANGES {
        shown.push(format!("and {} further ranges", ranges.len() - RANGES));
    }
    format!("offered requests per second for {model}, in whole instances: {}", shown.join(", "))
}

/// What an endpoint's figures are of. The place is cut: it is the matrix's, and may be long.
pub(super) fn asked(entry: &Entry, endpoint: &str) -> String {
    let place: String = endpoint.chars().take(200).collect();
    format!(
        "{} was asked over the network at {place} and is priced as {}: the machine behind it was not seen, and no agent's machine was measured",
        entry.model, entry.target
    )
}

/// Of requests over the network: what it took, and what failed.
fn over_the_network(cell: &Cell, notes: &mut Vec<String>) {
    let Some(exchange) = &cell.exchange else { return };
    let network = cell.estimates.network_ms.as_ref().and_then(|network| network.p50.value);
    notes.push(match network {
        Some(p50) => format!("{}: of a request the network took {} ms (p50), by what the server says of itself", cell.cell, digits(p50)),
        None if exchange.server_ms.n == 0 => {
            format!("{}: the server doesn't say how long it took itself, so the network's part is not known", cell.cell)
        }
        None => format!("{}: too few requests to say what the network took", cell.cell),
    });
}

fn of_entry(entry: &Entry, notes: &mut Vec<String>) {
    let target = &entry.target;
    if let Some(endpoint) = entry.engine.as_ref().and_then(|engine| engine.endpoint.as_ref()) {
        notes.push(asked(entry, endpoint));
    } else if entry.measured_on != entry.priced_as {
        let found = match entry.measured_on.as_str() {
            "unknown" => "a machine of unknown instance type",
            found => found,
        };
        notes.push(format!("{target} was measured on {found} and priced as {target}"));
    }
    if entry.engine.as_ref().is_some_and(|engine| engine.random_weights) {
        notes.push(format!("{} has random weights: its summaries mean nothing", entry.model));
    }
    for cell in &entry.cells {
        if let Some(look) = cell.precision.filter(|look| *look != Look::Continue) {
            notes.push(format!("{}: {} runs, {look}", cell.cell, cell.estimates.runs.len()));
        }
        let price = &cell.cost.price;
        if let Some(days) = price.age_days.filter(|_| price.stale) {
            notes.push(format!(
                "stale price: that of {target} is {days} days old ({})",
                price.source
            ));
        }
        for run in &cell.stress {
            let (number, of) = (run.verdicts.run, cell.stress.len());
            let which = if of > 1 { format!(", run {number}") } else { String::new() };
            let told = run.sentences.iter();
            notes.extend(told.map(|sentence| format!("{}{which}: {sentence}", cell.cell)));
        }
        over_the_network(cell, notes);
        if !cell.failed_by.is_empty() {
            let by = cell.failed_by.iter().map(|(kind, count)| format!("{count} {kind}"));
            notes.push(format!("{}: failed: {}", cell.cell, by.collect::<Vec<_>>().join(", ")));
        }
        if let Some(delay) = cell.schedule_delay_ms.filter(|_| cell.stress.is_empty()) {
            notes.push(format!(
                "{}: requests stood in the queue {} ms after their time (p99), {} ms at most",
                cell.cell,
                digits(delay.p99),
                digits(delay.max)
            ));
        }
        if !cell.validity.reasons.is_empty() {
            let reasons: Vec<&str> =
                cell.validity.reasons.iter().map(|reason| reason.text.as_str()).collect();
            notes.push(format!("{}: {}", cell.cell, reasons.join("; ")));
        }
    }
}
