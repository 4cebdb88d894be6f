//! A document -> text for the terminal: the verdict, then the sections of the summary level. Fitted to a width, or as
//! wide as its tables where the text goes to a file.

use crate::document::{Block, Detail, Document, Section, Table, Tone};
use crate::sentences::left_out;
use crate::text_table::{draw, wrapped};
use std::fmt::Write;

/// Longer tables and lists are cut; results.json has all.
const MOST_ROWS: usize = 100;
const MOST_SENTENCES: usize = 12;

/// Words that a terminal shows in color, by their tone.
pub const TONES: [(&str, Tone); 3] =
    [("DEGRADED", Tone::Warn), ("INVALID", Tone::Bad), ("FAILED", Tone::Bad)];

/// The verdict's sentence, with which [`render`] begins.
pub fn lead(document: &Document, width: Option<usize>) -> String {
    wrapped(&document.verdict.text(), width, 0)
}

/// `width` is that of the terminal, in columns.
pub fn render(document: &Document, width: Option<usize>) -> String {
    let verdict = &document.verdict;
    let mut text = format!("{}\n", lead(document, width));
    // Writing to a String can't fail.
    for note in
        verdict.ties.iter().map(super::document::Ties::text).chain(verdict.notes.iter().cloned())
    {
        let _ = writeln!(text, "{}", wrapped(&format!("- {note}"), width, 2));
    }
    for section in &document.sections {
        if section.detail == Detail::Summary {
            render_section(&mut text, section, width);
        }
    }
    text.push('\n');
    for fact in &verdict.facts {
        let fact = format!("{}: {}", fact.title, fact.figure());
        let _ = writeln!(text, "{}", wrapped(&fact, width, 2));
    }
    text
}

fn render_section(text: &mut String, section: &Section, width: Option<usize>) {
    let mut parts = String::new();
    for block in &section.blocks {
        match block {
            Block::Table(found) => parts.extend(table(found, width)),
            Block::Figure(figure) => {
                if let Some((found, drawn)) =
                    figure.table.as_ref().and_then(|it| Some((it, table(it, width)?)))
                {
                    let title = format!("{}. {}:", figure.title, found.title);
                    let _ = write!(parts, "{}\n{drawn}", wrapped(&title, width, 0));
                }
            }
            Block::List(sentences) => {
                for sentence in sentences.iter().take(MOST_SENTENCES) {
                    let _ = writeln!(parts, "{}", wrapped(&format!("- {sentence}"), width, 2));
                }
                if let Some(more) = left_out(sentences.len(), MOST_SENTENCES, "line") {
                    let _ = writeln!(parts, "- {more}");
                }
            }
            Block::Missing(_) | Block::Facts(_) | Block::Code { .. } | Block::Dialogue(_) => {}
        }
    }
    if !parts.is_empty() {
        let _ = write!(text, "\n{}\n{parts}", wrapped(&section.title, width, 0));
    }
}

/// `None` for a table of a higher level of detail.
fn table(table: &Table, width: Option<usize>) -> Option<String> {
    if table.detail > Detail::Summary {
        return None;
    }
    let shown = table.up_to(Detail::Summary);
    let drawn = draw(&shown.columns, &shown.rows[..shown.rows.len().min(MOST_ROWS)], width);
    let mut text = drawn.text;
    text.extend(left_out(shown.rows.len(), MOST_ROWS, "row").map(|more| format!("{more}\n")));
    if !drawn.left_out.is_empty() {
        let note = format!(
            "Too wide for this terminal: {}; the HTML report and results.json have all figures.",
            drawn.left_out.join("; ")
        );
        let _ = writeln!(text, "{}", wrapped(&note, width, 0));
    }
    Some(text)
}
