//! Series over an axis, in one or several panels side by side: curves, points with intervals, steps.

use super::axis::{Axis, Ticks};
use super::{Anchor, At, Dash, Drawing, Fill, Form, Ink, SIZE, SMALL, Shape, scale::Scale};
use crate::font::{Weight, fitted, width};

#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    pub panels: Vec<Panel>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Empty for a single panel.
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub curves: Vec<Curve>,
    pub guides: Vec<Guide>,
    pub bands: Vec<Band>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Which series; none for a line that belongs to all.
    pub series: Option<usize>,
    pub spots: Vec<Spot>,
    pub join: Join,
    pub dash: Dash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    Straight,
    /// By steps: a value holds until the next one.
    Steps,
    None,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    pub at: At,
    /// The ends of its intervals.
    pub x_ends: Option<At>,
    pub y_ends: Option<At>,
    /// Its sign; none where only the line matters.
    pub sign: Option<Fill>,
    pub tip: Option<String>,
}

impl Spot {
    pub fn of_line(at: At) -> Self {
        Self { at, x_ends: None, y_ends: None, sign: None, tip: None }
    }
}

/// A value of `x` with a meaning of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Guide {
    pub value: f64,
    pub text: String,
}

/// A stretch of `x` with a meaning of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    pub from: f64,
    pub to: f64,
    pub text: String,
}

/// Draws bands, and the ticks of `y` with their lines.
pub(super) fn draw_back(
    drawing: &mut Drawing,
    frame: &Frame,
    (bands, x): (&[Band], &Scale),
    (y_ticks, y): (&[(f64, String)], &Scale),
) {
    for band in bands {
        let (from, to) = (x.at(band.from), x.at(band.to));
        let size = ((to - from).max(1.0), frame.bottom - frame.top);
        let area = Shape::Box { at: (from, frame.top), size, radius: 0.0 };
        drawing.add(area, Ink::Band).tip(band.text.clone());
    }
    for (value, word) in y_ticks {
        let at = y.at(*value);
        drawing.line((frame.left, at), (frame.right, at), 1.0, Ink::Grid);
        drawing.words((frame.left - 8.0, at + 4.0), word.clone(), Anchor::End, Ink::Muted);
    }
}

/// From this width on, two panels are side by side.
const TWO_COLUMNS_WIDTH: f64 = 600.0;
const GAP: f64 = 36.0;
/// Between series that share a level.
const BETWEEN: f64 = 5.0;

pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Plane {
    pub(super) fn draw(&self, total: f64) -> Drawing {
        let columns = if total >= TWO_COLUMNS_WIDTH && self.panels.len() > 1 { 2 } else { 1 };
        let panel_width = (total - GAP * (columns as f64 - 1.0)) / columns as f64;
        let panel_height = (panel_width * 0.68).clamp(230.0, 330.0);
        let rows = self.panels.len().div_ceil(columns);
        let height = (panel_height + 14.0) * rows as f64 - 14.0;
        let mut drawing = Drawing { width: total, height, marks: Vec::new() };
        for (place, panel) in self.panels.iter().enumerate() {
            let left = (place % columns) as f64 * (panel_width + GAP);
            let top = (place / columns) as f64 * (panel_height + 14.0);
            panel.draw(&mut drawing, left, top, (panel_width, panel_height));
        }
        drawing
    }
}

impl Panel {
    fn spots(&self) -> impl Iterator<Item = &Spot> {
        self.curves.iter().flat_map(|curve| &curve.spots)
    }

    fn draw(&self, drawing: &mut Drawing, left: f64, top: f64, (wide, high): (f64, f64)) {
        let ends = |ends: fn(&Spot) -> Option<At>| -> Vec<f64> {
            self.spots().filter_map(ends).flat_map(|(low, high)| [low, high]).collect()
        };
        let values = |of: fn(&Spot) -> f64| -> Vec<f64> { self.spots().map(of).collect() };
        let x = self.x.scale(&values(|spot| spot.at.0), &ends(|spot| spot.x_ends));
        let y = self.y.scale(&values(|spot| spot.at.1), &ends(|spot| spot.y_ends));
        let y_ticks = self.y.ticks(&y, 5);
        let widest = y_ticks.iter().map(|(_, word)| width(word, SMALL, Weight::Regular));
        let title_height = if self.title.is_empty() { 0.0 } else { 22.0 };
        let frame = Frame {
            left: left + widest.fold(0.0, f64::max) + 10.0,
            right: left + wide - 8.0,
            top: top + title_height + 26.0,
            bottom: top + high - 44.0,
        };
        let (x, y) = (x.onto(frame.left, frame.right), y.onto(frame.bottom, frame.top));
        self.draw_words(drawing, &frame, (left, top + title_height), &y);
        draw_back(drawing, &frame, (&self.bands, &x), (&y_ticks, &y));
        self.draw_grid(drawing, &frame, &x);
        // Series share the levels of an axis: side by side, none hides another's interval.
        let step = if self.x.levels.is_some() { BETWEEN } else { 0.0 };
        let middle = (self.curves.len() as f64 - 1.0) / 2.0;
        for (place, curve) in self.curves.iter().enumerate() {
            curve.draw(drawing, &x, &y, (place as f64 - middle) * step);
        }
    }

