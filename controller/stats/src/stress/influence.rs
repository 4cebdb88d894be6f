//! The throughput cost of something that is active for a share of the time: heat, a power limit, a noisy neighbor.

use super::slope::Line;
use crate::{Estimate, Limitation};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exposed {
    pub throughput: f64,
    /// 0 to 1.
    pub share: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Influence {
    /// The share of throughput that is lost in a window in which it is on throughout; negative where such windows
    /// are faster.
    pub lost_while_on: Estimate,
    /// The share of throughput that is lost over all windows.
    pub lost: Estimate,
    /// The smallest loss over all windows that would have been found in 90 % of campaigns.
    pub minimum_detectable: Option<f64>,
}

/// Fits throughput against the share. Windows in which it is on are held against those in which it is not, so
/// both kinds must be there. A loss below `negligible` over all counts for nothing.
pub fn influence(windows: &[Exposed], negligible: f64) -> Influence {
    let n = windows.len() as u64;
    let missing = |reason: Limitation| Influence {
        lost_while_on: Estimate::missing(n, reason),
        lost: Estimate::missing(n, reason),
        minimum_detectable: None,
    };
    let on = windows.iter().filter(|window| window.share > 0.0).count();
    if on == 0 {
        return missing(Limitation::NeverActive);
    }
    if on == windows.len() && windows.iter().all(|window| window.share > 0.9) {
        return missing(Limitation::AlwaysActive);
    }
    let points: Vec<(f64, f64)> =
        windows.iter().map(|window| (window.share, window.throughput)).collect();
    let Some(line) = Line::fit(&points) else { return missing(Limitation::TooFewWindows) };
    if line.at_zero <= 0.0 {
        return missing(Limitation::Confounded);
    }
    let mean_share = windows.iter().map(|window| window.share).sum::<f64>() / n as f64;
    let (low, high) = line.interval();
    let lost_while_on = Estimate::within(
        -line.per_x / line.at_zero,
        (-high / line.at_zero, -low / line.at_zero),
        n,
    );
    Influence {
        lost: lost_while_on.map(|lost| lost * mean_share),
        lost_while_on,
        minimum_detectable: Some(
            line.minimum_detectable(negligible * line.at_zero / mean_share) / line.at_zero
                * mean_share,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slows_a_third_of_the_windows_by_a_quarter_costs_a_twelfth() {
        let window = |i: u32| {
            let share = f64::from(u32::from(i >= 60));
            let noise = f64::from(i * 7919 % 101) / 1010.0;
            Exposed { throughput: 100.0 * (1.0 - 0.25 * share) + noise, share }
        };
        let windows: Vec<Exposed> = (0..90).map(window).collect();
        let found = influence(&windows, 0.0);
        let (low, high) = found.lost_while_on.interval().unwrap();
        assert!(low > 0.24 && high < 0.26, "{found:?}");
        assert!((found.lost.value.unwrap() - 0.25 / 3.0).abs() < 0.01);
    }

    #[test]
    fn what_was_never_or_always_on_is_held_against_nothing() {
        for share in [0.0, 1.0] {
            let found = influence(&[Exposed { throughput: 1.0, share }; 50], 0.0);
            assert_eq!(found.lost.value, None);
            assert!(found.lost.reason.is_some());
        }
    }
}
