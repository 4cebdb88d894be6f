//! A document -> Markdown for pull requests: the verdict, sentences and tables, without charts.

use super::document::{Block, Column, Detail, Document, Entry, Section, Span, Table};
use crate::one_line::one_line;
use crate::sentences::left_out;
use std::fmt::Write;

const MOST_ROWS: usize = 60;

pub fn render(document: &Document) -> String {
    let mut text = format!("# {}\n\n", escaped(&document.title));
    let verdict = &document.verdict;
    for span in &verdict.sentence {
        match span {
            Span::Plain(words) => text.push_str(&escaped(words)),
            Span::Strong(words) => {
                // Writing to a String can't fail.
                let _ = write!(text, "**{}**", escaped(words));
            }
        }
    }
    text.push_str("\n\n");
    if let Some(ties) = &verdict.ties {
        let _ = writeln!(text, "- {}", escaped(&ties.text()));
    }
    for note in &verdict.notes {
        let _ = writeln!(text, "- {}", escaped(note));
    }
    for section in &document.sections {
        if section.detail <= Detail::Report {
            render_section(&mut text, section);
        }
    }
    let _ = writeln!(
        text,
        "\n---\nFleetmark {} · campaign {} · {}",
        escaped(&document.version),
        escaped(&document.campaign),
        escaped(&document.created_at)
    );
    text
}

/// Omits sections that have only charts.
fn render_section(text: &mut String, section: &Section) {
    let mut parts = String::new();
    for block in &section.blocks {
        match block {
            Block::Table(table) => render_table(&mut parts, &table.up_to(Detail::Report)),
            Block::Figure(figure) => {
                let is_shown = |table: &&Table| table.detail <= Detail::Report;
                if let Some(table) = figure.table.as_ref().filter(is_shown) {
                    let titles = (escaped(&figure.title), escaped(&table.title));
                    let _ = writeln!(parts, "\n### {}\n\n{}", titles.0, titles.1);
                    render_table(&mut parts, table);
                }
            }
            Block::List(sentences) => {
                parts.push('\n');
                for sentence in sentences {
                    let _ = writeln!(parts, "- {}", escaped(sentence));
                }
            }
            Block::Missing(reason) => {
                let _ = writeln!(parts, "\n{}", escaped(reason));
            }
            Block::Facts(_) | Block::Code { .. } | Block::Dialogue(_) => {}
        }
    }
    if !parts.is_empty() {
        let _ = writeln!(text, "\n## {}\n{parts}", escaped(&section.title).trim_end());
    }
}

fn render_table(text: &mut String, table: &Table) {
    let headings: Vec<String> =
        table.columns.iter().map(|column| escaped(&column.heading())).collect();
    let rule = |column: &Column| if column.is_figure { "---:" } else { "---" };
    let rules: Vec<&str> = table.columns.iter().map(rule).collect();
    let _ = writeln!(text, "\n| {} |\n| {} |", headings.join(" | "), rules.join(" | "));
    for row in table.rows.iter().take(MOST_ROWS) {
        let places: Vec<String> =
            row.iter().map(|entry: &Entry| escaped(&entry.with_detail())).collect();
        let _ = writeln!(text, "| {} |", places.join(" | "));
    }
    if let Some(more) = left_out(table.rows.len(), MOST_ROWS, "row") {
        let _ = writeln!(text, "\n{more}.");
    }
}

/// A text on one line, escaped for Markdown, HTML within it, tables and GitHub's mentions.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // A mention would notify someone; a reference would link to an issue.
            '@' => safe.push_str("&#64;"),
            '#' => safe.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '!' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_mentions_and_line_ends_stay_words() {
        assert_eq!(
            escaped("a|b\n# <img src=x> @team *x* [l](u)\u{202e}"),
            "a\\|b\\\\n&#35; &lt;img src=x&gt; &#64;team \\*x\\* \\[l\\](u)\\\\u{202e}"
        );
    }
}
