//! Where a series becomes steady: what comes before is warm-up, and in no verdict.

/// So many values make one batch mean.
const BATCH: usize = 5;

/// Where a series becomes steady.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steady {
    /// The index of the first value that counts.
    pub from: usize,
    /// Whether it was found: a series that is best cut at half of its length may never have become steady.
    pub is_found: bool,
}

/// MSER-5 (White, Cobb and Spratt, Winter Simulation Conference 2000): cuts off the beginning whose loss makes
/// the standard error of the mean smallest, at most half of the series.
pub fn steady(values: &[f64]) -> Steady {
    let means: Vec<f64> =
        values.chunks_exact(BATCH).map(|batch| batch.iter().sum::<f64>() / BATCH as f64).collect();
    let most = means.len() / 2;
    let (mut sum, mut squares, mut best) = (0.0, 0.0, (f64::INFINITY, 0));
    // From the end, so that every remainder is one value more than the last.
    let center = means.last().copied().unwrap_or_default();
    for (from, value) in means.iter().enumerate().rev() {
        let value = value - center;
        (sum, squares) = (sum + value, squares + value * value);
        let n = (means.len() - from) as f64;
        let error = (squares - sum * sum / n).max(0.0) / (n * n);
        // Of equal errors the earlier cut: it keeps more.
        if from <= most && error <= best.0 {
            best = (error, from);
        }
    }
    Steady { from: best.1 * BATCH, is_found: best.1 < most.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: u32) -> f64 {
        f64::from((i * 7919 + 13) % 101) / 101.0
    }

    #[test]
    fn a_warm_up_is_cut_off_and_no_more() {
        let values: Vec<f64> = (0..300)
            .map(|i| noise(i) + if i < 40 { 9.0 - f64::from(i) / 5.0 } else { 0.0 })
            .collect();
        let found = steady(&values);
        assert!(found.is_found && (30..=60).contains(&found.from), "{found:?}");
    }

    #[test]
    fn what_is_steady_from_the_start_stays_whole() {
        assert_eq!(steady(&[4.0; 60]), Steady { from: 0, is_found: true });
        let values: Vec<f64> = (0..300).map(noise).collect();
        assert!(steady(&values).from <= 30);
    }

    #[test]
    fn what_changes_at_the_very_end_never_becomes_steady() {
        let values: Vec<f64> = (0..300).map(|i| if i < 280 { noise(i) } else { 50.0 }).collect();
        // Cutting can't help: at most half may go.
        assert!(steady(&values).from <= 150);
        let values: Vec<f64> = (0..300).map(|i| -f64::from(i)).collect();
        assert!(!steady(&values).is_found);
    }

    #[test]
    fn nothing_is_cut_from_next_to_nothing() {
        assert_eq!(steady(&[]).from, 0);
        assert_eq!(steady(&[1.0, 2.0]).from, 0);
    }
}
