//! Every cell with its main figures, in one table.

use super::cost::per_million;
use super::naming::{Named, Names, dtype};
use super::table::{Column, Entry, Table};
use super::{Block, Detail, Section};
use crate::sentences::{arrivals, causes};
use plot::number;
use results::{Cell, Results};
use std::fmt::Write;

/// A smaller share of the time between batches isn't worth a sentence.
const NEGLIGIBLE_PAUSES: f64 = 0.01;

pub(super) fn section(results: &Results, names: &Names<'_>) -> Section {
    Section {
        id: "cells",
        title: "All cells".to_owned(),
        lead: lead(names),
        blocks: vec![Block::Table(table(results, names))],
        detail: Detail::Summary,
    }
}

fn lead(names: &Names<'_>) -> String {
    let mut lead = "Ranges are 95% CIs. A dash means not measured or too few samples.".to_owned();
    if let Some(share) = pauses(names) {
        // Writing to a String can't fail.
        let _ = write!(
            lead,
            " Throughput and cost count the time inside batches. Up to {}% of the time passed between batches, while the agent reported results; the throughput by wall clock includes it.",
            number::shown(100.0 * share)
        );
    }
    lead
}

/// The largest share of the time that passed between batches; `None` where it is negligible in all cells.
fn pauses(names: &Names<'_>) -> Option<f64> {
    let share = |named: &Named<'_>| {
        let estimates = &named.cell.estimates;
        Some(1.0 - estimates.wall_samples_per_s? / estimates.throughput.per_host.value?)
    };
    let largest = names.cells.iter().filter_map(share).fold(0.0, f64::max);
    (largest > NEGLIGIBLE_PAUSES).then_some(largest)
}

