//! A document -> a PDF for sharing: the sections of the report level, with the same charts as HTML. Fonts are embedded,
//! text is selectable, sections are bookmarks. No browser is needed.

mod flow;
mod grid;
mod text;

use super::document::{Block, Detail, Document, Fact, Figure, Section, Span, Table, Tone, Verdict};
use super::one_line::one_line;
use flow::{Column, Flow};
use plot::chart::Ink;
use plot::font::{self, Weight};
use plot::pdf::{Metadata, Pages};
use std::collections::VecDeque;
use text::Piece;

pub use plot::pdf::Error;

/// Charts are drawn at this width and scaled down to the page.
const CHART_WIDTH: f64 = 720.0;
/// Rows of a table; HTML has all.
const MOST_ROWS: usize = 2000;
/// Rows of a chart with a row per figure.
const MOST_ROWS_DRAWN: usize = 30;
const MOST_SENTENCES: usize = 30;
/// A page that is left with more space than this looks unfinished.
const MUCH_ROOM: f64 = 160.0;
/// A section is moved forward by at most this many places, less one.
const LOOK_AHEAD: usize = 4;

pub fn render(document: &Document) -> Result<Vec<u8>, Error> {
    let metadata = Metadata {
        title: one_line(&document.title).into_owned(),
        description: document.verdict.text(),
        creator: format!("Fleetmark {}", document.version),
        keywords: vec![document.campaign.clone(), "benchmark".to_owned()],
        id: document.campaign.clone(),
        created: document.created_at.clone(),
    };
    plot::pdf::write(lay_out(document), &metadata)
}

fn lay_out(document: &Document) -> Pages {
    let mut flow = Flow::new();
    masthead(&mut flow, document);
    let is_shown = |section: &&Section| section.detail <= Detail::Report;
    let mut waiting: VecDeque<&Section> = document.sections.iter().filter(is_shown).collect();
    while let Some(section) = next(&flow, &mut waiting) {
        render_section(&mut flow, section);
    }
    flow.finish(&format!("Fleetmark {} · {}", document.version, document.campaign))
}

/// The next section. Where it doesn't fit on a page with much room, one of the following that does comes first.
fn next<'a>(flow: &Flow, waiting: &mut VecDeque<&'a Section>) -> Option<&'a Section> {
    let fits = |section: &&Section| beginning(section) <= flow.left();
    let is_wasteful = flow.left() > MUCH_ROOM && !waiting.front().is_some_and(fits);
    let earlier = waiting.iter().take(LOOK_AHEAD).position(fits).filter(|_| is_wasteful);
    waiting.remove(earlier.unwrap_or(0))
}

fn masthead(flow: &mut Flow, document: &Document) {
    flow.bookmark("Verdict");
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
    let (words, ink) = status(verdict);
    flow.paragraph(&[Piece::of(&words, Weight::SemiBold, ink)], 9.0, 1.4);
    flow.space(3.0);
    if let Some(ties) = &verdict.ties {
        flow.list(&[ties.text()], Ink::Text);
    }
    flow.list(&verdict.notes, Ink::Muted);
    flow.space(16.0);
    facts(flow, verdict);
}

/// The status with the color of its worst part.
fn status(verdict: &Verdict) -> (String, Ink) {
    let status = verdict.status();
    let words: Vec<&str> = status.iter().map(|(text, _)| text.as_str()).collect();
    let has = |wanted| status.iter().any(|(_, tone)| *tone == wanted);
    let ink = match () {
        () if has(Tone::Bad) => Ink::Bad,
        () if has(Tone::Warn) => Ink::Warn,
        () => Ink::Good,
    };
    (words.join(" · "), ink)
}

/// More columns would be too narrow for a figure.
const MOST_COLUMNS: usize = 6;

