//! Arrival times, one after the other.

use super::trace::Trace;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Copies of a request of a trace come up to this much later.
const COPY_WITHIN_S: f64 = 60.0;

/// The times of a Poisson process whose rate is constant within a period: an iterator over seconds, never decreasing.
#[derive(Debug, Clone)]
pub struct Arrivals {
    rates: Vec<f64>,
    period_s: f64,
    at: usize,
    now_s: f64,
    rng: ChaCha8Rng,
}

impl Arrivals {
    /// A Poisson process with a rate per second for each period of `period_s` seconds.
    pub fn poisson(rates: Vec<f64>, period_s: f64, seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { rates, period_s, at: 0, now_s: 0.0, rng }
    }
}

impl Iterator for Arrivals {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        loop {
            let rate = *self.rates.get(self.at)?;
            let end_s = (self.at + 1) as f64 * self.period_s;
            if rate > 0.0 {
                let unit: f64 = self.rng.random();
                let next_s = self.now_s - (1.0 - unit).ln() / rate;
                if next_s < end_s {
                    self.now_s = next_s;
                    return Some(next_s);
                }
            }
            // The process has no memory: it starts again at the next period's rate.
            self.now_s = end_s;
            self.at += 1;
        }
    }
}

/// A request: when it arrives, and how long its prompt is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request {
    pub at_s: f64,
    /// `None` if unknown.
    pub prompt_tokens: Option<u32>,
}

impl From<f64> for Request {
    fn from(at_s: f64) -> Self {
        Self { at_s, prompt_tokens: None }
    }
}

/// The requests of a trace with its rate multiplied by `factor`.
pub(super) fn scaled(trace: &Trace, factor: f64, seed: u64) -> Vec<Request> {
    let is_exact = trace.resolution_s() == 0.0;
    let rows = if is_exact && (factor - 1.0).abs() < 1e-12 {
        trace.arrivals_s.iter().copied().zip(0..).collect()
    } else {
        scaled_rows(trace, factor, seed)
    };
    let request = |(at_s, row): (f64, usize)| Request {
        at_s,
        prompt_tokens: trace.input_tokens.get(row).copied(),
    };
    rows.into_iter().map(request).collect()
}

/// Times and rows of a trace with its rate multiplied by `factor`, in order of time.
pub(super) fn scaled_rows(trace: &Trace, factor: f64, seed: u64) -> Vec<(f64, usize)> {
    let resolution_s = trace.resolution_s();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let span_s = trace.span_s();
    let mut times = Vec::new();
    for (row, &at_s) in trace.arrivals_s.iter().enumerate() {
        let mut left = factor;
        let mut delay_s = 0.0;
        while left > 0.0 {
            if left >= 1.0 || rng.random::<f64>() < left {
                let within_s: f64 = rng.random();
                times.push(((at_s + within_s * resolution_s + delay_s).min(span_s), row));
            }
            left -= 1.0;
            delay_s = rng.random::<f64>() * COPY_WITHIN_S;
        }
    }
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    times
}

impl Trace {
    /// The time of each request in seconds from the first, and its row, in order of time. Requests of a trace in whole
    /// seconds are spread over their second at random.
    pub fn requests(&self, seed: u64) -> Vec<(f64, usize)> {
        if self.resolution_s() == 0.0 {
            return self.arrivals_s.iter().copied().zip(0..).collect();
        }
        scaled_rows(self, 1.0, seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poisson_process_has_its_rates_and_dispersion() {
        let arrivals: Vec<f64> = Arrivals::poisson(vec![2.0, 0.0, 8.0], 5000.0, 3).collect();
        let within = |from: f64, to: f64| {
            arrivals.iter().filter(|at| (from..to).contains(*at)).count() as f64
        };
        assert!((within(0.0, 5000.0) / 5000.0 - 2.0).abs() < 0.1);
        assert!(within(5000.0, 10_000.0) < 1.0);
        assert!((within(10_000.0, 15_000.0) / 5000.0 - 8.0).abs() < 0.2);
        assert!(arrivals.is_sorted());
        let again: Vec<f64> = Arrivals::poisson(vec![2.0, 0.0, 8.0], 5000.0, 3).collect();
        assert_eq!(arrivals, again);
    }

    fn times(trace: &Trace, factor: f64) -> Vec<f64> {
        scaled(trace, factor, 1).iter().map(|request| request.at_s).collect()
    }

    #[test]
    fn requests_keep_the_length_of_their_row() {
        let rows: Vec<String> = (0..1000).map(|row| format!("{},{row}", row / 3)).collect();
        let text = format!("timestamp,input_tokens\n{}", rows.join("\n"));
        let trace = Trace::read("t", text.as_bytes(), None).unwrap();
        for factor in [1.0, 0.4, 2.5] {
            let requests = scaled(&trace, factor, 2);
            let row = |request: &Request| request.prompt_tokens.unwrap();
            // A copy comes within a minute of its request, and within the second of its row.
            for request in &requests {
                let late_s = request.at_s - f64::from(row(request) / 3);
                assert!((0.0..61.0).contains(&late_s), "{late_s}");
            }
            let mean =
                requests.iter().map(|one| f64::from(row(one))).sum::<f64>() / requests.len() as f64;
            assert!((mean - 499.5).abs() < 40.0, "{mean}");
        }
    }

    #[test]
    fn a_trace_is_thinned_and_repeated() {
        let text: Vec<String> = (0..20_000).map(|at| format!("{at}.25")).collect();
        let text = text.join("\n");
        let trace = Trace::read("t", format!("timestamp\n0\n{text}").as_bytes(), None).unwrap();
        assert_eq!(times(&trace, 1.0), trace.arrivals_s);
        for factor in [0.3, 1.7, 3.0] {
            let times = times(&trace, factor);
            let ratio = times.len() as f64 / trace.arrivals_s.len() as f64;
            assert!((ratio - factor).abs() < 0.02, "{factor}: {ratio}");
            assert!(times.is_sorted());
            assert!(times.last().unwrap() <= &trace.span_s());
        }
    }

    #[test]
    fn whole_seconds_are_spread() {
        let trace = Trace::read("t", b"timestamp\n0\n0\n0\n9\n9\n20\n", None).unwrap();
        let times = times(&trace, 1.0);
        assert_eq!(times.len(), 6);
        assert!(times.windows(2).take(4).all(|pair| pair[0] < pair[1]), "{times:?}");
        assert!(times[2] < 1.0 && (9.0..10.0).contains(&times[3]));
        let requests = trace.requests(1);
        assert!(requests.iter().map(|(at_s, _)| *at_s).eq(times));
        // Each time is within the second of its row.
        assert!(requests.iter().all(|(at_s, row)| trace.arrivals_s[*row] <= *at_s));
        let mut rows: Vec<usize> = requests.into_iter().map(|(_, row)| row).collect();
        rows.sort_unstable();
        assert!(rows.into_iter().eq(0..6));
    }
}
