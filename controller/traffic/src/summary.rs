//! What a trace looks like: rate over time, burstiness and lengths.

use super::trace::Trace;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::lengths::LengthQuantiles;

/// Figures of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// The form of the file, such as `azure`.
    pub format: String,
    pub requests: u64,
    pub span_s: f64,
    /// Requests per second.
    pub mean_rate: f64,
    /// Requests per second in the busiest minute; null for traces shorter than a minute.
    pub busiest_minute_rate: Option<f64>,
    pub dispersion: Vec<Dispersion>,
    /// Null if the trace has no input tokens.
    pub input_tokens: Option<LengthQuantiles>,
    /// Null if the trace has no lengths of prompts in characters.
    #[serde(default)]
    pub input_characters: Option<LengthQuantiles>,
    /// Null if the trace has no output tokens.
    pub output_tokens: Option<LengthQuantiles>,
}

/// The index of dispersion: variance over mean of the number of requests in windows of equal length. A Poisson process
/// of constant rate has 1, and bursts and a daily profile have more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dispersion {
    pub window_s: f64,
    pub index: f64,
    pub windows: u64,
}

/// Fewer windows give no variance.
const LEAST_WINDOWS: usize = 20;

impl Summary {
    pub fn of(trace: &Trace) -> Self {
        let requests = trace.arrivals_s.len();
        let dispersion = [1.0, 60.0, 3600.0].into_iter().filter_map(|window_s| {
            // Times in whole seconds say nothing about a second.
            if window_s <= trace.resolution_s() {
                return None;
            }
            dispersion(&counts(trace, window_s), window_s)
        });
        let by_minute = counts(trace, 60.0);
        Self {
            format: trace.format.as_str().to_owned(),
            requests: requests as u64,
            span_s: trace.span_s(),
            mean_rate: requests as f64 / trace.span_s(),
            busiest_minute_rate: by_minute.iter().max().map(|most| f64::from(*most) / 60.0),
            dispersion: dispersion.collect(),
            input_tokens: LengthQuantiles::of(&trace.input_tokens),
            input_characters: LengthQuantiles::of(&trace.input_characters),
            output_tokens: LengthQuantiles::of(&trace.output_tokens),
        }
    }
}

/// Requests in each complete window.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a window of a trace")]
fn counts(trace: &Trace, window_s: f64) -> Vec<u32> {
    let mut counts = vec![0; (trace.span_s() / window_s).floor() as usize];
    for at_s in &trace.arrivals_s {
        if let Some(count) = counts.get_mut((at_s / window_s) as usize) {
            *count += 1;
        }
    }
    counts
}

fn dispersion(counts: &[u32], window_s: f64) -> Option<Dispersion> {
    if counts.len() < LEAST_WINDOWS {
        return None;
    }
    let n = counts.len() as f64;
    let mean = counts.iter().map(|count| f64::from(*count)).sum::<f64>() / n;
    let squares = counts.iter().map(|count| (f64::from(*count) - mean).powi(2)).sum::<f64>();
    let index = squares / (n - 1.0) / mean;
    (mean > 0.0).then_some(Dispersion { window_s, index, windows: counts.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::super::arrivals::Arrivals;
    use super::*;

    fn summary(times: &[f64]) -> Summary {
        let text = times.iter().map(|at| format!("{at},7")).collect::<Vec<_>>().join("\n");
        let text = format!("timestamp,input_tokens\n{text}");
        Summary::of(&Trace::read("t", text.as_bytes(), None).unwrap())
    }

    #[test]
    fn dispersion_is_one_for_poisson_and_zero_for_a_clock() {
        let poisson: Vec<f64> = Arrivals::poisson(vec![5.0], 20_000.0, 9).collect();
        let found = summary(&poisson);
        assert_eq!(found.dispersion.len(), 2, "an hour has too few windows");
        assert!((found.dispersion[0].index - 1.0).abs() < 0.05, "{found:?}");
        let clock: Vec<f64> = (0..4000).map(|at| f64::from(at) * 0.25 + 0.1).collect();
        assert!(summary(&clock).dispersion[0].index < 0.01);
        // Ten at once instead of one: ten times the variance for the same mean.
        let bursts: Vec<f64> =
            Arrivals::poisson(vec![0.5], 20_000.0, 9).flat_map(|at| [at; 10]).collect();
        assert!((summary(&bursts).dispersion[0].index - 10.0).abs() < 0.6);
    }

    #[test]
    fn rates_and_lengths_are_stated() {
        let found = summary(&[0.5, 1.5, 60.25, 70.5, 80.5, 120.5]);
        assert_eq!(found.busiest_minute_rate, Some(3.0 / 60.0));
        assert!((found.mean_rate - 0.05).abs() < 1e-9);
        let lengths = found.input_tokens.unwrap();
        assert_eq!((lengths.mean, lengths.p95, lengths.max), (7.0, 7.0, 7));
        assert_eq!(found.output_tokens, None);
    }
}
