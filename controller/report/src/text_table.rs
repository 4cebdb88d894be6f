//! A table as text. On a terminal it is fitted to the width: entries wrap, details move below their figures, and the
//! last columns are left out before lines break.

use crate::document::{Column, Entry};
use crate::one_line::one_line;
use comfy_table::presets::{UTF8_FULL_CONDENSED, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width};
use unicode_width::UnicodeWidthStr;

/// A narrower column of words is hard to read.
const NARROWEST_WORDS: usize = 14;
/// Rather than leave out more than this share of the columns, details are left out.
const MOST_LEFT_OUT: f64 = 0.4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// Ends with a newline.
    pub(crate) text: String,
    /// The headings of columns that didn't fit.
    pub(crate) left_out: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Details {
    Inline,
    Below,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Box,
    /// Only lines between heading and rows.
    Open,
}

/// How the first columns are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    columns: usize,
    details: Details,
    frame: Frame,
    /// Whether headings may wrap.
    wraps: bool,
}

/// Draws `rows` in at most `width` columns of text, or as wide as they are.
pub(crate) fn draw(columns: &[Column], rows: &[Vec<Entry>], width: Option<usize>) -> Drawn {
    let whole = Layout {
        columns: columns.len(),
        details: Details::Inline,
        frame: Frame::Box,
        wraps: false,
    };
    let fitting = width.and_then(|width| {
        let widths = |layout| Some((layout, widths(columns, rows, layout, width)?));
        layouts(columns.len()).find_map(widths)
    });
    let (layout, widths) = match fitting {
        Some((layout, widths)) => (layout, Some(widths)),
        None => (whole, None),
    };
    let mut table = comfy_table::Table::new();
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.load_style(match layout.frame {
        Frame::Box => UTF8_FULL_CONDENSED,
        Frame::Open => UTF8_HORIZONTAL_ONLY,
    });
    let kept = &columns[..layout.columns];
    table.set_header(kept.iter().map(heading).collect::<Vec<String>>());
    for row in rows {
        table.add_row(row[..layout.columns].iter().map(|entry| text(entry, layout.details)));
    }
    for (place, (column, drawn)) in kept.iter().zip(table.column_iter_mut()).enumerate() {
        if column.is_figure {
            drawn.set_cell_alignment(CellAlignment::Right);
        }
        if let Some(width) = widths.as_ref().and_then(|widths| u16::try_from(widths[place]).ok()) {
            drawn.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + PADDING)));
        }
    }
    let left_out = columns[layout.columns..].iter().map(heading).collect();
    Drawn { text: format!("{table}\n"), left_out }
}

/// Spaces around the text of a column.
const PADDING: u16 = 2;

/// From the fullest to the sparsest.
fn layouts(columns: usize) -> impl Iterator<Item = Layout> {
    let details = |columns, details| {
        let of = move |frame, wraps| Layout { columns, details, frame, wraps };
        [of(Frame::Box, false), of(Frame::Box, true), of(Frame::Open, true)]
    };
    let most_left_out = (columns as f64 * MOST_LEFT_OUT).floor();
    let with_details =
        (1..=columns).rev().filter(move |kept| (columns - kept) as f64 <= most_left_out);
    let with_details = with_details.flat_map(move |kept| {
        [Details::Inline, Details::Below].into_iter().flat_map(move |place| details(kept, place))
    });
    let without = (1..=columns).rev().flat_map(move |kept| details(kept, Details::None));
    with_details.chain(without)
}

