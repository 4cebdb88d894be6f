//! Holm's correction for a family of comparisons (Scandinavian Journal of Statistics 6, 1979).

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    pub adjusted_p: f64,
    /// The level of its corrected interval, which excludes "no difference" exactly where Holm rejects it.
    pub alpha: f64,
}

/// Corrects a family; members without a p value do not count.
pub fn correct(p_values: &[Option<f64>], alpha: f64) -> Vec<Option<Step>> {
    let mut order: Vec<(usize, f64)> =
        p_values.iter().enumerate().filter_map(|(index, p)| p.map(|p| (index, p))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let mut steps = vec![None; p_values.len()];
    let (mut highest, mut stopped_at) = (0.0_f64, None);
    for (rank, &(index, p)) in order.iter().enumerate() {
        let left = (order.len() - rank) as f64;
        highest = highest.max((p * left).min(1.0));
        // The first that is not rejected ends the steps: the level stays where it is.
        let level = *stopped_at.get_or_insert(alpha / left);
        if p <= level {
            stopped_at = None;
        }
        steps[index] = Some(Step { adjusted_p: highest, alpha: level });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_those_of_the_textbook() {
        // Holm's procedure as R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm").
        let family = [0.01, 0.04, 0.03, 0.005].map(Some);
        let steps: Vec<Step> = correct(&family, 0.05).into_iter().flatten().collect();
        let adjusted: Vec<f64> = steps.iter().map(|step| step.adjusted_p).collect();
        for (found, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        let alphas: Vec<f64> = steps.iter().map(|step| 0.05 / step.alpha).collect();
        assert_eq!(alphas.iter().map(|x| x.round()).collect::<Vec<_>>(), [3.0, 2.0, 2.0, 4.0]);
    }

    #[test]
    fn once_stopped_nothing_later_is_rejected() {
        let steps = correct(&[Some(0.03), Some(0.035)], 0.05);
        assert!(steps.iter().flatten().all(|step| step.adjusted_p > 0.05));
        assert!(steps.iter().flatten().all(|step| step.alpha < 0.03));
    }

    #[test]
    fn a_member_without_a_p_value_does_not_count() {
        let steps = correct(&[None, Some(0.04)], 0.05);
        assert_eq!(steps[0], None);
        assert_eq!(steps[1], Some(Step { adjusted_p: 0.04, alpha: 0.05 }));
    }
}
