//! Every cell with its main figures, in one table.

use super::naming::{Named, Names};
use super::table::{Column, Entry, Table};
use super::{Block, Detail, Section};
use crate::sentences::causes;
use results::{Cell, Results};

pub(super) fn section(results: &Results, names: &Names<'_>) -> Section {
    Section {
        id: "cells",
        title: "All cells".to_owned(),
        lead: "Ranges are 95% CIs. A dash means not measured or too few samples.".to_owned(),
        blocks: vec![Block::Table(table(results, names))],
        detail: Detail::Summary,
    }
}

type Of = fn(&Named<'_>) -> Entry;

/// A column, how it is filled, and whether it is shown.
type Filled = (Column, Of, bool);

/// The factors of a cell that vary in this campaign.
fn factors(entries: &[results::Entry]) -> Vec<Filled> {
    let varies =
        |of: fn(&results::Entry) -> &str| entries.iter().any(|entry| of(entry) != of(&entries[0]));
    vec![
        (Column::words("Target"), |named| Entry::words(&named.entry.target), true),
        (
            Column::words("Model"),
            |named| Entry::words(&named.entry.model),
            varies(|entry| &entry.model),
        ),
        (
            Column::words("Dtype"),
            |named| Entry::words(&named.entry.dtype),
            varies(|entry| &entry.dtype),
        ),
        (
            Column::words("Scenario"),
            |named| Entry::words(&named.entry.scenario),
            varies(|entry| &entry.scenario),
        ),
        (
            Column::figures("Offered", "requests/s"),
            |named| Entry::given(named.entry.load.and_then(|load| load.request_rate)),
            entries.iter().any(|entry| entry.load.is_some_and(|load| load.request_rate.is_some())),
        ),
        (
            Column::figures("Batch", ""),
            |named| Entry::count(u64::from(named.cell.batch_size)),
            true,
        ),
    ]
}

fn table(results: &Results, names: &Names<'_>) -> Table {
    let has = |of: fn(&Cell) -> bool| names.cells.iter().any(|named| of(named.cell));
    let mut columns = factors(&results.results);
    let figures: Vec<Filled> = vec![
        (Column::words("Validity"), validity, true),
        (
            Column::figures("Cost per 1,000", "USD"),
            |named| Entry::estimate(&named.cell.cost.usd_per_1000_requests),
            true,
        ),
        (
            Column::figures("Throughput", "samples/s"),
            |named| Entry::estimate(&named.cell.estimates.throughput.per_host),
            true,
        ),
        (
            Column::figures("Latency p50", "ms"),
            |named| Entry::estimate(&named.cell.estimates.latency_ms.p50),
            true,
        ),
        (
            Column::figures("Latency p95", "ms"),
            |named| Entry::estimate(&named.cell.estimates.latency_ms.p95),
            true,
        ),
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
    columns.extend(figures);
    columns.retain(|(_, _, is_shown)| *is_shown);
    let row = |named: &Named<'_>| columns.iter().map(|(_, of, _)| of(named)).collect();
    Table {
        id: "cells-table".to_owned(),
        title: "All cells with their main figures".to_owned(),
        detail: Detail::Summary,
        rows: names.cells.iter().map(row).collect(),
        columns: columns.iter().map(|(column, ..)| column.clone()).collect(),
    }
}

fn validity(named: &Named<'_>) -> Entry {
    let validity = &named.cell.validity;
    Entry::status(validity.status).because(causes(validity))
}
