//! Arrival times, one after the other.

use super::trace::Trace;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Copies of a request of a trace come up to this much later.
const COPY_WITHIN_S: f64 = 60.0;

/// An iterator over seconds, never decreasing.
#[derive(Debug, Clone)]
pub struct Arrivals(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Poisson(Box<Poisson>),
    Recorded(std::vec::IntoIter<f64>),
}

/// A Poisson process whose rate is constant within a period.
#[derive(Debug, Clone)]
struct Poisson {
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
        Self(Kind::Poisson(Box::new(Poisson { rates, period_s, at: 0, now_s: 0.0, rng })))
    }

    /// Sorted times.
    pub fn recorded(arrivals_s: Vec<f64>) -> Self {
        Self(Kind::Recorded(arrivals_s.into_iter()))
    }
}

impl Iterator for Arrivals {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        match &mut self.0 {
            Kind::Poisson(process) => process.next(),
            Kind::Recorded(times) => times.next(),
        }
    }
}

impl Poisson {
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

/// The times of a trace with its rate multiplied by `factor`.
pub(super) fn scaled(trace: &Trace, factor: f64, seed: u64) -> Arrivals {
    let is_exact = trace.resolution_s() == 0.0;
    if is_exact && (factor - 1.0).abs() < 1e-12 {
        return Arrivals::recorded(trace.arrivals_s.clone());
    }
    let times = scaled_rows(trace, factor, seed);
    Arrivals::recorded(times.into_iter().map(|(at_s, _)| at_s).collect())
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

    #[test]
    fn a_trace_is_thinned_and_repeated() {
        let text: Vec<String> = (0..20_000).map(|at| format!("{at}.25")).collect();
        let text = text.join("\n");
        let trace = Trace::read("t", format!("timestamp\n0\n{text}").as_bytes(), None).unwrap();
        assert_eq!(scaled(&trace, 1.0, 1).collect::<Vec<_>>(), trace.arrivals_s);
        for factor in [0.3, 1.7, 3.0] {
            let times: Vec<f64> = scaled(&trace, factor, 1).collect();
            let ratio = times.len() as f64 / trace.arrivals_s.len() as f64;
            assert!((ratio - factor).abs() < 0.02, "{factor}: {ratio}");
            assert!(times.is_sorted());
            assert!(times.last().unwrap() <= &trace.span_s());
        }
    }

    #[test]
    fn whole_seconds_are_spread() {
        let trace = Trace::read("t", b"timestamp\n0\n0\n0\n9\n9\n20\n", None).unwrap();
        let times: Vec<f64> = scaled(&trace, 1.0, 1).collect();
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
