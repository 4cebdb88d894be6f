//! A document -> Markdown for pull requests: the verdict, the cells, the comparisons and what limits them. Pictures stay
//! on the page.

use super::document::{Block, Document, Entry, Reach, Section, Span, Table};
use std::fmt::Write;

/// More rows than this belong on the page.
const MOST_ROWS: usize = 60;

/// Renders the text.
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
    if let Some(rivals) = &verdict.rivals {
        let _ = writeln!(text, "- {}", escaped(&rivals.text()));
    }
    for note in &verdict.notes {
        let _ = writeln!(text, "- {}", escaped(note));
    }
    for section in &document.sections {
        if section.reach == Reach::Everywhere {
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

/// Only what is not drawn: a section of pictures alone has no place here.
fn render_section(text: &mut String, section: &Section) {
    let mut parts = String::new();
    for block in &section.blocks {
        match block {
            Block::Table(table) => render_table(&mut parts, &table.in_short()),
            Block::Figure(figure) => {
                let told =
                    figure.table.as_ref().filter(|_| figure.table_reach == Reach::Everywhere);
                if let Some(table) = told {
                    let _ = writeln!(parts, "\n### {}", escaped(&figure.title));
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
    let heading = |column: &super::document::Column| match column.unit {
        "" => escaped(&column.title),
        unit => format!("{}, {unit}", escaped(&column.title)),
    };
    let headings: Vec<String> = table.columns.iter().map(heading).collect();
    let rule = |column: &super::document::Column| if column.is_figure { "---:" } else { "---" };
    let rules: Vec<&str> = table.columns.iter().map(rule).collect();
    let _ = writeln!(text, "\n| {} |\n| {} |", headings.join(" | "), rules.join(" | "));
    for row in table.rows.iter().take(MOST_ROWS) {
        let places: Vec<String> = row.iter().map(place).collect();
        let _ = writeln!(text, "| {} |", places.join(" | "));
    }
    if let Some(more) = table.rows.len().checked_sub(MOST_ROWS).filter(|more| *more > 0) {
        let _ = writeln!(text, "\n{more} more rows stand in results.json.");
    }
}

fn place(entry: &Entry) -> String {
    if entry.detail.is_empty() {
        escaped(&entry.text)
    } else {
        format!("{} ({})", escaped(&entry.text), escaped(&entry.detail))
    }
}

/// A text that Markdown, HTML within it, tables and GitHub's mentions leave as it is, on one line.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // A mention would notify a stranger; a reference would link to something else.
            '@' => safe.push_str("&#64;"),
            '#' => safe.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '!' => {
                safe.push('\\');
                safe.push(c);
            }
            c if c.is_control() => safe.push(' '),
            // Marks that turn the direction of what follows.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
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
            "a\\|b &#35; &lt;img src=x&gt; &#64;team \\*x\\* \\[l\\](u)"
        );
    }
}
