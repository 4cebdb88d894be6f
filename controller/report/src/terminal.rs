//! A document -> text for the terminal: the verdict, then the sections of the summary level.

use crate::document::{Block, Column, Detail, Document, Entry, Section, Table};
use crate::sentences::left_out;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement};
use std::fmt::Write;

/// Longer tables and lists are cut; results.json has all.
const MOST_ROWS: usize = 100;
const MOST_SENTENCES: usize = 12;

pub fn render(document: &Document) -> String {
    let verdict = &document.verdict;
    let mut text = format!("{}\n", verdict.text());
    // Writing to a String can't fail.
    for note in
        verdict.ties.iter().map(super::document::Ties::text).chain(verdict.notes.iter().cloned())
    {
        let _ = writeln!(text, "- {note}");
    }
    for section in &document.sections {
        if section.detail == Detail::Summary {
            render_section(&mut text, section);
        }
    }
    text.push('\n');
    for fact in &verdict.facts {
        let _ = writeln!(text, "{}: {}", fact.title, fact.figure());
    }
    text
}

fn render_section(text: &mut String, section: &Section) {
    let mut parts = String::new();
    for block in &section.blocks {
        match block {
            Block::Table(found) => parts.extend(table(found)),
            Block::Figure(figure) => {
                if let Some((found, drawn)) =
                    figure.table.as_ref().and_then(|it| Some((it, table(it)?)))
                {
                    let _ = write!(parts, "{}. {}:\n{drawn}", figure.title, found.title);
                }
            }
            Block::List(sentences) => {
                for sentence in sentences.iter().take(MOST_SENTENCES) {
                    let _ = writeln!(parts, "- {sentence}");
                }
                if let Some(more) = left_out(sentences.len(), MOST_SENTENCES, "line") {
                    let _ = writeln!(parts, "- {more}");
                }
            }
            Block::Missing(_) | Block::Facts(_) | Block::Code { .. } | Block::Dialogue(_) => {}
        }
    }
    if !parts.is_empty() {
        let _ = write!(text, "\n{}\n{parts}", section.title);
    }
}

/// `None` for a table of a higher level of detail.
fn table(table: &Table) -> Option<String> {
    if table.detail > Detail::Summary {
        return None;
    }
    let shown = table.up_to(Detail::Summary);
    let mut drawn = grid(shown.columns.iter().map(Column::heading));
    for row in shown.rows.iter().take(MOST_ROWS) {
        drawn.add_row(row.iter().map(Entry::with_detail));
    }
    for (column, drawn) in shown.columns.iter().zip(drawn.column_iter_mut()) {
        if column.is_figure {
            drawn.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!("{drawn}\n");
    text.extend(left_out(shown.rows.len(), MOST_ROWS, "row").map(|more| format!("{more}\n")));
    Some(text)
}

/// An empty table with the borders of all terminal output.
pub(crate) fn grid(headings: impl Iterator<Item = impl Into<String>>) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.map(Into::into).collect::<Vec<String>>());
    table
}
