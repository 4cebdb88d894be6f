//! Every price with its source and date.

use super::table::{Column, Entry, Table, Tone};
use super::{Block, Detail, Section, shortened};
use crate::sentences::enumerated;
use results::{Price, Results};

pub(super) fn section(results: &Results) -> Section {
    let mut rows: Vec<Vec<Entry>> = Vec::new();
    for entry in &results.results {
        let costs = entry.cells.iter().map(|cell| &cell.cost);
        for cost in costs {
            let row = row(&entry.target, cost.usd_per_hour, &cost.price);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
    }
    let columns = vec![
        Column::words("Target"),
        Column::figures("Price", "USD per hour"),
        Column::words("Service"),
        Column::words("Region"),
        Column::words("Purchase"),
        Column::words("Source"),
        Column::words("Date"),
        Column::figures("Age", "days"),
    ];
    let title = "Prices with source and date";
    let table = Table::new("prices-table", title, Detail::Report, columns, rows.into_iter());
    Section {
        id: "prices",
        title: "Prices".to_owned(),
        lead: "Prices without a service are set in the matrix; all others come from a price book."
            .to_owned(),
        blocks: vec![Block::Table(table)],
        detail: Detail::Report,
    }
}

/// A sentence where the targets' prices have different sources: another book, date, region or purchase option.
pub(super) fn mixed(results: &Results) -> Option<String> {
    let mut origins: Vec<(String, Vec<String>)> = Vec::new();
    for entry in &results.results {
        for cell in &entry.cells {
            let (origin, target) = (origin(&cell.cost.price), shortened(&entry.target, 80));
            match origins.iter_mut().find(|(known, _)| *known == origin) {
                Some((_, targets)) if targets.contains(&target) => {}
                Some((_, targets)) => targets.push(target),
                None => origins.push((origin, vec![target])),
            }
        }
    }
    if origins.len() < 2 {
        return None;
    }
    let origins = origins.iter().map(|(origin, targets)| {
        let targets = enumerated(targets, "and");
        format!("{targets}: {}", shortened(origin, 200))
    });
    Some(format!("Prices from different sources: {}.", origins.collect::<Vec<_>>().join("; ")))
}

fn origin(price: &Price) -> String {
    if price.service.is_none() {
        return "set in the matrix".to_owned();
    }
    let parts = [&price.service, &price.region, &price.purchase, &price.date];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    format!("{} ({})", price.source, parts.join(", "))
}

/// The age of a price, marked where it is stale.
fn age(price: &Price) -> Entry {
    let Some(days) = price.age_days else { return Entry::missing("set in the matrix") };
    let (text, tone) = if price.stale {
        (format!("{days}, stale"), Tone::Warn)
    } else {
        (days.to_string(), Tone::Plain)
    };
    Entry { text, tone, value: Some(days as f64), ..Entry::default() }
}

fn row(target: &str, usd_per_hour: f64, price: &Price) -> Vec<Entry> {
    let or_own = |text: Option<&String>| {
        text.map_or_else(|| Entry::missing("set in the matrix"), Entry::words)
    };
    let region = match (&price.region, price.region_assumed) {
        (Some(region), true) => Entry::words(format!("{region} (assumed)")),
        (region, _) => or_own(region.as_ref()),
    };
    vec![
        Entry::words(target),
        // Prices are quoted exactly.
        Entry { text: usd_per_hour.to_string(), ..Entry::figure(Some(usd_per_hour)) },
        or_own(price.service.as_ref()),
        region,
        or_own(price.purchase.as_ref()),
        Entry::words(&price.source),
        or_own(price.date.as_ref()),
        age(price),
    ]
}
