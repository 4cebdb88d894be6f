//! Models behind network endpoints: where the time of a request goes, and what isn't observed.

use super::naming::{Named, Names};
use super::table::{Column, Entry, Table};
use super::validity::failures;
use super::{Block, Detail, Section};
use crate::sentences::{asked, load_agents, network_share, reconnects};
use results::{CellExchange, CellStream, Results};
use stats::http_timing::Part;
use std::collections::BTreeSet;

/// Why a part has no figure.
const TOO_FEW: &str = "too few requests, or the server doesn't report it";

/// `None` where every model runs in its agent.
pub(super) fn section(results: &Results, names: &Names<'_>) -> Option<Section> {
    let endpoint =
        |entry: &results::Entry| Some(asked(entry, entry.engine.as_ref()?.endpoint.as_deref()?));
    let asked: BTreeSet<String> = results.results.iter().filter_map(endpoint).collect();
    if asked.is_empty() {
        return None;
    }
    let mut sentences: Vec<String> = asked.into_iter().collect();
    sentences.extend(names.cells.iter().flat_map(|named| {
        let cell = named.cell;
        let found = [load_agents(cell), network_share(cell), reconnects(cell)];
        found.into_iter().flatten().map(|found| format!("{}: {found}.", named.label()))
    }));
    let mut blocks = vec![Block::List(sentences)];
    let rows: Vec<_> = (names.cells.iter())
        .filter_map(|named| named.cell.http.as_ref().map(|timing| row(named, timing)))
        .collect();
    if rows.is_empty() {
        blocks.push(Block::Missing("No request returned a summary.".to_owned()));
    } else {
        blocks.push(Block::Table(table(rows)));
    }
    let streams: Vec<_> = (names.cells.iter())
        .filter_map(|named| named.cell.stream.as_ref().map(|stream| stream_row(named, stream)))
        .collect();
    if !streams.is_empty() {
        blocks.push(Block::Table(stream_table(streams)));
    }
    Some(Section {
        id: "endpoints",
        title: "Network endpoints".to_owned(),
        lead: "Request latency is measured at the caller, up to the last byte. Server time is the server's own timing; the rest is the network and everything in front of the server: sending, waiting for a connection, a proxy's queue.".to_owned(),
        blocks,
        detail: Detail::Summary,
    })
}

fn row(named: &Named<'_>, timing: &CellExchange) -> Vec<Entry> {
    let network = named.cell.estimates.network_ms.as_ref();
    let network = |of: fn(&stats::distribution::Distribution) -> &stats::Estimate| {
        network.map_or_else(|| Entry::missing(TOO_FEW), |network| Entry::estimate(of(network)))
    };
    let figure = |value: Option<f64>| match value {
        Some(_) => Entry::figure(value),
        None => Entry::missing(TOO_FEW),
    };
    let middle = |part: &Part| figure(part.p50);
    vec![
        Entry::words(named.label()),
        Entry::estimate(&named.cell.estimates.latency_ms.p50),
        middle(&timing.server_ms),
        network(|network| &network.p50),
        network(|network| &network.p95),
        middle(&timing.first_byte_ms),
        Entry::count(timing.connect_ms.n),
        figure(timing.connect_ms.mean),
        Entry::count(timing.reconnects),
        Entry::words(failures(named.cell).as_deref().unwrap_or("none")),
    ]
}

/// How the text of a cell's streams arrived. Gaps between chunks are inter-token latencies only where chunks hold one
/// token each.
fn stream_row(named: &Named<'_>, stream: &CellStream) -> Vec<Entry> {
    const TOO_FEW_GAPS: &str = "too few gaps between chunks";
    let estimates = &named.cell.estimates;
    let gap = |value: Option<f64>| match value {
        Some(_) => Entry::figure(value),
        None => Entry::missing(TOO_FEW_GAPS),
    };
    let between = match stream.is_per_token {
        Some(true) => Entry::words("tokens"),
        Some(false) => Entry::words("chunks of several tokens"),
        None => Entry::words("chunks; tokens are not counted"),
    };
    vec![
        Entry::words(named.label()),
        Entry::estimate(&estimates.ttft_ms.p50),
        Entry::estimate(&estimates.ttft_ms.p95),
        between,
        gap(stream.gap_ms.p50),
        gap(stream.gap_ms.p95),
        gap(stream.gap_ms.p99),
        gap(stream.gap_ms.max),
        Entry::estimate(&estimates.tpot_ms.p50),
        Entry::figure(stream.tokens_per_chunk),
        Entry::count(stream.arrived_together),
    ]
}

fn stream_table(rows: Vec<Vec<Entry>>) -> Table {
    let ms = |title| Column::figures(title, "ms");
    let columns = vec![
        Column::words("Cell"),
        ms("First token p50"),
        ms("First token p95"),
        Column::words("Gaps between"),
        ms("Gap p50"),
        ms("Gap p95").at(Detail::Report),
        ms("Gap p99"),
        ms("Longest gap").at(Detail::Page),
        ms("Per token p50"),
        Column::figures("Tokens per chunk", "").at(Detail::Report),
        Column::figures("Arrived together", "chunks").at(Detail::Page),
    ];
    let title = "How the text of streamed responses arrives";
    Table::new("streams-table", title, Detail::Summary, columns, rows.into_iter())
}

fn table(rows: Vec<Vec<Entry>>) -> Table {
    let ms = |title| Column::figures(title, "ms");
    let columns = vec![
        Column::words("Cell"),
        ms("Latency p50"),
        ms("Server p50"),
        ms("Network p50"),
        ms("Network p95"),
        ms("First byte p50").at(Detail::Page),
        Column::figures("New connections", ""),
        ms("Connect, mean"),
        Column::figures("Reconnects", ""),
        Column::words("Failed"),
    ];
    let title = "Where the time of a request goes";
    Table::new("endpoints-table", title, Detail::Report, columns, rows.into_iter())
}
