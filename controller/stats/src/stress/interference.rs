//! Whether others disturb: other processes, the hypervisor, the control group's limit.

use super::finding::Finding;
use super::influence::{Exposed, influence};
use crate::{Estimate, validity::MAX_OTHER_LOAD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interference {
    /// Found: more than 5 % of the host's processor time, or a loss whose interval is above zero and that is at
    /// least 1 %.
    pub finding: Finding,
    /// The share of the host's processor time that it took, over all.
    pub mean_share: f64,
    /// The largest share in one window.
    pub max_share: f64,
    /// The share of throughput that goes with it over all; an association, no proof.
    pub throughput_lost: Estimate,
    /// The smallest loss over all that would have been found in 90 % of campaigns, as a share.
    pub minimum_detectable_loss: Option<f64>,
}

/// A loss below this share is none that counts.
const NEGLIGIBLE: f64 = 0.01;

/// Judges windows, each with its length in seconds; `None` without readings.
pub fn interference(windows: &[(f64, Exposed)]) -> Option<Interference> {
    let seconds: f64 = windows.iter().map(|(seconds, _)| seconds).sum();
    if seconds <= 0.0 {
        return None;
    }
    let mean_share =
        windows.iter().map(|(seconds, window)| seconds * window.share).sum::<f64>() / seconds;
    let max_share = windows.iter().map(|(_, window)| window.share).fold(0.0, f64::max);
    let exposed: Vec<Exposed> = windows.iter().map(|(_, window)| *window).collect();
    let found = influence(&exposed, NEGLIGIBLE);
    let is_costly = found.lost.ci_low.is_some_and(|low| low > 0.0)
        && found.lost.value.is_some_and(|lost| lost >= NEGLIGIBLE);
    Some(Interference {
        finding: if mean_share > MAX_OTHER_LOAD || is_costly {
            Finding::Found
        } else {
            Finding::NotFound
        },
        mean_share,
        max_share,
        throughput_lost: found.lost,
        minimum_detectable_loss: found.minimum_detectable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbor_that_comes_and_goes_is_told_with_its_price() {
        let window = |i: u32| {
            let share = if i % 10 < 3 { 0.5 } else { 0.001 };
            let noise = f64::from(i * 7919 % 101) / 101.0;
            (1.0, Exposed { throughput: 100.0 - 60.0 * share + noise, share })
        };
        let found = interference(&(0..100).map(window).collect::<Vec<_>>()).unwrap();
        assert!(found.finding.is_found());
        assert!((found.mean_share - 0.1507).abs() < 1e-9 && found.max_share > 0.49);
        assert!((found.throughput_lost.value.unwrap() - 0.6 * 0.1507).abs() < 0.01);
    }

    #[test]
    fn silence_is_no_interference_and_no_reading_is_no_silence() {
        let still = (1.0, Exposed { throughput: 100.0, share: 0.0 });
        assert_eq!(interference(&[still; 60]).unwrap().finding, Finding::NotFound);
        assert_eq!(interference(&[]), None);
    }
}
