//! Charts as marks on a plane, independent of where they are shown: a page makes SVG of them, a PDF draws them.
//!
//! In comes what was measured with its intervals; out come [`Drawing`]s. A chart knows nothing of campaigns. Axes name
//! their unit and say where they are logarithmic; linear axes of quantities start at zero.

pub mod axis;
pub mod intervals;
pub mod plane;
pub mod scale;
pub mod strips;
pub mod svg;

pub use axis::Axis;
pub use intervals::Intervals;
pub use plane::Plane;
pub use strips::{Strip, Strips};

use crate::font::Weight;

/// Right and down from the top left corner.
pub type At = (f64, f64);

pub const SMALL: f64 = 11.5;
pub const SIZE: f64 = 12.5;

/// Marks on a plane, the first lowest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Drawing {
    pub width: f64,
    pub height: f64,
    pub marks: Vec<Mark>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    pub shape: Shape,
    pub ink: Ink,
    /// The series that it belongs to; marks of none stay when series are hidden.
    pub series: Option<usize>,
    pub tip: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Line { points: Vec<At>, width: f64, dash: Dash },
    Area { points: Vec<At> },
    Box { at: At, size: At, radius: f64 },
    Sign { at: At, form: Form, radius: f64, fill: Fill },
    Text { at: At, text: String, size: f64, anchor: Anchor, weight: Weight },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dash {
    Solid,
    Dashed,
    Dotted,
}

/// Marks. Series differ in form, not only in color.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
}

impl Form {
    pub fn of(series: usize) -> Self {
        [Self::Circle, Self::Square, Self::Diamond, Self::Up, Self::Down][series % 5]
    }

    /// The corners of a sign; none for a circle.
    pub fn corners(self, (x, y): At, radius: f64) -> Vec<At> {
        let s = radius * 0.9;
        match self {
            Self::Circle => Vec::new(),
            Self::Square => vec![(x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s)],
            Self::Diamond => {
                let d = radius * 1.25;
                vec![(x, y - d), (x + d, y), (x, y + d), (x - d, y)]
            }
            Self::Up => {
                vec![(x, y - radius * 1.15), (x + radius * 1.1, y + s), (x - radius * 1.1, y + s)]
            }
            Self::Down => {
                vec![(x, y + radius * 1.15), (x - radius * 1.1, y - s), (x + radius * 1.1, y - s)]
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// It is: the figure may be used.
    Full,
    /// Only its border is drawn: the figure has a reservation.
    Hollow,
}

/// Which point of its base line is the place of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// The role of a color; each format has its own palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    Text,
    Muted,
    Grid,
    Axis,
    Series(usize),
    /// An area of a series that lies behind it.
    Wash(usize),
    /// A stretch of a row or of time behind everything.
    Band,
    Good,
    Warn,
    Bad,
}

/// The number of series colors before they repeat.
pub const COLORS: usize = 8;

#[derive(Debug, Clone, PartialEq)]
pub enum Chart {
    Intervals(Intervals),
    Plane(Plane),
    Strips(Strips),
}

impl Chart {
    /// The same with at most `most` rows; how many are left out. Charts of series have no rows. Of strips the first
    /// half as many stay, and the rest is dropped.
    pub fn shortened(&self, most: usize) -> (Self, usize) {
        match self {
            Self::Intervals(chart) => {
                let rows: Vec<_> = chart.rows.iter().take(most).cloned().collect();
                let left_out = chart.rows.len() - rows.len();
                (Self::Intervals(Intervals { rows, ..chart.clone() }), left_out)
            }
            Self::Strips(chart) => {
                let strips = chart.strips.iter().take(most.div_ceil(2)).cloned().collect();
                (Self::Strips(Strips { strips, ..chart.clone() }), 0)
            }
            Self::Plane(_) => (self.clone(), 0),
        }
    }

    /// Draws it. From 200 wide it is legible.
    pub fn draw(&self, width: f64) -> Drawing {
        match self {
            Self::Intervals(chart) => chart.draw(width),
            Self::Plane(chart) => chart.draw(width),
            Self::Strips(chart) => chart.draw(width),
        }
    }
}

impl Drawing {
    fn add(&mut self, shape: Shape, ink: Ink) -> &mut Mark {
        self.marks.push(Mark { shape, ink, series: None, tip: None });
        let last = self.marks.len() - 1;
        &mut self.marks[last]
    }

    fn line(&mut self, from: At, to: At, width: f64, ink: Ink) -> &mut Mark {
        self.add(Shape::Line { points: vec![from, to], width, dash: Dash::Solid }, ink)
    }

    fn title(&mut self, at: At, text: String) {
        let (size, anchor, weight) = (SIZE, Anchor::Start, Weight::SemiBold);
        self.add(Shape::Text { at, text, size, anchor, weight }, Ink::Text);
    }

    fn words(&mut self, at: At, text: impl Into<String>, anchor: Anchor, ink: Ink) -> &mut Mark {
        let weight = Weight::Regular;
        self.add(Shape::Text { at, text: text.into(), size: SMALL, anchor, weight }, ink)
    }
}

impl Mark {
    fn of(&mut self, series: usize) -> &mut Self {
        self.belongs(Some(series))
    }

    fn belongs(&mut self, series: Option<usize>) -> &mut Self {
        self.series = series;
        self
    }

    fn tip(&mut self, tip: impl Into<String>) -> &mut Self {
        self.tip = Some(tip.into());
        self
    }
}
