//! What stands below the table in the terminal: the answer first, then what to know before using it. Details are in
//! results.json and in the reports.

use super::capacity::capacity;
use super::endpoint::{asked, over_the_network};
use cost::decision::Recommendation;
use cost::offered::BreakEven;
use cost::rate::{Cheaper, Range};
use plot::number::{count, digits};
use results::{Cell, Entry, Event, Host, Results};
use stats::comparison::separate::{Need, Separation};
use stats::precision::Look;
use stats::slo::Kept;
use stats::validity::{Reason, Status};
use std::collections::{BTreeMap, BTreeSet};

/// More lines of one kind than this are not read in a terminal.
const MOST: usize = 6;

/// More ranges of offered rates than this are for the plot, not for a line.
const RANGES: usize = 3;

/// What is recommended, and how sure that is: lines for above the comparisons.
pub(super) fn choice(results: &Results) -> Vec<String> {
    let Some(recommendation) = &results.recommendation else { return Vec::new() };
    let cells = || results.results.iter().flat_map(|entry| &entry.cells);
    let best = recommendation.name.as_ref().and_then(|name| cells().find(|one| one.cell == *name));
    let Some(best) = best else { return vec![recommendation.text.clone()] };
    let all = recommendation.standings.len();
    let mut lines = vec![match all {
        0 | 1 => format!("the only candidate: {}", best.cell),
        _ => format!("the cheapest of {all}: {}", best.cell),
    }];
    lines.push(format!("  {}", cost(best)));
    lines.extend(recommendation.nearest.iter().map(|nearest| format!("  {nearest}")));
    lines.extend(unclear(recommendation, all));
    lines.extend(recommendation.labels.iter().map(|label| format!("  {label}")));
    lines
}

fn cost(best: &Cell) -> String {
    let cost = &best.cost.usd_per_1000_requests;
    let value = cost.value.map_or_else(|| "–".to_owned(), digits);
    let interval = cost.interval().map_or_else(String::new, |(low, high)| {
        format!(", between {} and {}", digits(low), digits(high))
    });
    let kept = match best.goodput.as_ref().map(|goodput| goodput.kept) {
        Some(Kept::Kept) => "; it keeps the objective",
        _ => "",
    };
    format!("{value} USD per 1,000 requests{interval}{kept}")
}

/// How many others it isn't told from, and what would.
fn unclear(recommendation: &Recommendation, all: usize) -> Option<String> {
    let unclear = recommendation.not_distinguishable_from.len();
    if unclear == 0 {
        return None;
    }
    let advice = advice(recommendation.to_separate.iter().map(|other| &other.separation));
    Some(format!("  not distinguishable from {unclear} of the {} others{advice}", all - 1))
}

/// What would tell pairs apart, the most frequent need first: "; to tell: more runs for 4, more samples for 1".
fn advice<'a>(all: impl Iterator<Item = &'a Separation>) -> String {
    let mut needs: BTreeMap<&str, usize> = BTreeMap::new();
    for one in all {
        let word = match one.need {
            Need::Runs => "more runs",
            Need::Samples => "more samples",
            Need::Hosts => "more hosts",
        };
        *needs.entry(word).or_default() += 1;
    }
    let mut needs: Vec<_> = needs.into_iter().collect();
    needs.sort_by_key(|(_, pairs)| std::cmp::Reverse(*pairs));
    let told = needs.iter().map(|(word, pairs)| format!("{word} for {pairs}"));
    let told = told.collect::<Vec<_>>().join(", ");
    if told.is_empty() { String::new() } else { format!("; to tell: {told}") }
}

/// Below the comparisons: what would tell the rest apart.
pub(super) fn undecided(results: &Results) -> Option<String> {
    let open: Vec<_> =
        results.comparisons.iter().filter_map(|one| one.separation.as_ref()).collect();
    let advice = advice(open.iter().copied());
    let count = open.len();
    let pairs = if count == 1 { "pair is" } else { "pairs are" };
    (count > 0).then(|| format!("{count} {pairs} not told apart by latency{advice}"))
}

