//! Small multiples over one axis: strips under each other, each with a quantity of its own, so that what happens at the
//! same time stands one above the other.

use super::axis::{Axis, Ticks};
use super::plane::{Band, Curve, Frame, Guide, draw_back};
use super::{Anchor, Dash, Drawing, Ink, SMALL, Shape, scale::Scale};
use crate::font::{Weight, fitted, width};

#[derive(Debug, Clone, PartialEq)]
pub struct Strips {
    pub x: Axis,
    pub strips: Vec<Strip>,
    /// Values of `x` with a meaning of their own; their labels are in the first strip.
    pub guides: Vec<Guide>,
    pub bands: Vec<Band>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Strip {
    pub y: Axis,
    pub curves: Vec<Curve>,
}

const CAPTION: f64 = 22.0;
const HEIGHT: f64 = 66.0;
const GAP: f64 = 8.0;
const FOOT: f64 = 32.0;

impl Strips {
    pub(super) fn draw(&self, wide: f64) -> Drawing {
        let each = CAPTION + HEIGHT + GAP;
        let height = each * self.strips.len() as f64 + FOOT;
        let mut drawing = Drawing { width: wide, height, marks: Vec::new() };
        let scales: Vec<Scale> = self.strips.iter().map(Strip::scale).collect();
        let ticks: Vec<Vec<(f64, String)>> =
            self.strips.iter().zip(&scales).map(|(strip, y)| strip.y.ticks(y, 3)).collect();
        let words = ticks.iter().flatten();
        let widest = words.map(|(_, word)| width(word, SMALL, Weight::Regular));
        let (left, right) = (widest.fold(0.0, f64::max) + 10.0, wide - 8.0);
        let places: Vec<f64> = self.strips.iter().flat_map(Strip::xs).collect();
        let x = self.x.scale(&places, &[]).onto(left, right);
        for (place, strip) in self.strips.iter().enumerate() {
            let top = place as f64 * each + CAPTION;
            let bottom = top + HEIGHT;
            let y = scales[place].onto(bottom, top);
            let caption = fitted(&strip.y.caption(&y), SMALL, Weight::Regular, right);
            drawing.words((0.0, top - 10.0), format!("↑ {caption}"), Anchor::Start, Ink::Muted);
            let frame = Frame { left, right, top, bottom };
            draw_back(&mut drawing, &frame, (&self.bands, &x), (&ticks[place], &y));
            drawing.line((left, bottom), (right, bottom), 1.0, Ink::Axis);
            self.draw_guides(&mut drawing, &x, (top, bottom), place == 0);
            for curve in &strip.curves {
                curve.draw(&mut drawing, &x, &y, 0.0);
            }
        }
        self.draw_foot(&mut drawing, &x, (left, right), each * self.strips.len() as f64 - GAP);
        drawing
    }

    fn draw_guides(
        &self,
        drawing: &mut Drawing,
        x: &Scale,
        (top, bottom): (f64, f64),
        is_first: bool,
    ) {
        for (place, guide) in self.guides.iter().enumerate() {
            let at = x.at(guide.value);
            let points = vec![(at, top), (at, bottom)];
            drawing.add(Shape::Line { points, width: 1.0, dash: Dash::Dashed }, Ink::Axis);
            let end = self.guides.get(place + 1).map_or(f64::INFINITY, |next| x.at(next.value));
            // Words that would run into the next guide's are left out.
            let is_legible = width(&guide.text, SMALL, Weight::Regular) + 10.0 < end - at;
            if is_first && is_legible {
                drawing.words((at + 5.0, top + 10.0), &guide.text, Anchor::Start, Ink::Muted);
            }
        }
    }

    fn draw_foot(&self, drawing: &mut Drawing, x: &Scale, (left, right): (f64, f64), at: f64) {
        let most = if right - left > 420.0 { 9 } else { 4 };
        let ticks = Ticks { most, top: at, bottom: at + 4.0, ink: Ink::Axis, labels: at };
        self.x.draw_ticks(drawing, x, &ticks);
        let caption = fitted(&self.x.caption(x), SMALL, Weight::Regular, right - left);
        let middle = f64::midpoint(left, right);
        drawing.words((middle, at + 36.0), caption, Anchor::Middle, Ink::Muted);
    }
}

impl Strip {
    fn xs(&self) -> impl Iterator<Item = f64> {
        self.curves.iter().flat_map(|curve| &curve.spots).map(|spot| spot.at.0)
    }

    fn scale(&self) -> Scale {
        let values = self.curves.iter().flat_map(|curve| &curve.spots).map(|spot| spot.at.1);
        self.y.scale(&values.collect::<Vec<_>>(), &[])
    }
}