/// Rows of about equal length.
fn facts(flow: &mut Flow, verdict: &Verdict) {
    let rows = verdict.facts.len().div_ceil(MOST_COLUMNS).max(1);
    let columns = verdict.facts.len().div_ceil(rows).max(1);
    flow.need(70.0 * rows as f64);
    flow.rule();
    for row in verdict.facts.chunks(columns) {
        flow.space(10.0);
        facts_row(flow, row, Flow::width() / columns as f64);
    }
}

fn facts_row(flow: &mut Flow, facts: &[Fact], width: f64) {
    let mut lowest: f64 = 0.0;
    for (place, fact) in facts.iter().enumerate() {
        let x = width * place as f64;
        let mut y = 0.0;
        let mut add = |text: &str, weight, ink, size: f64| {
            let column = Column { x, y, width: width - 10.0 };
            y += flow.words_in(&[Piece::of(text, weight, ink)], size, 1.3, column);
        };
        add(&fact.title, Weight::Regular, Ink::Muted, 7.5);
        // A line break within a figure would make it look like two.
        let room = (width - 10.0) / font::width(&fact.value, 1.0, Weight::SemiBold);
        add(&fact.value, Weight::SemiBold, Ink::Text, room.min(12.5));
        add(&fact.unit, Weight::Regular, Ink::Muted, 7.5);
        add(&fact.detail, Weight::Regular, Ink::Muted, 7.5);
        lowest = lowest.max(y);
    }
    flow.space(lowest + 6.0);
}

fn render_section(flow: &mut Flow, section: &Section) {
    flow.need(beginning(section));
    flow.space(26.0);
    flow.bookmark(&section.title);
    flow.paragraph(&[Piece::of(&section.title, Weight::SemiBold, Ink::Text)], 13.5, 1.3);
    if !section.lead.is_empty() {
        flow.space(2.0);
        flow.paragraph(&[Piece::of(&section.lead, Weight::Regular, Ink::Muted)], 8.5, 1.45);
    }
    for block in &section.blocks {
        render_block(flow, block);
    }
}

/// The approximate height of a heading and of the content that stays with it.
fn beginning(section: &Section) -> f64 {
    70.0 + section.blocks.first().map_or(40.0, height_of).min(420.0)
}

/// The approximate height of a block, to keep it with its heading.
fn height_of(block: &Block) -> f64 {
    match block {
        Block::Figure(figure) => {
            let (chart, _) = figure.chart.shortened(MOST_ROWS_DRAWN);
            // A chart may be scaled down to stay on its page.
            chart.draw(CHART_WIDTH).height * Flow::width() / CHART_WIDTH * flow::SMALLEST + 50.0
        }
        Block::Table(_) => 90.0,
        _ => 40.0,
    }
}

fn render_block(flow: &mut Flow, block: &Block) {
    flow.space(10.0);
    match block {
        Block::Figure(figure) => render_figure(flow, figure),
        Block::Table(table) => flow.table(&table.up_to(Detail::Report), MOST_ROWS),
        Block::List(sentences) => {
            let shown = &sentences[..sentences.len().min(MOST_SENTENCES)];
            flow.list(shown, Ink::Text);
            flow.left_out(sentences.len(), MOST_SENTENCES, "line");
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

fn render_figure(flow: &mut Flow, figure: &Figure) {
    let (chart, left_out) = figure.chart.shortened(MOST_ROWS_DRAWN);
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
        let text = format!("The first {} of {} rows.", MOST_ROWS_DRAWN, left_out + MOST_ROWS_DRAWN);
        flow.space(3.0);
        flow.paragraph(&[Piece::of(&text, Weight::Regular, Ink::Muted)], 8.0, 1.4);
    }
    let is_shown = |table: &&Table| table.detail <= Detail::Report;
    if let Some(table) = figure.table.as_ref().filter(is_shown) {
        flow.space(10.0);
        flow.paragraph(&[Piece::of(&table.title, Weight::Regular, Ink::Muted)], 8.0, 1.4);
        flow.table(&table.up_to(Detail::Report), MOST_ROWS);
    }
}