/// Loads, costs and conditions: lines for below the comparisons, most important first.
pub(super) fn lines(results: &Results) -> Vec<String> {
    let mut lines: Vec<String> = results.capacities.iter().map(capacity).collect();
    lines.extend(results.offered_rates.break_even.iter().map(break_even));
    let entries = || results.results.iter();
    lines.extend(entries().flat_map(stress));
    lines.extend(limited(validity(results), "more reasons of cells"));
    lines.extend(entries().flat_map(|entry| &entry.cells).filter_map(precision));
    let cells = || entries().flat_map(|entry| &entry.cells);
    lines
        .extend(limited(cells().filter_map(over_the_network).collect(), "more cells of endpoints"));
    lines.extend(limited(cells().filter_map(failed_by).collect(), "more cells that failed"));
    lines.extend(limited(entries().flat_map(delays).collect(), "more cells whose requests queued"));
    lines.extend(entries().filter_map(|entry| Some(asked(entry, endpoint_of(entry)?))));
    lines.extend(entries().filter_map(random_weights));
    lines.extend(stale(results));
    lines.extend(measured_on(results));
    lines.extend(not_measurable(results));
    // That somebody was told is no news to who reads this.
    let is_news =
        |event: &&Event| !["notify_begun", "notify_delivered"].contains(&event.kind.as_str());
    let events = results.campaign.events.iter().filter(is_news);
    let events = events.map(|event| format!("note: {}", event.detail)).collect();
    lines.extend(limited(events, "more notes"));
    lines.push(counted(results));
    let mut seen = BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    lines
}

/// The first ones, and how many more results.json has.
fn limited(mut lines: Vec<String>, what: &str) -> Vec<String> {
    if lines.len() > MOST {
        let more = lines.len() - MOST;
        lines.truncate(MOST);
        lines.push(format!("{more} {what} stand in results.json"));
    }
    lines
}

fn counted(results: &Results) -> String {
    let campaign = &results.campaign;
    let spending = &campaign.spending;
    let limit =
        spending.max_usd.map_or(String::new(), |most| format!(" of {most} USD that it may"));
    format!(
        "{} of {} samples counted over {} dialogues; the campaign itself cost {} USD{limit}",
        count(campaign.counted_samples),
        count(campaign.planned_samples),
        count(results.dataset.samples),
        digits(spending.usd)
    )
}

/// Where one target is cheaper than another as the offered rate grows.
fn break_even(pair: &BreakEven) -> String {
    let BreakEven { model, first, second, ranges, reason } = pair;
    if let Some(reason) = reason {
        return format!(
            "where {first} and {second} cost the same for {model} is unknown: {reason}"
        );
    }
    let range = |range: &Range| {
        let who = match range.cheaper {
            Cheaper::First => first,
            Cheaper::Second => second,
            Cheaper::Same => "the same",
            Cheaper::Undecided => "undecided",
        };
        format!("{who} {} to {}", digits(range.from), digits(range.to))
    };
    let mut shown: Vec<String> = ranges.iter().take(RANGES).map(range).collect();
    if ranges.len() > RANGES {
        shown.push(format!("{} more in the report", ranges.len() - RANGES));
    }
    format!("cheaper for {model}, by requests per second: {}", shown.join(", "))
}

/// Targets that were not found to be what they are priced as, those of one finding in one line.
fn measured_on(results: &Results) -> Vec<String> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let is_elsewhere =
        |entry: &&Entry| entry.measured_on != entry.priced_as && endpoint_of(entry).is_none();
    for entry in results.results.iter().filter(is_elsewhere) {
        let targets = found.entry(&entry.measured_on).or_default();
        if !targets.contains(&entry.target.as_str()) {
            targets.push(&entry.target);
        }
    }
    let line = |(found, targets): (&str, Vec<&str>)| {
        let on = match found {
            "unknown" => "a machine of unknown instance type",
            found => found,
        };
        let verb = if targets.len() == 1 { "was" } else { "were each" };
        format!("{} {verb} measured on {on} and priced by name", targets.join(", "))
    };
    found.into_iter().map(line).collect()
}

