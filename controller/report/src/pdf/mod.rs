//! A document -> a PDF of a few pages for people who get it sent: the page's sections in short, with the same charts.
//! Typefaces are embedded, text can be selected, sections are bookmarks. No browser is needed.

mod flow;
mod grid;
mod write;

use super::document::{Block, Document, Figure, Reach, Section, Span, Verdict};
use flow::{Flow, Pages, Piece};
use plot::chart::Ink;
use plot::font::{self, Weight};

pub use write::Error;

/// Charts are drawn as for a page of this width, and made smaller.
const CHART_WIDTH: f64 = 720.0;
/// More pages than this are not read by those who get them sent.
const MOST_PAGES: usize = 6;

/// How much is shown. The page has the rest.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Rows of a table.
    rows: usize,
    /// Rows of a table that belongs to a chart.
    rows_of_chart: usize,
    /// Rows of a chart that has one for each figure.
    rows_drawn: usize,
    /// Sentences of a list.
    sentences: usize,
}

/// From much to little: the first that makes few enough pages is taken.
const LIMITS: [Limits; 8] = [
    Limits { rows: 16, rows_of_chart: 6, rows_drawn: 16, sentences: 12 },
    Limits { rows: 12, rows_of_chart: 3, rows_drawn: 12, sentences: 8 },
    Limits { rows: 10, rows_of_chart: 2, rows_drawn: 8, sentences: 6 },
    Limits { rows: 8, rows_of_chart: 2, rows_drawn: 8, sentences: 6 },
    Limits { rows: 8, rows_of_chart: 1, rows_drawn: 6, sentences: 4 },
    Limits { rows: 5, rows_of_chart: 1, rows_drawn: 5, sentences: 4 },
    Limits { rows: 3, rows_of_chart: 1, rows_drawn: 4, sentences: 4 },
    Limits { rows: 2, rows_of_chart: 1, rows_drawn: 2, sentences: 2 },
];

/// Renders the file.
///
/// # Errors
/// [`Error`] where the PDF can't be written.
pub fn render(document: &Document) -> Result<Vec<u8>, Error> {
    let mut pages = lay_out(document, LIMITS[0]);
    for limits in &LIMITS[1..] {
        if pages.pages.len() > MOST_PAGES {
            pages = lay_out(document, *limits);
        }
    }
    write::write(pages, document)
}

fn lay_out(document: &Document, limits: Limits) -> Pages {
    let mut flow = Flow::new();
    masthead(&mut flow, document);
    for section in &document.sections {
        if section.reach == Reach::Everywhere {
            render_section(&mut flow, section, limits);
        }
    }
    flow.finish(&format!("Fleetmark {} · {}", document.version, document.campaign))
}

fn masthead(flow: &mut Flow, document: &Document) {
    flow.bookmark("The verdict");
    let over = format!("Fleetmark · Benchmark report · {}", document.created_at);
    flow.paragraph(&[Piece::of(&over, Weight::Regular, Ink::Muted)], 8.5, 1.4);
    flow.space(3.0);
    flow.paragraph(&[Piece::of(&document.title, Weight::SemiBold, Ink::Text)], 12.0, 1.3);
    flow.space(14.0);
    let verdict = &document.verdict;
    let piece = |span: &Span| match span {
        Span::Plain(text) => Piece::of(text, Weight::Regular, Ink::Text),
        Span::Strong(text) => Piece::of(text, Weight::SemiBold, Ink::Text),
    };
    let sentence: Vec<Piece> = verdict.sentence.iter().map(piece).collect();
    flow.paragraph(&sentence, 17.0, 1.32);
    flow.space(8.0);
    flow.paragraph(&[Piece::of(&status(verdict), Weight::SemiBold, status_ink(verdict))], 9.0, 1.4);
    flow.space(3.0);
    if let Some(rivals) = &verdict.rivals {
        flow.list(&[rivals.text()], Ink::Text);
    }
    flow.list(&verdict.notes, Ink::Muted);
    flow.space(16.0);
    facts(flow, verdict);
}

fn status(verdict: &Verdict) -> String {
    let [valid, degraded, invalid] = verdict.cells;
    let mut words = vec![if verdict.is_complete { "Complete" } else { "Incomplete" }.to_owned()];
    for (count, word) in [(valid, "VALID"), (degraded, "DEGRADED"), (invalid, "INVALID")] {
        if count > 0 {
            let cells = if count == 1 { "cell" } else { "cells" };
            words.push(format!("{count} {cells} {word}"));
        }
    }
    words.join(" · ")
}

fn status_ink(verdict: &Verdict) -> Ink {
    let [_, degraded, invalid] = verdict.cells;
    if !verdict.is_complete || invalid > 0 {
        Ink::Bad
    } else if degraded > 0 {
        Ink::Warn
    } else {
        Ink::Good
    }
}