    fn draw_words(&self, drawing: &mut Drawing, frame: &Frame, (left, top): At, y: &Scale) {
        let room = frame.right - left;
        if !self.title.is_empty() {
            let text = fitted(&self.title, SIZE, Weight::SemiBold, room);
            drawing.title((left, top - 6.0), text);
        }
        let caption = fitted(&self.y.caption(y), SMALL, Weight::Regular, room);
        drawing.words((left, top + 13.0), format!("↑ {caption}"), Anchor::Start, Ink::Muted);
    }

    fn draw_grid(&self, drawing: &mut Drawing, frame: &Frame, x: &Scale) {
        let most = if frame.right - frame.left > 420.0 { 7 } else { 4 };
        let (top, bottom) = (frame.bottom, frame.bottom + 4.0);
        let ticks = Ticks { most, top, bottom, ink: Ink::Axis, labels: frame.bottom };
        self.x.draw_ticks(drawing, x, &ticks);
        drawing.line((frame.left, frame.bottom), (frame.right, frame.bottom), 1.0, Ink::Axis);
        let caption = fitted(&self.x.caption(x), SMALL, Weight::Regular, frame.right - frame.left);
        let middle = f64::midpoint(frame.left, frame.right);
        drawing.words((middle, frame.bottom + 37.0), caption, Anchor::Middle, Ink::Muted);
        for guide in &self.guides {
            let at = x.at(guide.value);
            let points = vec![(at, frame.top), (at, frame.bottom)];
            drawing.add(Shape::Line { points, width: 1.2, dash: Dash::Dashed }, Ink::Axis);
            let is_right = at > f64::midpoint(frame.left, frame.right);
            let (anchor, shift, room) = if is_right {
                (Anchor::End, -6.0, at - frame.left)
            } else {
                (Anchor::Start, 6.0, frame.right - at)
            };
            let text = fitted(&guide.text, SMALL, Weight::Regular, room - 8.0);
            drawing.words((at + shift, frame.top + 10.0), text, anchor, Ink::Text);
        }
    }
}

impl Curve {
    pub(super) fn draw(&self, drawing: &mut Drawing, x: &Scale, y: &Scale, shift: f64) {
        let ink = self.series.map_or(Ink::Axis, Ink::Series);
        let place = |at: At| (x.at(at.0) + shift, y.at(at.1));
        let mut points: Vec<At> = Vec::with_capacity(self.spots.len());
        for spot in &self.spots {
            let at = place(spot.at);
            if self.join == Join::Steps
                && let Some(&(_, before)) = points.last()
            {
                points.push((at.0, before));
            }
            points.push(at);
        }
        if self.join != Join::None && points.len() > 1 {
            let line = Shape::Line { points, width: 2.0, dash: self.dash };
            drawing.add(line, ink).belongs(self.series);
        }
        for spot in &self.spots {
            let at = place(spot.at);
            if let Some((low, high)) = spot.x_ends {
                let (from, to) = ((x.at(low), at.1), (x.at(high), at.1));
                drawing.line(from, to, 1.5, ink).belongs(self.series);
            }
            if let Some((low, high)) = spot.y_ends {
                let (from, to) = ((at.0, y.at(low)), (at.0, y.at(high)));
                drawing.line(from, to, 1.5, ink).belongs(self.series);
            }
            let Some(fill) = spot.sign else { continue };
            let sign = Shape::Sign {
                at,
                form: Form::of(self.series.unwrap_or_default()),
                radius: 4.5,
                fill,
            };
            let mark = drawing.add(sign, ink).belongs(self.series);
            mark.tip.clone_from(&spot.tip);
        }
    }
}
