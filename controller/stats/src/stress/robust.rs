//! A straight line that outliers don't move.

/// The slope of Theil and Sen: the median of the slopes of all pairs (Sen, Journal of the American Statistical
/// Association 63, 1968). A quarter of the points may be anywhere. `None` without two different x.
pub fn theil_sen(points: &[(f64, f64)]) -> Option<f64> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, (x, y)) in points.iter().enumerate() {
        let later = points[index + 1..].iter().filter(|(other, _)| other > x);
        slopes.extend(later.map(|(other_x, other_y)| (other_y - y) / (other_x - x)));
    }
    median(&mut slopes)
}

/// The median; `None` without values. It changes their order.
pub fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let is_even = values.len().is_multiple_of(2);
    let middle = values.len() / 2;
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = if is_even { below.iter().copied().fold(f64::MIN, f64::max) } else { upper };
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_dont_move_the_line() {
        let mut points: Vec<(f64, f64)> =
            (0..20).map(|i| (f64::from(i), 5.0 - 0.5 * f64::from(i))).collect();
        points[3].1 = 900.0;
        points[11].1 = -700.0;
        assert!((theil_sen(&points).unwrap() + 0.5).abs() < 1e-12);
        assert_eq!(theil_sen(&points[..1]), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&mut [9.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&mut []), None);
    }
}