type Of = fn(&Named<'_>) -> Entry;

/// A column, how it is filled, and whether it is shown.
type Filled = (Column, Of, bool);

fn words(title: &str, of: Of, is_shown: bool) -> Filled {
    (Column::words(title), of, is_shown)
}

fn figures(title: &str, unit: &'static str, of: Of) -> Filled {
    (Column::figures(title, unit), of, true)
}

/// The factors of a cell that vary in this campaign.
fn factors(entries: &[results::Entry]) -> Vec<Filled> {
    let varies =
        |of: fn(&results::Entry) -> &str| entries.iter().any(|entry| of(entry) != of(&entries[0]));
    vec![
        words("Target", |named| Entry::words(&named.entry.target), true),
        words("Model", |named| Entry::words(&named.entry.model), varies(|entry| &entry.model)),
        words(
            "Dtype",
            |named| match dtype(named.entry) {
                "" => Entry::missing("an endpoint doesn't tell"),
                dtype => Entry::words(dtype),
            },
            varies(dtype),
        ),
        (
            Column::figures("Beams", ""),
            |named| match named.entry.num_beams {
                Some(number) => Entry::count(number.into()),
                None => Entry::missing("not a factor"),
            },
            entries.iter().any(|entry| entry.num_beams.is_some()),
        ),
        (
            Column::figures("Prompt lookup", "tokens"),
            |named| match named.entry.prompt_lookup_num_tokens {
                Some(tokens) => Entry::count(tokens.into()),
                None => Entry::missing("not a factor"),
            },
            entries.iter().any(|entry| entry.prompt_lookup_num_tokens.is_some()),
        ),
        words("Scenario", |named| Entry::words(&named.entry.scenario), varies(|of| &of.scenario)),
        (
            Column::figures("Offered", "requests/s"),
            |named| Entry::given(named.entry.load.and_then(|load| load.request_rate)),
            entries.iter().any(|entry| entry.load.is_some_and(|load| load.request_rate.is_some())),
        ),
        (
            Column::figures("In flight", "requests"),
            |named| match named.entry.load.and_then(|load| load.concurrency) {
                Some(users) => Entry::count(users.into()),
                None => Entry::missing("no closed loop"),
            },
            entries.iter().any(|entry| entry.load.is_some_and(|load| load.concurrency.is_some())),
        ),
        words(
            "Arrivals",
            |named| match arrivals(named.entry) {
                Some(arrivals) => Entry::words(arrivals),
                None => Entry::missing("closed loop"),
            },
            entries.iter().any(|entry| {
                let has_bursts = entry.load.is_some_and(|load| load.gap_cv.is_some());
                has_bursts || !entry.rate_profile.is_empty() || entry.trace.is_some()
            }),
        ),
        figures("Batch", "", |named| Entry::count(u64::from(named.cell.batch_size))),
    ]
}

fn table(results: &Results, names: &Names<'_>) -> Table {
    let has = |of: fn(&Cell) -> bool| names.cells.iter().any(|named| of(named.cell));
    let mut columns = factors(&results.results);
    let others: Vec<Filled> = vec![
        words("Validity", validity, true),
        figures("Cost per 1,000", "USD", |of| Entry::estimate(&of.cell.cost.usd_per_1000_requests)),
        (
            Column::figures("Cost per million", "USD").at(Detail::Report),
            |named| {
                let cost = per_million(&named.cell.cost.usd_per_1000_requests);
                cost.map_or_else(
                    || Entry::missing("see the cost per 1,000"),
                    |c| Entry::estimate(&c),
                )
            },
            has(|cell| per_million(&cell.cost.usd_per_1000_requests).is_some()),
        ),
        figures("Throughput", "samples/s", |of| {
            Entry::estimate(&of.cell.estimates.throughput.per_host)
        }),
        (
            Column::figures("Throughput by wall clock", "samples/s").at(Detail::Report),
            |named| Entry::figure(named.cell.estimates.wall_samples_per_s),
            pauses(names).is_some(),
        ),
        figures("Latency p50", "ms", |of| Entry::estimate(&of.cell.estimates.latency_ms.p50)),
        figures("Latency p95", "ms", |of| Entry::estimate(&of.cell.estimates.latency_ms.p95)),
        (
            Column::figures("Within objective", ""),
            |named| {
                let goodput = named.cell.goodput.as_ref();
                Entry::share(goodput.and_then(|goodput| goodput.good_share))
            },
            has(|cell| cell.goodput.is_some()),
        ),
        (
            Column::figures("Cost per 1,000 good", "USD"),
            |named| match &named.cell.cost.usd_per_1000_good_requests {
                Some(cost) => Entry::estimate(cost),
                None => Entry::missing("no objective"),
            },
            has(|cell| cell.cost.usd_per_1000_good_requests.is_some()),
        ),
        (
            Column::figures("Latency p99", "ms").at(Detail::Report),
            |named| Entry::estimate(&named.cell.estimates.latency_ms.p99),
            has(|cell| cell.estimates.latency_ms.p99.value.is_some()),
        ),
        (
            Column::figures("First token p50", "ms").at(Detail::Page),
            |named| Entry::estimate(&named.cell.estimates.ttft_ms.p50),
            has(|cell| cell.estimates.ttft_ms.p50.value.is_some()),
        ),
        (
            Column::figures(gap_title(names), "ms").at(Detail::Page),
            |named| Entry::figure(named.cell.stream.and_then(|stream| stream.gap_ms.p50)),
            has(|cell| cell.stream.is_some()),
        ),
        (
            Column::figures("Drafts accepted", "").at(Detail::Page),
            |named| Entry::share(named.cell.drafts.and_then(|drafts| drafts.acceptance_rate)),
            has(|cell| cell.drafts.is_some()),
        ),
        (
            Column::figures("Cost per million tokens", "USD").at(Detail::Page),
            |named| Entry::estimate(&named.cell.cost.usd_per_million_output_tokens),
            true,
        ),
        (
            Column::figures("ROUGE-L", "F1").at(Detail::Report),
            |named| match &named.cell.quality {
                Some(quality) => Entry::estimate(&quality.rouge_l),
                None => Entry::missing("no references or random weights"),
            },
            has(|cell| cell.quality.is_some()),
        ),
        (
            Column::figures("Peak memory", "MiB").at(Detail::Page),
            |named| Entry::figure(named.cell.memory.peak_rss_mb),
            has(|cell| cell.memory.peak_rss_mb.is_some()),
        ),
    ];
    columns.extend(others);
    columns.extend(phases(has(|cell| cell.phases.is_some())));
    columns.retain(|(_, _, is_shown)| *is_shown);
    let row = |named: &Named<'_>| columns.iter().map(|(_, of, _)| of(named)).collect();
    let headings = columns.iter().map(|(column, ..)| column.clone()).collect();
    let rows = names.cells.iter().map(row);
    Table::new("cells-table", "All cells with their main figures", Detail::Summary, headings, rows)
}

/// The rates before and after the first tokens.
fn phases(are_shown: bool) -> [Filled; 2] {
    [
        (
            Column::figures("Prefill", "tokens/s").at(Detail::Page),
            |named| match &named.cell.phases {
                Some(phases) => Entry::estimate(&phases.prefill_tokens_per_s),
                None => Entry::missing("no times of first tokens"),
            },
            are_shown,
        ),
        (
            Column::figures("Decode", "tokens/s").at(Detail::Page),
            |named| {
                let phases = named.cell.phases.as_ref();
                match phases.and_then(|phases| phases.decode_tokens_per_s.as_ref()) {
                    Some(decode) => Entry::estimate(decode),
                    None => Entry::missing("no times of first tokens, or one token each"),
                }
            },
            are_shown,
        ),
    ]
}

/// Inter-token latency, unless chunks may hold several tokens.
fn gap_title(names: &Names<'_>) -> &'static str {
    let is_per_token = |named: &Named<'_>| {
        named.cell.stream.is_none_or(|stream| stream.is_per_token == Some(true))
    };
    if names.cells.iter().all(is_per_token) { "Inter-token p50" } else { "Inter-chunk p50" }
}

fn validity(named: &Named<'_>) -> Entry {
    let validity = &named.cell.validity;
    Entry::status(validity.status).because(causes(validity))
}
