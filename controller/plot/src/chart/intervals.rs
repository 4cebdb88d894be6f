//! A row for each figure: a sign at its value and a line over its interval. Rows share one axis, so that they can be
//! compared by eye.

use super::axis::{Axis, Ticks};
use super::{Anchor, Dash, Drawing, Fill, Form, Ink, SIZE, SMALL, Shape, scale::Scale};
use crate::font::{Weight, fitted, width};

#[derive(Debug, Clone, PartialEq)]
pub struct Intervals {
    pub axis: Axis,
    pub rows: Vec<Row>,
    pub reference: Option<Reference>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    pub value: f64,
    pub less: String,
    pub more: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub name: String,
    pub detail: String,
    pub series: usize,
    /// The figure; none where it wasn't measured.
    pub value: Option<f64>,
    pub low: Option<f64>,
    /// The upper end. Where there is none beside a lower one, or it is far away, the line runs out of the chart.
    pub high: Option<f64>,
    /// Small strokes for the parts, with tooltips.
    pub parts: Vec<(f64, String)>,
    pub fill: Fill,
    /// The text at the end of the row.
    pub figure: String,
    pub tip: String,
}

/// From this width on, names are next to their rows instead of above.
const NAMES_LEFT_WIDTH: f64 = 560.0;
const AXIS_HEIGHT: f64 = 46.0;

struct Layout {
    left: f64,
    right: f64,
    top: f64,
    row: f64,
    has_names_left: bool,
}

impl Intervals {
    pub(super) fn draw(&self, total: f64) -> Drawing {
        let layout = self.layout(total);
        let bottom = layout.top + layout.row * self.rows.len() as f64;
        let height = bottom + AXIS_HEIGHT;
        let mut drawing = Drawing { width: total, height, marks: Vec::new() };
        let scale = self.axis.scale(&self.values(), &self.ends()).onto(layout.left, layout.right);
        self.draw_axis(&mut drawing, &scale, &layout, bottom);
        for (place, row) in self.rows.iter().enumerate() {
            let top = layout.top + layout.row * place as f64;
            draw_row(&mut drawing, row, &scale, &layout, top);
        }
        drawing
    }

    fn ends(&self) -> Vec<f64> {
        self.rows.iter().flat_map(|row| [row.low, row.high]).flatten().collect()
    }

    fn values(&self) -> Vec<f64> {
        let values = self.rows.iter().filter_map(|row| row.value);
        let parts = self.rows.iter().flat_map(|row| row.parts.iter().map(|part| part.0));
        values.chain(parts).chain(self.reference.iter().map(|reference| reference.value)).collect()
    }

    /// Whether several rows share a name.
    fn is_grouped(&self) -> bool {
        self.rows.iter().any(|row| row.name.is_empty())
    }

    fn layout(&self, total: f64) -> Layout {
        let has_names_left = total >= NAMES_LEFT_WIDTH;
        let widest = |of: &dyn Fn(&Row) -> f64| self.rows.iter().map(of).fold(0.0, f64::max);
        let name = |row: &Row| {
            width(&row.name, SIZE, Weight::SemiBold)
                + width(&row.detail, SMALL, Weight::Regular)
                + 8.0
        };
        let figure = |row: &Row| width(&row.figure, SMALL, Weight::Regular);
        let top = if self.reference.is_some() { 26.0 } else { 8.0 };
        if has_names_left {
            let left = (widest(&name) + 14.0).min(total * 0.36);
            let right = total - widest(&figure) - 16.0;
            // Rows without a name of their own lie closer to the one that has it.
            let row = if self.is_grouped() { 21.0 } else { 29.0 };
            Layout { left, right: right.max(left + 80.0), top, row, has_names_left }
        } else {
            let row = if self.is_grouped() { 40.0 } else { 48.0 };
            Layout { left: 10.0, right: total - 10.0, top, row, has_names_left }
        }
    }