/// The width of the text of each column; `None` if they don't fit.
fn widths(
    columns: &[Column],
    rows: &[Vec<Entry>],
    layout: Layout,
    width: usize,
) -> Option<Vec<usize>> {
    let Layout { columns: kept, details, frame, wraps } = layout;
    let natural = |place: usize| {
        let heading = heading(&columns[place]);
        let heading = if wraps { longest_word(&heading) } else { heading.width() };
        rows.iter().map(|row| widest_line(&text(&row[place], details))).fold(heading, usize::max)
    };
    let mut widths: Vec<usize> = (0..kept).map(natural).collect();
    let least = |place: usize| {
        let longest = |row: &Vec<Entry>| longest_word(&text(&row[place], details));
        let entries = rows.iter().map(longest).max().unwrap_or_default();
        let least = entries.max(longest_word(&heading(&columns[place]))).max(NARROWEST_WORDS);
        if columns[place].is_figure { usize::MAX } else { least }
    };
    let borders = match frame {
        Frame::Box => kept + 1,
        // A space between columns.
        Frame::Open => kept - 1,
    };
    let borders = borders + kept * usize::from(PADDING);
    loop {
        let sum = widths.iter().sum::<usize>() + borders;
        if sum <= width {
            return Some(widths);
        }
        // The widest column of words gives way.
        let shrinkable = (0..kept).filter(|place| widths[*place] > least(*place));
        let widest = shrinkable.max_by_key(|place| widths[*place])?;
        widths[widest] -= (sum - width).min(widths[widest] - least(widest));
    }
}

fn heading(column: &Column) -> String {
    one_line(&column.heading()).into_owned()
}

fn text(entry: &Entry, details: Details) -> String {
    match details {
        Details::Inline => one_line(&entry.with_detail()).into_owned(),
        Details::Below if !entry.detail.is_empty() => {
            let whole = entry.with_detail();
            let detail = whole.strip_prefix(&entry.text).unwrap_or(&entry.detail);
            format!("{}\n{}", one_line(&entry.text), one_line(detail.trim_start()))
        }
        Details::Below | Details::None => one_line(&entry.text).into_owned(),
    }
}

fn widest_line(text: &str) -> usize {
    text.lines().map(UnicodeWidthStr::width).max().unwrap_or_default()
}

fn longest_word(text: &str) -> usize {
    text.split_whitespace().map(UnicodeWidthStr::width).max().unwrap_or_default()
}

/// Breaks a line between words; further lines are indented. A word that is too long stays whole.
pub(crate) fn wrapped(text: &str, width: Option<usize>, indent: usize) -> String {
    let text = one_line(text);
    let Some(width) = width else { return text.into_owned() };
    let (mut out, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let wide = word.width();
        if used > 0 && used + 1 + wide > width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += wide;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let figure = (0.0..1e6_f64, 0.0..1e3_f64).prop_map(|(value, spread)| Entry {
            detail: format!("{:.3} to {:.3}", value - spread, value + spread),
            ..Entry::figure(Some(value))
        });
        prop_oneof!["[a-z]{1,9}( [a-z]{1,9}){0,8}".prop_map(Entry::words), figure]
    }

    fn table() -> impl Strategy<Value = (Vec<Column>, Vec<Vec<Entry>>)> {
        (1..12_usize, 0..6_usize).prop_flat_map(|(columns, rows)| {
            let column = ("[A-Z][a-z]{0,9}( [a-z0-9]{1,9}){0,3}", any::<bool>())
                .prop_map(|(title, is_figure)| Column { is_figure, ..Column::words(title) });
            (
                prop::collection::vec(column, columns),
                prop::collection::vec(prop::collection::vec(entry(), columns), rows),
            )
        })
    }

    proptest! {
        #[test]
        fn a_table_fits_and_every_column_is_drawn_or_named(
            (columns, rows) in table(),
            width in 80..160_usize,
        ) {
            // Of a column of figures, no entry is longer than a third of the width.
            prop_assume!(rows.iter().flatten().zip(columns.iter().cycle()).all(|(entry, column)| {
                !column.is_figure || entry.text.width() < 26
            }));
            let drawn = draw(&columns, &rows, Some(width));
            for line in drawn.text.lines() {
                prop_assert!(line.width() <= width, "{} > {width}:\n{}", line.width(), drawn.text);
            }
            prop_assert!(drawn.left_out.len() < columns.len());
        }

        #[test]
        fn a_wrapped_line_keeps_its_words(text in "[a-z]{1,12}( [a-z]{1,12}){0,40}", width in 20..80_usize) {
            let wrapped = wrapped(&text, Some(width), 2);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&wrapped), words(&text));
            prop_assert!(wrapped.lines().all(|line| line.width() <= width));
        }
    }
}
