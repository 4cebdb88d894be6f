//! Paragraphs, lists, tables and charts, one below the other, on as many pages as needed.
//!
//! A page is a drawing; lengths are points (1/72 inch).

use super::grid;
use super::text::{Piece, lines};
use crate::document::Table;
use crate::one_line::one_line;
use crate::sentences::left_out;
use plot::chart::{Anchor, At, Dash, Drawing, Fill, Form, Ink, Mark, Shape};
use plot::font::{self, Weight, width};
use plot::pdf::{Bookmark, Pages};

/// A4.
pub(super) const PAGE: At = (595.28, 841.89);
const MARGIN: f64 = 50.0;
const BOTTOM: f64 = 58.0;
/// Charts may be scaled down to this share of their size.
pub(super) const SMALLEST: f64 = 0.76;

/// A column of words, relative to the current position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
}

/// The pages so far and the current position.
#[derive(Debug)]
pub(super) struct Flow {
    done: Vec<Drawing>,
    page: Drawing,
    y: f64,
    bookmarks: Vec<Bookmark>,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self { done: Vec::new(), page: blank(), y: MARGIN, bookmarks: Vec::new() }
    }

    pub(super) fn width() -> f64 {
        PAGE.0 - 2.0 * MARGIN
    }

    /// Vertical space, except at the top of a page.
    pub(super) fn space(&mut self, height: f64) {
        if self.y > MARGIN {
            self.y += height;
        }
    }

    /// The height that is left on the page.
    pub(super) fn left(&self) -> f64 {
        PAGE.1 - BOTTOM - self.y
    }

    /// Starts the next page where less than `height` is left.
    pub(super) fn need(&mut self, height: f64) {
        if self.y + height > PAGE.1 - BOTTOM && self.y > MARGIN {
            let page = std::mem::replace(&mut self.page, blank());
            self.done.push(page);
            self.y = MARGIN;
        }
    }

    /// Adds a bookmark to the current position.
    pub(super) fn bookmark(&mut self, title: &str) {
        let title = one_line(title).into_owned();
        self.bookmarks.push(Bookmark { title, page: self.done.len(), y: self.y });
    }

    pub(super) fn rule(&mut self) {
        let points = vec![(MARGIN, self.y), (PAGE.0 - MARGIN, self.y)];
        self.mark(Shape::Line { points, width: 0.6, dash: Dash::Solid }, Ink::Grid);
    }

    pub(super) fn paragraph(&mut self, pieces: &[Piece], size: f64, leading: f64) {
        for line in lines(pieces, size, Self::width()) {
            self.need(size * leading);
            self.line(&line, size, (MARGIN, self.y + size));
            self.y += size * leading;
        }
    }

    /// Writes sentences into a column relative to the current position, which stays; returns their height.
    pub(super) fn words_in(
        &mut self,
        pieces: &[Piece],
        size: f64,
        leading: f64,
        column: Column,
    ) -> f64 {
        debug_assert!(
            column.x + column.width <= Self::width() + 0.5,
            "drawn beside the page: {column:?}"
        );
        let lines = lines(pieces, size, column.width);
        for (place, line) in lines.iter().enumerate() {
            let down = column.y + size + place as f64 * size * leading;
            self.line(line, size, (MARGIN + column.x, self.y + down));
        }
        lines.len() as f64 * size * leading
    }

    /// Sentences, each with a dash before it.
    pub(super) fn list(&mut self, sentences: &[String], ink: Ink) {
        for sentence in sentences {
            let size = 8.5;
            let indent = 12.0;
            let pieces = [Piece::of(sentence, Weight::Regular, ink)];
            let height = lines(&pieces, size, Self::width() - indent).len() as f64 * size * 1.42;
            self.need(height);
            self.words_in(
                &[Piece::of("–", Weight::Regular, Ink::Muted)],
                size,
                1.42,
                Column { x: 0.0, y: 0.0, width: indent },
            );
            let column = Column { x: indent, y: 0.0, width: Self::width() - indent };
            self.words_in(&pieces, size, 1.42, column);
            self.y += height + 2.0;
        }
    }

    pub(super) fn legend(&mut self, legend: &[(usize, String)]) {
        let size = 8.0;
        let mut x = 0.0;
        self.need(size * 1.6);
        for (series, name) in legend {
            let name = font::fitted(name, size, Weight::Regular, 200.0);
            let wide = width(&name, size, Weight::Regular) + 26.0;
            if x + wide > Self::width() && x > 0.0 {
                x = 0.0;
                self.y += size * 1.6;
            }
            let at = (MARGIN + x + 4.0, self.y + size * 0.68);
            let form = Form::of(*series);
            let sign = Shape::Sign { at, form, radius: 3.2, fill: Fill::Full };
            self.mark(sign, Ink::Series(*series));
            let piece = [Piece::of(&name, Weight::Regular, Ink::Text)];
            self.words_in(&piece, size, 1.3, Column { x: x + 12.0, y: 0.0, width: wide });
            x += wide;
        }
        self.y += size * 1.9;
    }

    pub(super) fn drawing(&mut self, drawing: &Drawing, scale: f64) {
        // No chart is higher than a page.
        let room = PAGE.1 - BOTTOM - MARGIN - 60.0;
        let scale = scale.min(room / drawing.height);
        // A chart that nearly fits is scaled down to avoid half an empty page.
        let fitting = (PAGE.1 - BOTTOM - self.y) / drawing.height;
        let scale = if fitting >= scale * SMALLEST { scale.min(fitting) } else { scale };
        self.need(drawing.height * scale - 0.01);
        for mark in &drawing.marks {
            let mark = moved(mark, scale, (MARGIN, self.y));
            self.page.marks.push(mark);
        }
        self.y += drawing.height * scale;
    }

    /// The first `most` rows of a table; its heading is repeated on every page.
    pub(super) fn table(&mut self, table: &Table, most: usize) {
        let grid = grid::of(table, most, Self::width());
        self.need(grid.heading.height + grid.rows.first().map_or(0.0, |row| row.height));
        self.row(&grid.heading);
        for row in &grid.rows {
            if self.y + row.height > PAGE.1 - BOTTOM {
                self.need(row.height);
                self.row(&grid.heading);
            }
            self.row(row);
        }
        self.left_out(table.rows.len(), most, "row");
    }

    /// How much of a list or table is left out, if any.
    pub(super) fn left_out(&mut self, all: usize, shown: usize, noun: &str) {
        if let Some(more) = left_out(all, shown, noun) {
            self.space(4.0);
            let text = format!("{more}.");
            self.paragraph(&[Piece::of(&text, Weight::Regular, Ink::Muted)], 8.0, 1.4);
        }
    }

    fn row(&mut self, row: &grid::Row) {
        for mark in &row.marks {
            let mark = moved(mark, 1.0, (MARGIN, self.y));
            self.page.marks.push(mark);
        }
        self.y += row.height;
        let width = if row.is_heading { 0.9 } else { 0.5 };
        let ink = if row.is_heading { Ink::Axis } else { Ink::Grid };
        let points = vec![(MARGIN, self.y), (PAGE.0 - MARGIN, self.y)];
        self.mark(Shape::Line { points, width, dash: Dash::Solid }, ink);
    }

    /// The pages, with `foot` and their number at the bottom of each.
    pub(super) fn finish(mut self, foot: &str) -> Pages {
        self.done.push(self.page);
        let count = self.done.len();
        let y = PAGE.1 - 30.0;
        for (place, page) in self.done.iter_mut().enumerate() {
            let mut words = |at: At, text: String, anchor| {
                let (size, weight) = (7.5, Weight::Regular);
                let shape = Shape::Text { at, text, size, anchor, weight };
                page.marks.push(Mark { shape, ink: Ink::Muted, series: None, tip: None });
            };
            let left = font::fitted(foot, 7.5, Weight::Regular, 380.0);
            words((MARGIN, y), left, Anchor::Start);
            words((PAGE.0 - MARGIN, y), format!("{} of {count}", place + 1), Anchor::End);
        }
        Pages { size: PAGE, pages: self.done, bookmarks: self.bookmarks }
    }

    fn mark(&mut self, shape: Shape, ink: Ink) {
        self.page.marks.push(Mark { shape, ink, series: None, tip: None });
    }

    fn line(&mut self, line: &[Piece], size: f64, (mut x, y): At) {
        for piece in line {
            let (text, weight) = (piece.text().to_owned(), piece.weight);
            let wide = width(&text, size, weight);
            let anchor = Anchor::Start;
            self.mark(Shape::Text { at: (x, y), text, size, anchor, weight }, piece.ink);
            x += wide;
        }
    }
}