    fn draw_axis(&self, drawing: &mut Drawing, scale: &Scale, layout: &Layout, bottom: f64) {
        let most = if layout.right - layout.left > 360.0 { 6 } else { 4 };
        let ticks = Ticks { most, top: layout.top, bottom, ink: Ink::Grid, labels: bottom };
        self.axis.draw_ticks(drawing, scale, &ticks);
        let middle = f64::midpoint(layout.left, layout.right);
        let caption = self.axis.caption(scale);
        drawing.words((middle, bottom + 37.0), caption, Anchor::Middle, Ink::Muted);
        if let Some(reference) = &self.reference {
            let x = scale.at(reference.value);
            drawing.line((x, layout.top - 4.0), (x, bottom), 1.5, Ink::Axis);
            let y = layout.top - 10.0;
            let mut side = |text: &str, x: f64, anchor, room: f64| {
                let text = fitted(text, SMALL, Weight::Regular, room);
                // A cut label is useless.
                if !text.ends_with('…') {
                    drawing.words((x, y), text, anchor, Ink::Muted);
                }
            };
            side(&format!("← {}", reference.less), x - 10.0, Anchor::End, x - layout.left - 10.0);
            side(&format!("{} →", reference.more), x + 10.0, Anchor::Start, layout.right - x);
        } else {
            drawing.line((layout.left, bottom), (layout.right, bottom), 1.0, Ink::Axis);
        }
    }
}

fn draw_row(drawing: &mut Drawing, row: &Row, scale: &Scale, layout: &Layout, top: f64) {
    let total = drawing.width;
    let (y, name_y) = if layout.has_names_left {
        (top + layout.row / 2.0, top + layout.row / 2.0 + 4.0)
    } else {
        (top + 33.0, top + 15.0)
    };
    let mut figure = row.figure.as_str();
    let room = |figure: &str| total - width(figure, SMALL, Weight::Regular) - 12.0;
    // On a phone, the name comes before the interval, which is drawn below it anyway.
    if !layout.has_names_left && name_width(row) > room(figure) {
        figure = figure.split_once(" (").map_or(figure, |(value, _)| value.trim_end());
    }
    let room = if layout.has_names_left { layout.left - 14.0 } else { room(figure) };
    draw_name(drawing, row, name_y, room);
    drawing.words((total, name_y), figure.to_owned(), Anchor::End, Ink::Text).of(row.series);

    drawing.line((layout.left, y), (layout.right, y), 1.0, Ink::Grid);
    let ink = Ink::Series(row.series);
    for (part, tip) in &row.parts {
        let x = scale.at(*part);
        drawing.line((x, y - 7.0), (x, y + 7.0), 2.0, ink).of(row.series).tip(tip.clone());
    }
    let Some(value) = row.value else { return };
    if let Some(low) = row.low {
        let high = row.high.filter(|high| !scale.is_beyond(*high));
        let end = high.map_or(layout.right, |high| scale.at(high));
        drawing.line((scale.at(low), y), (end, y), 3.0, Ink::Wash(row.series)).of(row.series);
        let cap = |drawing: &mut Drawing, x: f64| {
            drawing.line((x, y - 4.5), (x, y + 4.5), 1.5, ink).of(row.series);
        };
        cap(drawing, scale.at(low));
        if high.is_some() {
            cap(drawing, end);
        } else {
            let points = vec![(end - 6.0, y - 5.0), (end, y), (end - 6.0, y + 5.0)];
            let arrow = Shape::Line { points, width: 1.5, dash: Dash::Solid };
            drawing.add(arrow, ink).of(row.series);
        }
    }
    let at = (scale.at(value), y);
    let sign = Shape::Sign { at, form: Form::of(row.series), radius: 5.0, fill: row.fill };
    drawing.add(sign, ink).of(row.series).tip(row.tip.clone());
}

fn name_width(row: &Row) -> f64 {
    let name = width(&row.name, SIZE, Weight::SemiBold);
    if row.detail.is_empty() {
        name
    } else {
        name + 8.0 + width(&row.detail, SMALL, Weight::Regular)
    }
}

fn draw_name(drawing: &mut Drawing, row: &Row, y: f64, room: f64) {
    let name = fitted(&row.name, SIZE, Weight::SemiBold, room);
    let used = width(&name, SIZE, Weight::SemiBold) + 8.0;
    drawing.title((0.0, y), name);
    if !row.detail.is_empty() && room - used > 24.0 {
        let detail = fitted(&row.detail, SMALL, Weight::Regular, room - used);
        drawing.words((used, y), detail, Anchor::Start, Ink::Muted);
    }
}
