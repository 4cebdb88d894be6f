//! Whether the figures are usable, and what happened during the campaign.

use super::naming::{Named, Names};
use super::table::{Column, Entry, Table};
use super::{Block, Detail, Section, date, shortened};
use crate::sentences::{cause, causes, counted, left_out, queue_delay, repeats};
use results::{Cell, Event, Results};
use stats::precision::Look;
use stats::validity::Reason;

const MOST_EVENTS: usize = 50;

pub(super) fn section(results: &Results, names: &Names<'_>) -> Section {
    let mut blocks = vec![Block::Table(table(names))];
    for list in [reasons(names), details(names), events(results)] {
        if !list.is_empty() {
            blocks.push(Block::List(list));
        }
    }
    Section {
        id: "validity",
        title: "Validity".to_owned(),
        lead: "VALID figures are usable. DEGRADED figures are usable with the reasons listed. INVALID figures are not usable.".to_owned(),
        blocks,
        detail: Detail::Summary,
    }
}

fn table(names: &Names<'_>) -> Table {
    let row = |named: &Named<'_>| {
        let cell = named.cell;
        let reasons = causes(&cell.validity);
        vec![
            Entry::words(named.label()),
            Entry::status(cell.validity.status),
            Entry::words(if reasons.is_empty() { "none" } else { &reasons }),
            Entry::count(cell.counted_samples),
            Entry::count(cell.failed_samples),
            Entry::count(cell.missing_samples),
            Entry::count(cell.late_samples),
            Entry::count(cell.cut_inputs),
        ]
    };
    let mut columns = ["Cell", "Validity", "Reasons"].map(Column::words).to_vec();
    let counts = ["Counted", "Failed", "Missing", "Late", "Truncated inputs"];
    columns.extend(counts.map(|title| Column::figures(title, "")));
    let rows = names.cells.iter().map(row);
    Table::new("validity-table", "Validity of every cell", Detail::Report, columns, rows)
}

/// One line per reason, with its first cell and the number of others; the worst status first.
fn reasons(names: &Names<'_>) -> Vec<String> {
    let mut reasons: Vec<(&Reason, &Named<'_>, u64)> = Vec::new();
    for named in &names.cells {
        for reason in &named.cell.validity.reasons {
            let code = reason.cause.code();
            match reasons.iter_mut().find(|(known, ..)| known.cause.code() == code) {
                Some((.., others)) => *others += 1,
                None => reasons.push((reason, named, 0)),
            }
        }
    }
    reasons.sort_by_key(|(reason, ..)| std::cmp::Reverse(reason.status));
    let line = |(reason, named, others): &(&Reason, &Named<'_>, u64)| {
        let status = reason.status.as_str();
        let others = match others {
            0 => String::new(),
            others => format!(" (and {})", counted(*others, "more cell")),
        };
        format!("{status}: {}: {}{others}", named.label(), cause(&reason.cause))
    };
    reasons.iter().map(line).collect()
}

/// Failures, queue delays and ends of repeats, cell by cell.
fn details(names: &Names<'_>) -> Vec<String> {
    let details = names.cells.iter().flat_map(|named| {
        let cell = named.cell;
        let delay = cell.schedule_delay_ms.filter(|_| cell.stress.is_empty());
        let look = cell.precision.filter(|look| *look != Look::Continue);
        let parts = [
            failures(cell).map(|failures| format!("failed: {failures}")),
            delay.map(queue_delay),
            look.map(|look| repeats(cell.estimates.runs.len(), look)),
        ];
        parts.into_iter().flatten().map(|part| format!("{}: {part}", named.label()))
    });
    details.collect()
}

/// `2 throttled, 1 timed_out`
pub(super) fn failures(cell: &Cell) -> Option<String> {
    let by: Vec<String> =
        cell.failed_by.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    (!by.is_empty()).then(|| by.join(", "))
}

fn events(results: &Results) -> Vec<String> {
    // Sent notifications are no news to their reader.
    let is_news =
        |event: &&Event| !["notify_begun", "notify_delivered"].contains(&event.kind.as_str());
    let events: Vec<&Event> = results.campaign.events.iter().filter(is_news).collect();
    let line = |event: &&Event| format!("{} · {}", date(&event.at), shortened(&event.detail, 300));
    let mut lines: Vec<String> = events.iter().take(MOST_EVENTS).map(line).collect();
    lines.extend(left_out(events.len(), MOST_EVENTS, "event").map(|more| format!("{more}.")));
    lines
}
