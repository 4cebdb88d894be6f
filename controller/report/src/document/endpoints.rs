//! Models that were asked over the network: where the time of a request goes, and what was not seen.

use super::naming::{Named, Names};
use super::table::{Column, Entry, Table};
use super::{Block, Reach, Section, shortened};
use results::{CellExchange, Results};
use stats::exchange::Part;
use std::collections::BTreeSet;

/// Why a part has no figure.
const TOO_FEW: &str = "too few requests have it, or the server doesn't say";

/// None where every model was in its agent.
pub(super) fn section(results: &Results, names: &Names<'_>) -> Option<Section> {
    let endpoint = |entry: &results::Entry| {
        let engine = entry.engine.as_ref()?;
        let place = shortened(engine.endpoint.as_deref()?, 200);
        let (model, target) = (shortened(&entry.model, 80), shortened(&entry.target, 80));
        Some(format!(
            "{model} was asked at {place} and is priced as {target}. The machine behind it was not seen: its memory, energy and device are not known, and the machines under the environment are those that asked."
        ))
    };
    let told: BTreeSet<String> = results.results.iter().filter_map(endpoint).collect();
    if told.is_empty() {
        return None;
    }
    let mut blocks = vec![Block::List(told.into_iter().collect())];
    let rows: Vec<_> = (names.cells.iter())
        .filter_map(|named| named.cell.exchange.as_ref().map(|exchange| row(named, exchange)))
        .collect();
    if rows.is_empty() {
        blocks.push(Block::Missing("No request brought a summary.".to_owned()));
    } else {
        blocks.push(Block::Table(table(rows)));
    }
    Some(Section {
        id: "endpoints",
        title: "Over the network".to_owned(),
        lead: "A request's latency is what its caller sees, to the last byte. What the server says that it took is its own clock's; what is left is the network's and everything's before the server: sending, waiting for a connection, a proxy's queue.".to_owned(),
        blocks,
        reach: Reach::Everywhere,
    })
}

fn row(named: &Named<'_>, exchange: &CellExchange) -> Vec<Entry> {
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
        Entry::words(named.whole()),
        Entry::estimate(&named.cell.estimates.latency_ms.p50),
        middle(&exchange.server_ms),
        network(|network| &network.p50),
        network(|network| &network.p95),
        middle(&exchange.first_byte_ms),
        Entry::count(exchange.connect_ms.n),
        figure(exchange.connect_ms.mean),
        failures(named),
    ]
}

/// Such as `2 throttled, 1 timed_out`.
fn failures(named: &Named<'_>) -> Entry {
    let by = named.cell.failed_by.iter().map(|(kind, count)| format!("{count} {kind}"));
    let by = by.collect::<Vec<_>>().join(", ");
    Entry::words(if by.is_empty() { "none" } else { &by })
}

fn table(rows: Vec<Vec<Entry>>) -> Table {
    let ms = |title| Column::figures(title, "ms");
    Table {
        id: "endpoints-table".to_owned(),
        title: "Where the time of a request goes".to_owned(),
        columns: vec![
            Column::words("Cell"),
            ms("Latency p50"),
            ms("Server p50"),
            ms("Network p50"),
            ms("Network p95"),
            ms("First byte p50").on_page(),
            Column::figures("New connections", ""),
            ms("Connecting, mean"),
            Column::words("Failed"),
        ],
        rows,
    }
}
