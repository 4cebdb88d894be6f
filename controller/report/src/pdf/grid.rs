//! A table on a page: columns as wide as their words need, rows as high as their longest entry.

use super::text::{Piece, lines};
use crate::document::{Column, Entry, Table, Tone};
use plot::chart::{Anchor, Ink, Mark, Shape};
use plot::font::{Weight, drawable, width};

const SIZE: f64 = 7.5;
const DETAIL: f64 = 6.4;
const LEADING: f64 = 1.32;
const GUTTER: f64 = 9.0;
const PADDING: f64 = 4.0;
/// Words of one entry beyond this make no column wider.
const WIDEST: f64 = 170.0;
/// Columns of words are narrowed to this share of their longest word before figures are narrowed.
const LEAST_SHARE: f64 = 0.15;

/// The rows of a table, ready to be placed.
#[derive(Debug)]
pub(super) struct Grid {
    pub(super) heading: Row,
    pub(super) rows: Vec<Row>,
}

/// A row, from its own top left corner.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) marks: Vec<Mark>,
    pub(super) height: f64,
    pub(super) is_heading: bool,
}

/// Lays out a heading and the first `most` rows in a width.
pub(super) fn of(table: &Table, most: usize, total: f64) -> Grid {
    let shown = &table.rows[..table.rows.len().min(most)];
    let widths = widths(&table.columns, shown, total);
    let heading: Vec<_> = table.columns.iter().map(heading_of).collect();
    let row =
        |entries: &[Vec<Words>], is_heading| row(&table.columns, entries, &widths, is_heading);
    Grid {
        heading: row(&heading, true),
        rows: shown
            .iter()
            .map(|entries| row(&entries.iter().map(entry_of).collect::<Vec<_>>(), false))
            .collect(),
    }
}

struct Words {
    text: String,
    size: f64,
    weight: Weight,
    ink: Ink,
}

fn heading_of(column: &Column) -> Vec<Words> {
    let words = |text: &str| Words {
        text: drawable(text),
        size: DETAIL + 0.4,
        weight: Weight::SemiBold,
        ink: Ink::Muted,
    };
    let mut all = vec![words(&column.title)];
    if !column.unit.is_empty() {
        all.push(Words { weight: Weight::Regular, ..words(column.unit) });
    }
    all
}

fn entry_of(entry: &Entry) -> Vec<Words> {
    let ink = match entry.tone {
        Tone::Plain => Ink::Text,
        Tone::Muted => Ink::Muted,
        Tone::Good => Ink::Good,
        Tone::Warn => Ink::Warn,
        Tone::Bad => Ink::Bad,
    };
    let weight = Weight::Regular;
    let mut all = vec![Words { text: drawable(&entry.text), size: SIZE, weight, ink }];
    if !entry.detail.is_empty() {
        let (text, ink) = (drawable(&entry.detail), Ink::Muted);
        all.push(Words { text, size: DETAIL, weight, ink });
    }
    all
}

/// The widths of the columns: natural ones where they fit, else between the longest word and the natural one.
fn widths(columns: &[Column], rows: &[Vec<Entry>], total: f64) -> Vec<f64> {
    let total = total - GUTTER * (columns.len().max(1) as f64 - 1.0);
    let measure = |place: usize, of: &dyn Fn(&Words) -> f64| {
        let entries = rows.iter().filter_map(|row| row.get(place)).flat_map(entry_of);
        let all = heading_of(&columns[place]).into_iter().chain(entries);
        all.map(|words| of(&words)).fold(0.0, f64::max).min(WIDEST)
    };
    let natural: Vec<f64> = (0..columns.len())
        .map(|place| measure(place, &|words| width(&words.text, words.size, words.weight)))
        .collect();
    let longest = |words: &Words| {
        let each = words.text.split(' ').map(|word| width(word, words.size, words.weight));
        each.fold(0.0, f64::max).min(WIDEST / 2.0)
    };
    let least: Vec<f64> = (0..columns.len()).map(|place| measure(place, &longest)).collect();
    let (wanted, needed): (f64, f64) = (natural.iter().sum(), least.iter().sum());
    if wanted <= total {
        let spare = (total - wanted) / columns.len().max(1) as f64;
        return natural.iter().map(|width| width + spare).collect();
    }
    if needed >= total {
        // Words may break anywhere, but a broken number reads as another one.
        let figures: f64 =
            columns.iter().zip(&least).filter(|(column, _)| column.is_figure).map(|(_, w)| w).sum();
        let share = (total - figures) / (needed - figures);
        if share < LEAST_SHARE || !share.is_finite() {
            return least.iter().map(|width| width * total / needed).collect();
        }
        let narrowed = |(column, width): (&Column, &f64)| {
            if column.is_figure { *width } else { width * share }
        };
        return columns.iter().zip(&least).map(narrowed).collect();
    }
    let share = (total - needed) / (wanted - needed);
    least.iter().zip(&natural).map(|(least, wide)| least + (wide - least) * share).collect()
}

fn row(columns: &[Column], entries: &[Vec<Words>], widths: &[f64], is_heading: bool) -> Row {
    let mut marks = Vec::new();
    let mut height: f64 = 0.0;
    let mut left = 0.0;
    for ((column, entry), wide) in columns.iter().zip(entries).zip(widths) {
        let mut y = PADDING;
        for words in entry {
            let piece = Piece::of(&words.text, words.weight, words.ink);
            for line in lines(&[piece], words.size, wide + 0.01) {
                let text: String = line.iter().map(Piece::text).collect();
                let (x, anchor) = if column.is_figure {
                    (left + wide, Anchor::End)
                } else {
                    (left, Anchor::Start)
                };
                let shape = Shape::Text {
                    at: (x, y + words.size),
                    text: text.trim_end().to_owned(),
                    size: words.size,
                    anchor,
                    weight: words.weight,
                };
                marks.push(Mark { shape, ink: words.ink, series: None, tip: None });
                y += words.size * LEADING;
            }
        }
        height = height.max(y + PADDING - 1.0);
        left += wide + GUTTER;
    }
    Row { marks, height, is_heading }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_broken_before_a_number_is() {
        let figure = "0.000000000912";
        let names = ["Target", "Model"].map(Column::words);
        let figures = (0..6).map(|_| Column::figures("Cost", "USD"));
        let columns: Vec<Column> = names.into_iter().chain(figures).collect();
        let name = Entry::words("t".repeat(64));
        let cells = (0..6).map(|_| Entry::words(figure));
        let entries: Vec<Entry> = [name.clone(), name].into_iter().chain(cells).collect();
        let widths = widths(&columns, std::slice::from_ref(&entries), 500.0);
        let words: Vec<_> = entries.iter().map(entry_of).collect();
        let row = row(&columns, &words, &widths, false);
        let is_figure =
            |mark: &&Mark| matches!(&mark.shape, Shape::Text { text, .. } if text == figure);
        assert_eq!(row.marks.iter().filter(is_figure).count(), 6);
    }
}
