//! Latencies in logarithmic buckets of constant size: quantiles of any number of requests within 0.25 %.

/// The ratio of neighboring bucket bounds.
const GROWTH: f64 = 1.005;
const LEAST_S: f64 = 1e-6;
/// The last bucket holds everything above about 11 days.
const BUCKETS: usize = 5500;

#[derive(Debug, Clone, PartialEq)]
pub struct Latencies {
    counts: Vec<u64>,
    count: u64,
    sum_s: f64,
    max_s: f64,
    log_growth: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        let counts = vec![0; BUCKETS];
        Self { counts, count: 0, sum_s: 0.0, max_s: 0.0, log_growth: GROWTH.ln() }
    }
}

impl Latencies {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bucket")]
    pub(super) fn add(&mut self, seconds: f64) {
        let bucket = ((seconds.max(LEAST_S) / LEAST_S).ln() / self.log_growth) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.count += 1;
        self.sum_s += seconds;
        self.max_s = self.max_s.max(seconds);
    }

    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum_s += other.sum_s;
        self.max_s = self.max_s.max(other.max_s);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// In seconds; `None` without requests.
    pub fn mean_s(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_s / self.count as f64)
    }

    /// The quantile of a probability in seconds; `None` without requests.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    pub fn quantile_s(&self, probability: f64) -> Option<f64> {
        let rank = ((probability * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        let middle = LEAST_S * GROWTH.powf(bucket as f64 + 0.5);
        Some(middle.min(self.max_s))
    }
}
