//! A view -> what a report says, in order: sentences, charts and tables. Pages, PDFs and Markdown are drawn from the same
//! document, so they say the same. What was not measured is said to be so.

mod batches;
mod cells;
mod choice;
mod comparisons;
mod cost;
mod endpoints;
mod environment;
mod latency;
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

pub use table::{Column, Entry, Table, Tone};
pub use texts::Dialogue;
pub use verdict::{Fact, Rivals, Span, Verdict};

use naming::Names;
use plot::chart::Chart;
use results::Results;

/// What a report says.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The campaign's name.
    pub title: String,
    /// Its id.
    pub campaign: String,
    /// When it began, UTC.
    pub created_at: String,
    /// The version of the program that measured.
    pub version: String,
    /// What comes first.
    pub verdict: Verdict,
    /// What it rests on.
    pub sections: Vec<Section>,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// A word for links.
    pub id: &'static str,
    /// Its heading.
    pub title: String,
    /// What is seen here, and how to read it.
    pub lead: String,
    /// From top to bottom.
    pub blocks: Vec<Block>,
    /// Where it is shown.
    pub reach: Reach,
}

/// Where a section is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// In every format.
    Everywhere,
    /// Only on the page, which is as long as it needs to be.
    Page,
}

/// A part of a section.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A chart.
    Figure(Box<Figure>),
    /// A table.
    Table(Table),
    /// Sentences, each on its own.
    List(Vec<String>),
    /// Names and what they stand for.
    Facts(Vec<(String, String)>),
    /// A file or a command, as it is.
    Code {
        /// What it is.
        title: String,
        /// Its lines.
        text: String,
    },
    /// What is not there, and why.
    Missing(String),
    /// A dialogue with its summaries.
    Dialogue(Dialogue),
}

/// A chart with what must stand beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// A word for links.
    pub id: String,
    /// What it shows, in one sentence.
    pub title: String,
    /// What is drawn.
    pub chart: Chart,
    /// The series that it has, with their names; empty where rows are named.
    pub legend: Vec<(usize, String)>,
    /// The same in numbers.
    pub table: Option<Table>,
    /// Where that table is shown.
    pub table_reach: Reach,
}

/// Says what a campaign found.
pub fn document(results: &Results) -> Document {
    let names = Names::of(results);
    // Under sustained load the question is another one.
    let (first, then) = match stress::section(&names) {
        Some(section) if is_all_sustained(&names) => (Some(section), None),
        section => (None, section),
    };
    let sections = [
        first,
        Some(cost::section(&names)),
        Some(cells::section(results, &names)),
        Some(latency::section(&names)),
        endpoints::section(results, &names),
        batches::section(&names),
        Some(rates::section(results, &names)),
        choice::section(results, &names),
        comparisons::section(results, &names),
        then,
        Some(runs::section(&names)),
        Some(telemetry::section(results, &names)),
        telemetry::further(results, &names),
        Some(validity::section(results, &names)),
        Some(prices::section(results)),
        Some(environment::section(results)),
        Some(environment::again(results)),
        texts::section(results, &names),
        Some(method()),
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

/// What comes first, alone: for messages, which have no room for the rest.
pub fn verdict_of(results: &Results) -> Verdict {
    verdict::verdict(results, &Names::of(results))
}

fn method() -> Section {
    let sentences = [
        "An interval holds the true figure 95 times in 100. Intervals of rates and costs are between runs: what these dialogues would bring in another run.",
        "Percentiles come from all runs' raw values together, and are left out below the number of independent requests that carries them: 8 for p50, 46 for p90, 93 for p95, 473 for p99.",
        "A hollow sign marks a DEGRADED cell: its figures hold with the reservations that stand under validity. INVALID cells are not drawn.",
        "Costs are those of a machine that never idles, at the price and on the day that stand under prices.",
        "A dash (–) says that a figure was not measured or that the data don't carry it; it is never zero.",
        "docs/statistics.md has every definition with its source, and how often the intervals are right.",
    ];
    Section {
        id: "method",
        title: "How to read this".to_owned(),
        lead: String::new(),
        blocks: vec![Block::List(sentences.map(str::to_owned).to_vec())],
        reach: Reach::Everywhere,
    }
}

/// A text of at most `most` letters.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

/// `2026-11-23 08:45 UTC`, from RFC 3339.
fn date(stamp: &str) -> String {
    match (stamp.get(..10), stamp.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => stamp.to_owned(),
    }
}
