//! The mean difference of alternating pairs of campaigns, with its interval.

/// Two-sided 95% quantiles of Student's t for 1 to 9 degrees of freedom.
const STUDENT: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

/// Mean and half-width of its interval, of two to ten values.
pub(crate) fn interval(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / (count - 1.0) / count).sqrt();
    (mean, STUDENT[values.len() - 2] * error)
}