/// The figures of what is recommended, side by side.
fn facts(flow: &mut Flow, verdict: &Verdict) {
    let columns = verdict.facts.len().clamp(1, 6) as f64;
    let width = Flow::width() / columns;
    flow.need(70.0);
    flow.rule();
    flow.space(10.0);
    let mut lowest: f64 = 0.0;
    for (place, fact) in verdict.facts.iter().enumerate() {
        let x = width * place as f64;
        let mut y = 0.0;
        let mut add = |text: &str, weight, ink, size: f64| {
            y += flow.words_in(&[Piece::of(text, weight, ink)], size, 1.3, (x, y, width - 10.0));
        };
        add(&fact.title, Weight::Regular, Ink::Muted, 7.5);
        // A figure that broke within its digits would be read as two.
        let room = (width - 10.0) / font::width(&fact.value, 1.0, Weight::SemiBold);
        add(&fact.value, Weight::SemiBold, Ink::Text, room.min(12.5));
        add(&fact.unit, Weight::Regular, Ink::Muted, 7.5);
        add(&fact.detail, Weight::Regular, Ink::Muted, 7.5);
        lowest = lowest.max(y);
    }
    flow.space(lowest + 6.0);
}

fn render_section(flow: &mut Flow, section: &Section, limits: Limits) {
    // A heading stays with what it is the heading of.
    let first = section.blocks.first().map_or(40.0, |block| height_of(block, limits));
    flow.need(70.0 + first.min(420.0));
    flow.space(26.0);
    flow.bookmark(&section.title);
    flow.paragraph(&[Piece::of(&section.title, Weight::SemiBold, Ink::Text)], 13.5, 1.3);
    if !section.lead.is_empty() {
        flow.space(2.0);
        flow.paragraph(&[Piece::of(&section.lead, Weight::Regular, Ink::Muted)], 8.5, 1.45);
    }
    for block in &section.blocks {
        render_block(flow, block, limits);
    }
}

/// About how high a block is, so that it can be kept together with its heading.
fn height_of(block: &Block, limits: Limits) -> f64 {
    match block {
        Block::Figure(figure) => {
            let (chart, _) = figure.chart.shortened(limits.rows_drawn);
            // A chart may be made smaller to stay where it is.
            chart.draw(CHART_WIDTH).height * Flow::width() / CHART_WIDTH * flow::SMALLEST + 50.0
        }
        Block::Table(_) => 90.0,
        _ => 40.0,
    }
}

fn render_block(flow: &mut Flow, block: &Block, limits: Limits) {
    flow.space(10.0);
    match block {
        Block::Figure(figure) => render_figure(flow, figure, limits),
        Block::Table(table) => flow.table(&table.in_short(), limits.rows),
        Block::List(sentences) => {
            let shown = &sentences[..sentences.len().min(limits.sentences)];
            flow.list(shown, Ink::Text);
        }
        Block::Missing(reason) => {
            flow.paragraph(&[Piece::of(reason, Weight::Regular, Ink::Muted)], 9.0, 1.4);
        }
        Block::Facts(facts) => {
            let lines: Vec<String> =
                facts.iter().map(|(name, text)| format!("{name}: {text}")).collect();
            flow.list(&lines, Ink::Text);
        }
        Block::Code { .. } | Block::Dialogue(_) => {}
    }
}

fn render_figure(flow: &mut Flow, figure: &Figure, limits: Limits) {
    let (chart, left_out) = figure.chart.shortened(limits.rows_drawn);
    let drawing = chart.draw(CHART_WIDTH);
    let scale = Flow::width() / CHART_WIDTH;
    flow.need(drawing.height * scale * flow::SMALLEST + 40.0);
    flow.paragraph(&[Piece::of(&figure.title, Weight::SemiBold, Ink::Text)], 9.5, 1.3);
    flow.space(3.0);
    if figure.legend.len() > 1 || figure.legend.iter().any(|(series, _)| *series > 0) {
        flow.legend(&figure.legend);
    }
    flow.space(3.0);
    flow.drawing(&drawing, scale);
    if left_out > 0 {
        let text =
            format!("The first {} of {} rows.", limits.rows_drawn, left_out + limits.rows_drawn);
        flow.space(3.0);
        flow.paragraph(&[Piece::of(&text, Weight::Regular, Ink::Muted)], 8.0, 1.4);
    }
    if let Some(table) = figure.table.as_ref().filter(|_| figure.table_reach == Reach::Everywhere) {
        flow.space(10.0);
        flow.table(&table.in_short(), limits.rows_of_chart);
    }
}