fn endpoint_of(entry: &Entry) -> Option<&str> {
    entry.engine.as_ref()?.endpoint.as_deref()
}

fn failed_by(cell: &Cell) -> Option<String> {
    let by = cell.failed_by.iter().map(|(kind, count)| format!("{count} {kind}"));
    let by = by.collect::<Vec<_>>().join(", ");
    (!by.is_empty()).then(|| format!("{}: failed: {by}", cell.cell))
}

fn random_weights(entry: &Entry) -> Option<String> {
    let is_random = entry.engine.as_ref().is_some_and(|engine| engine.random_weights);
    is_random.then(|| format!("{} has random weights: its summaries mean nothing", entry.model))
}

fn stale(results: &Results) -> Vec<String> {
    let cells = |entry: &Entry| {
        let line = |cell: &Cell| {
            let price = &cell.cost.price;
            let days = price.age_days.filter(|_| price.stale)?;
            let (target, source) = (&entry.target, &price.source);
            Some(format!("stale price: that of {target} is {days} days old ({source})"))
        };
        entry.cells.iter().filter_map(line).collect::<Vec<_>>()
    };
    results.results.iter().flat_map(cells).collect()
}

/// The verdicts on sustained loads.
fn stress(entry: &Entry) -> Vec<String> {
    let of_cell = |cell: &Cell| {
        let which = |run: u32| match cell.stress.len() {
            0 | 1 => String::new(),
            _ => format!(", run {run}"),
        };
        let told = cell.stress.iter().flat_map(|run| {
            let which = which(run.verdicts.run);
            run.sentences.iter().map(move |sentence| format!("{}{which}: {sentence}", cell.cell))
        });
        told.collect::<Vec<_>>()
    };
    entry.cells.iter().flat_map(of_cell).collect()
}

/// Why cells are not VALID, or what their figures mean: one line a reason, with its first cell and how many others.
fn validity(results: &Results) -> Vec<String> {
    let mut reasons: Vec<(&Reason, &str, usize)> = Vec::new();
    for cell in results.results.iter().flat_map(|entry| &entry.cells) {
        for reason in &cell.validity.reasons {
            match reasons.iter_mut().find(|(known, ..)| known.code == reason.code) {
                Some((.., others)) => *others += 1,
                None => reasons.push((reason, &cell.cell, 0)),
            }
        }
    }
    reasons.sort_by_key(|(reason, ..)| std::cmp::Reverse(reason.status));
    let line = |(reason, cell, others): &(&Reason, &str, usize)| {
        let status = match reason.status {
            Status::Valid => "",
            Status::Degraded => "DEGRADED ",
            Status::Invalid => "INVALID ",
        };
        let and = match others {
            0 => String::new(),
            1 => ", and another cell alike".to_owned(),
            more => format!(", and {more} other cells alike"),
        };
        format!("{status}{cell}: {}{and}", reason.text)
    };
    reasons.iter().map(line).collect()
}

fn precision(cell: &Cell) -> Option<String> {
    let look = cell.precision.filter(|look| *look != Look::Continue)?;
    Some(format!("{}: {} runs, {look}", cell.cell, cell.estimates.runs.len()))
}

fn delays(entry: &Entry) -> Vec<String> {
    let told = |cell: &Cell| {
        let delay = cell.schedule_delay_ms.filter(|_| cell.stress.is_empty())?;
        let (p99, most) = (digits(delay.p99), digits(delay.max));
        Some(format!(
            "{}: requests stood in the queue {p99} ms after their time (p99), {most} ms at most",
            cell.cell
        ))
    };
    entry.cells.iter().filter_map(told).collect()
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
