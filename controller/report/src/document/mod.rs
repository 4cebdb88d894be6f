//! [`Results`] -> what a report says, in order: sentences, charts and tables. The terminal, HTML, PDF and Markdown render
//! the same document, so they can't contradict each other. What was not measured is stated.

mod arrivals;
mod batches;
mod cells;
mod choice;
mod comparisons;
mod cost;
mod endpoints;
mod environment;
mod fact;
mod fleet;
mod fleet_caveats;
mod gates;
mod latency;
mod load_curves;
mod naming;
mod prices;
mod rates;
mod runs;
mod stress;
mod table;
mod telemetry;
mod texts;
mod validity;
mod verdict;

pub use fact::{Fact, Span};
pub use fleet::decision;
pub use table::{Column, Entry, Table, Tone};
pub use texts::Dialogue;
pub use verdict::{Ties, Verdict};

use crate::shortened::shortened;
use naming::Names;
use plot::chart::Chart;
use results::Results;

#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub title: String,
    pub campaign: String,
    pub created_at: String,
    /// Of the program that measured.
    pub version: String,
    pub verdict: Verdict,
    pub sections: Vec<Section>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub id: &'static str,
    pub title: String,
    /// How to read the section.
    pub lead: String,
    pub blocks: Vec<Block>,
    pub detail: Detail,
}

/// The lowest level of detail at which a part is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// In every format, including the terminal.
    Summary,
    /// In Markdown, PDF, and HTML.
    Report,
    Page,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    Figure(Box<Figure>),
    Table(Table),
    List(Vec<String>),
    Facts(Vec<(String, String)>),
    /// A file or a command, verbatim.
    Code {
        title: String,
        text: String,
    },
    /// What is missing, and why.
    Missing(String),
    Dialogue(Dialogue),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub id: String,
    pub title: String,
    pub chart: Chart,
    /// Series and their names; empty where rows are named.
    pub legend: Vec<(usize, String)>,
    pub table: Option<Table>,
}

pub fn document(results: &Results) -> Document {
    let names = Names::of(results);
    // In a campaign of sustained loads their verdicts come first.
    let (first, then) = match stress::section(&names) {
        Some(section) if is_all_sustained(&names) => (Some(section), None),
        section => (None, section),
    };
    let (telemetry, timelines) = telemetry::sections(results, &names);
    let sections = [
        gates::section(results, &names),
        first,
        Some(cost::section(&names)),
        Some(cells::section(results, &names)),
        Some(latency::section(&names)),
        load_curves::section(results, &names),
        arrivals::section(results),
        endpoints::section(results, &names),
        batches::section(&names),
        Some(rates::section(results, &names)),
        choice::section(results, &names),
        comparisons::section(results, &names),
        then,
        Some(runs::section(&names)),
        Some(telemetry),
        timelines,
        Some(validity::section(results, &names)),
        Some(prices::section(results)),
        Some(environment::section(results)),
        Some(environment::reproduction(results)),
        texts::section(results, &names),
        Some(method(&names)),
    ];
    Document {
        title: shortened(&results.campaign.name, 120),
        campaign: results.campaign.id.clone(),
        created_at: date(&results.campaign.created_at),
        version: results.campaign.controller_version.clone(),
        verdict: verdict::verdict(results, &names),
        sections: sections.into_iter().flatten().collect(),
    }
}

fn is_all_sustained(names: &Names<'_>) -> bool {
    names.cells.iter().all(|named| !named.cell.stress.is_empty())
}

/// The verdict alone, for messages.
pub fn verdict_of(results: &Results) -> Verdict {
    verdict::verdict(results, &Names::of(results))
}

fn method(names: &Names<'_>) -> Section {
    let costs =
        format!("Costs are {}, at the price and date listed under prices.", cost::basis(names));
    let sentences = [
        "A 95% CI contains the true figure in 95 of 100 campaigns. Intervals of rates and costs cover the variation between runs: where the figure of these dialogues would be in another run.",
        "Percentiles are computed over the raw values of all runs together. They are omitted below the number of independent requests that supports them: 8 for p50, 46 for p90, 93 for p95, 473 for p99.",
        "A hollow mark is a DEGRADED cell: its figures are usable with the reasons listed under validity. Among comparisons it is a pair without a significant difference. INVALID cells are not drawn.",
        &costs,
        "A dash (–) means not measured or not supported by the data; it is never zero.",
        "docs/statistics.md defines every figure with its source and reports the measured coverage of the intervals.",
    ];
    Section {
        id: "method",
        title: "How to read this report".to_owned(),
        lead: String::new(),
        blocks: vec![Block::List(sentences.map(str::to_owned).to_vec())],
        detail: Detail::Report,
    }
}

/// `2026-11-23 08:45 UTC`, from RFC 3339.
fn date(stamp: &str) -> String {
    match (stamp.get(..10), stamp.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => stamp.to_owned(),
    }
}