fn blank() -> Drawing {
    Drawing { width: PAGE.0, height: PAGE.1, marks: Vec::new() }
}

/// A translated and scaled mark.
fn moved(mark: &Mark, scale: f64, (left, top): At) -> Mark {
    let to = |(x, y): At| (left + x * scale, top + y * scale);
    let all = |points: &[At]| points.iter().copied().map(to).collect();
    let shape = match &mark.shape {
        Shape::Line { points, width, dash } => {
            Shape::Line { points: all(points), width: width * scale, dash: *dash }
        }
        Shape::Area { points } => Shape::Area { points: all(points) },
        Shape::Box { at, size, radius } => Shape::Box {
            at: to(*at),
            size: (size.0 * scale, size.1 * scale),
            radius: radius * scale,
        },
        Shape::Sign { at, form, radius, fill } => {
            Shape::Sign { at: to(*at), form: *form, radius: radius * scale, fill: *fill }
        }
        Shape::Text { at, text, size, anchor, weight } => Shape::Text {
            at: to(*at),
            text: text.clone(),
            size: size * scale,
            anchor: *anchor,
            weight: *weight,
        },
    };
    Mark { shape, ink: mark.ink, series: None, tip: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_full_is_followed_by_another() {
        let mut flow = Flow::new();
        for _ in 0..200 {
            flow.paragraph(&[Piece::of("a line", Weight::Regular, Ink::Text)], 10.0, 1.4);
        }
        assert_eq!(flow.finish("foot").pages.len(), 4);
    }
}
