//! A table as text. On a terminal it is fitted to the width: entries wrap, details move below their figures, and the
//! last columns are left out before lines break.

use crate::document::{Column, Entry};
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
    Beside,
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
        details: Details::Beside,
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
    table.set_header(kept.iter().map(Column::heading).collect::<Vec<String>>());
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
    let left_out = columns[layout.columns..].iter().map(Column::heading).collect();
    Drawn { text: format!("{table}\n"), left_out }
}

/// Spaces in a column beside its text.
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
        [Details::Beside, Details::Below].into_iter().flat_map(move |beside| details(kept, beside))
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
        let heading = columns[place].heading();
        let heading = if wraps { longest_word(&heading) } else { heading.width() };
        rows.iter().map(|row| widest_line(&text(&row[place], details))).fold(heading, usize::max)
    };
    let mut widths: Vec<usize> = (0..kept).map(natural).collect();
    let least = |place: usize| {
        let longest = |row: &Vec<Entry>| longest_word(&text(&row[place], details));
        let entries = rows.iter().map(longest).max().unwrap_or_default();
        let least = entries.max(longest_word(&columns[place].heading())).max(NARROWEST_WORDS);
        if columns[place].is_figure { usize::MAX } else { least }
    };
    let borders = match frame {
        Frame::Box => kept + 1,
        Frame::Open => 0,
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

fn text(entry: &Entry, details: Details) -> String {
    match details {
        Details::Beside => entry.with_detail(),
        Details::Below if !entry.detail.is_empty() => {
            let whole = entry.with_detail();
            let detail = whole.strip_prefix(&entry.text).unwrap_or(&entry.detail);
            format!("{}\n{}", entry.text, detail.trim_start())
        }
        Details::Below | Details::None => entry.text.clone(),
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
    let Some(width) = width else { return text.to_owned() };
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
