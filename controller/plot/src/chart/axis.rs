//! Axes: ticks, their labels and captions.

use super::scale::{Scale, Spread, Zero, spread_of};
use super::{Anchor, Drawing, Ink, SMALL};
use crate::font::{Weight, width};
use crate::number;

#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it is, with its unit.
    pub title: String,
    /// How values are spread; from the values where it isn't given.
    pub spread: Option<Spread>,
    pub zero: Zero,
    /// The only values that have ticks, where not all numbers make sense.
    pub levels: Option<Vec<f64>>,
    pub format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Plain,
    /// As a signed change in percent, of a ratio.
    Change,
    /// As a percentage, of a share.
    Share,
}

pub(super) struct Ticks {
    pub(super) most: u32,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) ink: Ink,
    /// The height below which the labels are.
    pub(super) labels: f64,
}

/// Interval ends are drawn down to this share of the smallest value.
const FAR_BELOW: f64 = 30.0;
/// And up to so many times the largest: one wide interval must not press all values together.
const FAR_ABOVE: f64 = 10.0;

const BETWEEN: f64 = 6.0;

impl Axis {
    pub fn quantity(title: impl Into<String>) -> Self {
        let title = title.into();
        Self { title, spread: None, zero: Zero::Shown, levels: None, format: Format::Plain }
    }

    /// An axis of time: linear, however far apart its ends are.
    pub fn time(title: impl Into<String>) -> Self {
        Self { spread: Some(Spread::Linear), ..Self::quantity(title) }
    }

    /// An axis with a tick for each of a few values, as far apart as their ratios.
    pub fn levels(title: impl Into<String>, levels: Vec<f64>) -> Self {
        let spread = Some(Spread::Logarithmic);
        Self { spread, levels: Some(levels), ..Self::quantity(title) }
    }

    pub fn free(title: impl Into<String>, format: Format) -> Self {
        Self { zero: Zero::Free, format, spread: Some(Spread::Linear), ..Self::quantity(title) }
    }

    /// Its scale over all values and the ends of their intervals. The values decide how it is spread; an interval that
    /// reaches far above the largest value runs to its border, and so does, on a logarithmic axis, one that reaches far
    /// below the smallest value, or to zero.
    pub fn scale(&self, values: &[f64], ends: &[f64]) -> Scale {
        let spread = self.spread.unwrap_or_else(|| spread_of(values));
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let is_shown = |end: &&f64| {
            let is_far_above = most > 0.0 && **end > most * FAR_ABOVE;
            let is_far_below = spread == Spread::Logarithmic && **end < least / FAR_BELOW;
            !is_far_above && !is_far_below
        };
        let values: Vec<f64> = values.iter().chain(ends.iter().filter(is_shown)).copied().collect();
        match &self.levels {
            Some(levels) => {
                // A margin on both sides, so that nothing is on the border.
                let low = levels.iter().copied().fold(f64::INFINITY, f64::min);
                let high = levels.iter().copied().fold(1.0, f64::max);
                Scale::between((low / 1.35).min(1.0), high * 1.35, spread)
            }
            None => Scale::over(&values, spread, self.zero),
        }
    }

    pub fn caption(&self, scale: &Scale) -> String {
        if scale.spread() == Spread::Logarithmic && self.levels.is_none() {
            format!("{}, logarithmic", self.title)
        } else {
            self.title.clone()
        }
    }

    pub fn ticks(&self, scale: &Scale, most: u32) -> Vec<(f64, String)> {
        let ticks = self.levels.clone().unwrap_or_else(|| scale.ticks(most));
        let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let word = |tick: f64| match self.format {
            Format::Plain => number::tick(tick, step),
            Format::Share => format!("{}%", number::tick(tick * 100.0, step * 100.0)),
            // On a logarithmic axis changes are ratios: × 100 is clearer than +9,900%.
            Format::Change if scale.spread() == Spread::Logarithmic => {
                format!("× {}", number::tick(tick, step))
            }
            Format::Change => {
                let percent = number::tick((tick - 1.0) * 100.0, step * 100.0);
                let sign = if tick > 1.0 + 1e-9 { "+" } else { "" };
                format!("{sign}{percent}%")
            }
        };
        ticks.into_iter().map(|tick| (tick, word(tick))).collect()
    }

    pub(super) fn draw_ticks(&self, drawing: &mut Drawing, scale: &Scale, ticks: &Ticks) {
        for (place, label) in self.ticks_along(scale, ticks.most, drawing.width) {
            drawing.line((place, ticks.top), (place, ticks.bottom), 1.0, ticks.ink);
            if let Some(label) = label {
                drawing.words((place, ticks.labels + 18.0), label, Anchor::Middle, Ink::Muted);
            }
        }
    }

    /// The ticks along a line from 0 to `total`, as positions: a label that would overlap the previous one, or leaves
    /// the drawing, is left out; its tick stays.
    fn ticks_along(&self, scale: &Scale, most: u32, total: f64) -> Vec<(f64, Option<String>)> {
        let mut taken = 0.0;
        let along = |(value, word): (f64, String)| {
            let (place, half) = (scale.at(value), width(&word, SMALL, Weight::Regular) / 2.0);
            let has_room = place - half >= taken && place + half <= total;
            if has_room {
                taken = place + half + BETWEEN;
            }
            (place, has_room.then_some(word))
        };
        self.ticks(scale, most).into_iter().map(along).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_ticks_do_not_lie_over_each_other() {
        let axis = Axis::quantity("USD");
        let words = |total: f64| {
            let scale = axis.scale(&[1e-9, 1.0], &[]).onto(0.0, total);
            let ticks = axis.ticks_along(&scale, 6, total);
            let left = ticks.iter().filter_map(|(place, word)| Some((*place, word.clone()?)));
            let mut ends = Vec::new();
            for (place, word) in left {
                let half = width(&word, SMALL, Weight::Regular) / 2.0;
                ends.extend([place - half, place + half]);
            }
            assert!(
                ends.is_sorted() && ends.iter().all(|end| (0.0..=total).contains(end)),
                "{ends:?}"
            );
            (ticks.len(), ends.len() / 2)
        };
        let (ticks, narrow) = words(120.0);
        assert!(narrow > 0 && narrow < ticks, "{narrow} of {ticks}");
        let (ticks, wide) = words(2_000.0);
        assert!(wide >= ticks - 2, "{wide} of {ticks}: only those at the ends may leave it");
    }

    #[test]
    fn one_wide_interval_does_not_press_all_values_together() {
        for axis in [Axis::quantity("USD"), Axis::free("change", Format::Change)] {
            let scale = axis.scale(&[1.0, 1.2], &[0.9, 1.3, 1e14]);
            assert!(scale.is_beyond(1e14) && !scale.is_beyond(1.3));
            assert!(scale.at(1.2) - scale.at(1.0) > 0.05);
        }
        let logarithmic = Axis::quantity("USD").scale(&[1.0, 40.0], &[1e-9, 300.0, 1e9]);
        assert_eq!(logarithmic.spread(), Spread::Logarithmic);
        assert!(logarithmic.is_beyond(1e9) && !logarithmic.is_beyond(300.0));
        assert!(logarithmic.at(1.0) < 0.2);
    }
}
