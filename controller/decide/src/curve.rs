//! Measured batch times by batch size, and samples drawn from them.

use super::simulation::{Batch, BatchTime};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use stats::Observation;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Fewer times of one size are only used if there is no better size.
const LEAST_TIMES: usize = 8;

/// From so many on, the times of open loops are used alone for their size.
const LEAST_OPEN_TIMES: usize = 30;

/// Measured batch times of one model on one target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchTimes {
    by_size: BTreeMap<usize, OfSize>,
}

/// The times of one batch size.
#[derive(Debug, Clone, Default, PartialEq)]
struct OfSize {
    /// Back to back.
    closed: Vec<Measured>,
    open: Vec<Measured>,
}

/// With the run that measured it, so that runs are resampled as a whole.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Measured {
    run: (u32, u32),
    time: Timed,
}

impl Measured {
    /// `None` for a batch that took no time.
    fn of(run: (u32, u32), time: Timed) -> Option<Self> {
        (time.seconds > 0.0).then_some(Self { run, time })
    }
}

impl OfSize {
    /// Those of open loops alone if they are enough: a batch takes longer after a pause than back to back,
    /// and the instances of a fleet pause.
    fn used(&self) -> impl Iterator<Item = &Measured> {
        let has_enough = self.open.len() >= LEAST_OPEN_TIMES;
        let closed = if has_enough { &[] } else { self.closed.as_slice() };
        closed.iter().chain(&self.open)
    }
}

/// The time of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Timed {
    seconds: f64,
    /// The mean length of its prompts in tokens; `None` if one was not counted.
    prompt_tokens: Option<f64>,
}

impl Timed {
    fn of<'a>(batch: impl Iterator<Item = &'a Observation>, ns: u64) -> Self {
        let lengths: Option<Vec<f64>> = batch.map(|row| row.input_tokens.map(f64::from)).collect();
        let mean = |lengths: Vec<f64>| lengths.iter().sum::<f64>() / lengths.len() as f64;
        Self { seconds: ns as f64 / 1e9, prompt_tokens: lengths.map(mean) }
    }
}

/// How an open loop forms batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenLoop {
    pub max_size: usize,
    pub max_delay_ns: u64,
}

impl BatchTimes {
    /// Adds the batches of a closed loop, which run back to back. `cell` tells its runs from those of other cells.
    pub fn add_closed(&mut self, cell: u32, observations: &[Observation]) {
        let key = |row: &Observation| (row.run, row.host, row.segment, row.batch);
        let mut rows = observations.to_vec();
        rows.sort_unstable();
        for batch in rows.chunk_by(|a, b| key(a) == key(b)) {
            if batch.iter().all(|row| row.is_ok) {
                let start_ns = batch.iter().map(|row| row.start_ns).min().unwrap_or_default();
                let end_ns = batch.iter().map(Observation::end_ns).max().unwrap_or_default();
                let time = Timed::of(batch.iter(), end_ns.saturating_sub(start_ns));
                self.add(batch.len(), (cell, batch[0].run), time);
            }
        }
    }

    /// Adds the batches of an open loop with one agent for each host.
    ///
    /// Samples state when a request arrived and when it ended. When its batch began follows from the rule: as soon as
    /// the last batch has ended and the queue is full or its oldest request has waited for the delay.
    pub fn add_open(&mut self, cell: u32, observations: &[Observation], rule: OpenLoop) {
        let key = |row: &Observation| (row.run, row.host, row.segment);
        let mut rows: Vec<Observation> = observations.to_vec();
        rows.sort_unstable_by_key(|row| (key(row), row.start_ns));
        for segment in rows.chunk_by(|a, b| key(a) == key(b)) {
            // A rejected request was in no batch; a failed one has an unknown part in it.
            let queued: Vec<&Observation> = segment.iter().filter(|row| row.is_ok).collect();
            let mut free_ns = 0;
            let mut left = &queued[..];
            while let [oldest, ..] = left {
                let begin_ns = begin_ns(left, free_ns, oldest.start_ns, rule);
                let here = left.iter().take_while(|row| row.start_ns <= begin_ns).count();
                let (batch, later) = left.split_at(here.clamp(1, rule.max_size));
                let end_ns = batch.iter().map(|row| row.end_ns()).max().unwrap_or_default();
                let is_possible = batch.iter().all(|row| row.end_ns() > begin_ns);
                if is_possible {
                    let time = Timed::of(batch.iter().copied(), end_ns - begin_ns);
                    let to = self.by_size.entry(batch.len()).or_default();
                    to.open.extend(Measured::of((cell, oldest.run), time));
                }
                free_ns = end_ns;
                left = later;
            }
        }
    }

    fn add(&mut self, size: usize, run: (u32, u32), time: Timed) {
        self.by_size.entry(size).or_default().closed.extend(Measured::of(run, time));
    }

    /// Adds the times of other cells.
    pub fn extend(&mut self, other: &Self) {
        for (size, times) in &other.by_size {
            let to = self.by_size.entry(*size).or_default();
            to.closed.extend(&times.closed);
            to.open.extend(&times.open);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.by_size.is_empty()
    }

    pub fn batches(&self) -> u64 {
        self.by_size.values().map(|times| times.used().count() as u64).sum()
    }

    /// The fewest runs that measured a size that is used.
    pub fn least_runs(&self) -> u64 {
        self.used().map(|(_, times)| by_run(&times).len() as u64).min().unwrap_or_default()
    }

    pub fn largest(&self) -> usize {
        self.used().map(|(size, _)| size).last().unwrap_or_default()
    }

    /// Sizes with enough times; all if there are none, and always the size that was measured most.
    fn used(&self) -> impl Iterator<Item = (usize, Vec<Measured>)> {
        let of_size = |(size, times): (&usize, &OfSize)| (*size, times.used().copied().collect());
        let sizes: Vec<(usize, Vec<Measured>)> = self.by_size.iter().map(of_size).collect();
        let most = sizes.iter().map(|(_, times)| times.len()).max().unwrap_or_default();
        sizes.into_iter().filter(move |(_, times)| times.len() >= LEAST_TIMES.min(most))
    }

    /// The times as they were measured. `prompt_tokens`: the mean length of the prompts of which mean times are asked.
    pub fn curve(&self, prompt_tokens: Option<f64>) -> Curve {
        let all = |times: Vec<Measured>| times.iter().map(|one| one.time).collect();
        let sizes = self.used().map(|(size, times)| (size, all(times)));
        Curve { prompt_tokens, ..Curve::new(sizes) }
    }

    /// The shortest and the longest mean length of the prompts of a batch, in tokens; `None` if the times of a size don't
    /// tell how they depend on it.
    pub fn prompts(&self) -> Option<RangeInclusive<f64>> {
        let curve = self.curve(None);
        if curve.sizes.is_empty() || curve.sizes.iter().any(|size| size.line.is_none()) {
            return None;
        }
        let all = self.used().flat_map(|(_, times)| times);
        let lengths: Vec<f64> = all.filter_map(|one| one.time.prompt_tokens).collect();
        let low = lengths.iter().copied().reduce(f64::min)?;
        Some(low..=lengths.iter().copied().reduce(f64::max)?)
    }

    /// A bootstrap sample: for each size, runs with replacement, and times within them with replacement.
    pub fn resampled(&self, rng: &mut ChaCha8Rng) -> Curve {
        let mut sizes = Vec::new();
        for (size, times) in self.used() {
            let runs = by_run(&times);
            let mut drawn = Vec::with_capacity(times.len());
            for _ in 0..runs.len() {
                let run = &runs[rng.random_range(0..runs.len())];
                drawn.extend(run.iter().map(|_| run[rng.random_range(0..run.len())]));
            }
            sizes.push((size, drawn));
        }
        Curve::new(sizes.into_iter())
    }
}

fn begin_ns(waiting: &[&Observation], free_ns: u64, oldest_ns: u64, rule: OpenLoop) -> u64 {
    let waited_ns = oldest_ns.saturating_add(rule.max_delay_ns);
    let full_ns = waiting.get(rule.max_size - 1).map_or(u64::MAX, |row| row.start_ns);
    free_ns.max(waited_ns.min(full_ns)).max(oldest_ns)
}

fn by_run(times: &[Measured]) -> Vec<Vec<Timed>> {
    let mut runs: BTreeMap<(u32, u32), Vec<Timed>> = BTreeMap::new();
    for one in times {
        runs.entry(one.run).or_default().push(one.time);
    }
    runs.into_values().collect()
}

/// Batch times to draw from. Between two measured sizes the times of equal rank are interpolated, a size below the
/// smallest takes as long as that, and one above the largest takes longer in proportion.
///
/// Where the lengths of the prompts are known, the time of a batch is that of a measured one of its size plus the
/// difference of their mean lengths times a slope, which is fitted to the times of that size.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    sizes: Vec<Size>,
    /// Of the batches of which mean times are asked.
    prompt_tokens: Option<f64>,
}

#[derive(Debug, Clone, PartialEq)]
struct Size {
    requests: usize,
    /// Sorted.
    seconds: Vec<f64>,
    /// `None` if a length is unknown, or all are equal.
    line: Option<Line>,
}

/// How the time of a batch depends on its prompts.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    /// Seconds per token of the mean length, at least 0: a longer prompt is never faster.
    slope: f64,
    /// The times less the part of the slope. Sorted.
    rests: Vec<f64>,
}

impl Line {
    /// By least squares.
    fn fit(times: &[Timed]) -> Option<Self> {
        let lengths: Vec<f64> =
            times.iter().map(|time| time.prompt_tokens).collect::<Option<_>>()?;
        let n = times.len() as f64;
        let mean_length = lengths.iter().sum::<f64>() / n;
        let mean_seconds = times.iter().map(|time| time.seconds).sum::<f64>() / n;
        let pairs = || lengths.iter().zip(times);
        let variance: f64 = lengths.iter().map(|length| (length - mean_length).powi(2)).sum();
        let covariance: f64 = pairs()
            .map(|(length, time)| (length - mean_length) * (time.seconds - mean_seconds))
            .sum();
        if variance <= 0.0 {
            return None;
        }
        let slope = (covariance / variance).max(0.0);
        let rests = pairs().map(|(length, time)| time.seconds - slope * length);
        Some(Self { slope, rests: sorted(rests) })
    }
}

impl Size {
    /// The time at an index of the sorted ones.
    fn at(&self, index: usize, prompt_tokens: Option<f64>) -> f64 {
        match (&self.line, prompt_tokens) {
            (Some(line), Some(length)) => (line.rests[index] + line.slope * length).max(0.0),
            _ => self.seconds[index],
        }
    }

    fn mean(&self, prompt_tokens: Option<f64>) -> f64 {
        let all = (0..self.seconds.len()).map(|index| self.at(index, prompt_tokens));
        all.sum::<f64>() / self.seconds.len() as f64
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

impl Curve {
    /// Sizes in ascending order, each with at least one time.
    fn new(sizes: impl Iterator<Item = (usize, Vec<Timed>)>) -> Self {
        let size = |(size, times): (usize, Vec<Timed>)| {
            let seconds = sorted(times.iter().map(|time| time.seconds));
            Size { requests: size, seconds, line: Line::fit(&times) }
        };
        Self { sizes: sizes.map(size).collect(), prompt_tokens: None }
    }

    /// The mean time of a batch in seconds.
    pub fn mean_s(&self, size: usize) -> f64 {
        self.between(size, |one| one.mean(self.prompt_tokens))
    }

    /// Requests per second of an instance whose batches are full and follow each other.
    pub fn full_rate(&self, size: usize) -> f64 {
        size as f64 / self.mean_s(size)
    }

    fn between(&self, size: usize, of: impl Fn(&Size) -> f64) -> f64 {
        let next = self.sizes.partition_point(|one| one.requests < size);
        match (next.checked_sub(1).map(|index| &self.sizes[index]), self.sizes.get(next)) {
            (_, Some(same)) if same.requests == size => of(same),
            (None, Some(smallest)) => of(smallest),
            (Some(largest), None) => of(largest) * size as f64 / largest.requests as f64,
            (Some(low), Some(high)) => {
                let share = (size - low.requests) as f64 / (high.requests - low.requests) as f64;
                of(low) * (1.0 - share) + of(high) * share
            }
            (None, None) => 0.0,
        }
    }
}

impl BatchTime for Curve {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    fn seconds(&self, batch: Batch, rng: &mut ChaCha8Rng) -> f64 {
        let unit: f64 = rng.random();
        let index = |one: &Size| (unit * one.seconds.len() as f64) as usize;
        self.between(batch.size, |one| one.at(index(one), batch.prompt_tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulation::{
        Batching, Fleet, Policy, Routing, StartUp, WithoutInstance, simulate,
    };
    use super::*;
    use rand::SeedableRng;
    use std::cell::RefCell;

    fn row(run: u32, batch: u32, sample: u32, start_ms: u64, end_ms: u64) -> Observation {
        Observation {
            run,
            batch,
            sample,
            start_ns: start_ms * 1_000_000,
            latency_ns: (end_ms - start_ms) * 1_000_000,
            is_ok: true,
            ..Observation::default()
        }
    }

    #[test]
    fn closed_batches_last_from_their_start_to_their_last_token() {
        let mut times = BatchTimes::default();
        let rows =
            [row(1, 0, 0, 0, 40), row(1, 0, 1, 0, 50), row(1, 1, 2, 50, 90), row(1, 1, 3, 50, 80)];
        times.add_closed(0, &rows);
        assert_eq!(times.batches(), 2);
        assert!((times.curve(None).mean_s(2) - 0.045).abs() < 1e-12);
        let failed = Observation { is_ok: false, ..row(1, 2, 4, 100, 300) };
        times.add_closed(0, &[failed, row(1, 2, 5, 100, 110)]);
        assert_eq!(times.batches(), 2, "a batch with a failure says nothing about its time");
    }

    #[test]
    fn open_batches_are_reconstructed_from_arrivals_and_ends() {
        // Known batch times, as the simulation forms the batches.
        let arrivals: Vec<f64> = traffic::Arrivals::poisson(vec![40.0], 60.0, 3).collect();
        let truth = RefCell::new(Vec::new());
        let log = RefCell::new(Vec::new());
        let time = |size: usize, rng: &mut ChaCha8Rng| {
            let unit: f64 = rng.random();
            let seconds = 0.02 + 0.01 * size as f64 + 0.02 * unit;
            truth.borrow_mut().push((size, seconds));
            log.borrow_mut().push(size);
            seconds
        };
        let fleet = Fleet {
            batching: Batching { max_size: 4, max_delay_s: 0.01 },
            routing: Routing::LeastOutstanding,
            max_queue: 1000,
            min_instances: 1,
            max_instances: 1,
            first_instances: 1,
            start_up: StartUp { provisioning_s: 0.0, load_s: 0.0 },
            policy: Policy::Fixed(1),
            without_instance: WithoutInstance::Wait,
            base: None,
            spot: None,
            limit_s: 1.0,
            span_s: 60.0,
        };
        simulate(arrivals.iter().copied(), &time, &fleet, 4);
        // Replay the same batches to learn when each request ended.
        let ns = |seconds: f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time")]
            let ns = (seconds * 1e9).round() as u64;
            ns
        };
        let (mut rows, mut next, mut free) = (Vec::new(), 0, 0.0_f64);
        for (size, seconds) in truth.borrow().iter() {
            let oldest = arrivals[next];
            let full = arrivals.get(next + 3).copied().unwrap_or(f64::INFINITY);
            let begin = free.max((oldest + 0.01).min(full)).max(oldest);
            free = begin + seconds;
            for (index, arrival) in arrivals.iter().enumerate().skip(next).take(*size) {
                let start_ns = ns(*arrival);
                let latency_ns = ns(free) - start_ns;
                let sample = u32::try_from(index).unwrap();
                rows.push(Observation {
                    run: 1,
                    sample,
                    start_ns,
                    latency_ns,
                    is_ok: true,
                    ..Observation::default()
                });
            }
            next += size;
        }
        assert_eq!(next, arrivals.len());
        let mut times = BatchTimes::default();
        times.add_open(0, &rows, OpenLoop { max_size: 4, max_delay_ns: 10_000_000 });
        assert_eq!(times.batches(), truth.borrow().len() as u64);
        for size in 1..=4 {
            let of_size: Vec<f64> =
                truth.borrow().iter().filter(|(of, _)| *of == size).map(|(_, s)| *s).collect();
            let mean = of_size.iter().sum::<f64>() / of_size.len() as f64;
            assert!((times.curve(None).mean_s(size) - mean).abs() < 1e-6, "size {size}");
        }
    }

    fn of_ms(ms: u64) -> Timed {
        Timed { seconds: ms as f64 / 1000.0, prompt_tokens: None }
    }

    fn batch(size: usize) -> Batch {
        Batch { size, prompt_tokens: None }
    }

    #[test]
    fn longer_prompts_take_longer_as_far_as_the_measured_ones_did() {
        // 10 ms and 0.1 ms per token, with a part that doesn't depend on them.
        let mut times = BatchTimes::default();
        for number in 0..40_u32 {
            let tokens = f64::from(100 + 10 * (number % 20));
            let rest_s = 0.010 + 0.002 * f64::from(number / 20);
            let time = Timed { seconds: rest_s + 1e-4 * tokens, prompt_tokens: Some(tokens) };
            times.add(1, (0, 1), time);
        }
        assert_eq!(times.prompts(), Some(100.0..=290.0));
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for tokens in [50.0, 195.0, 400.0] {
            let curve = times.curve(Some(tokens));
            assert!((curve.mean_s(1) - 0.011 - 1e-4 * tokens).abs() < 1e-9, "{tokens}");
            let asked = Batch { size: 1, prompt_tokens: Some(tokens) };
            let drawn: Vec<f64> = (0..500).map(|_| curve.seconds(asked, &mut rng)).collect();
            let rests = drawn.iter().map(|seconds| seconds - 1e-4 * tokens);
            assert!(
                rests
                    .clone()
                    .all(|rest| (rest - 0.010).abs() < 1e-9 || (rest - 0.012).abs() < 1e-9)
            );
            assert!(
                rests.clone().any(|rest| rest < 0.011) && rests.clone().any(|rest| rest > 0.011)
            );
        }
        // Unknown lengths are those of the measured batches.
        assert!((times.curve(None).mean_s(1) - 0.011 - 1e-4 * 195.0).abs() < 1e-9);
        // One batch whose prompts were not counted tells nothing.
        times.add(1, (0, 1), of_ms(20));
        assert_eq!(times.prompts(), None);
        assert!((times.curve(Some(400.0)).mean_s(1) - times.curve(None).mean_s(1)).abs() < 1e-12);
    }

    #[test]
    fn a_slope_is_as_uncertain_as_its_batches() {
        let mut times = BatchTimes::default();
        for number in 0..30_u32 {
            let tokens = f64::from(100 + number);
            let noise_s = if number % 2 == 0 { 0.002 } else { -0.002 };
            let time = Timed { seconds: 0.03 + noise_s, prompt_tokens: Some(tokens) };
            times.add(1, (number % 5, 1), time);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let asked = Batch { size: 1, prompt_tokens: Some(500.0) };
        let predicted: Vec<f64> = (0..200)
            .map(|_| times.resampled(&mut rng).sizes[0].mean(asked.prompt_tokens))
            .collect();
        // The true slope is 0: extrapolated times vary, and are never below those of the measured prompts.
        assert!(predicted.iter().any(|seconds| *seconds > 0.04), "{predicted:?}");
        assert!(predicted.iter().all(|seconds| *seconds > 0.0279), "{predicted:?}");
    }

    fn two_sizes() -> BatchTimes {
        let mut times = BatchTimes::default();
        for run in 1..=3 {
            for batch in 0..10 {
                let ms = u64::from(batch + run);
                times.add(1, (0, run), of_ms(10 + ms));
                times.add(5, (1, run), of_ms(30 + ms));
            }
        }
        times
    }

    #[test]
    fn sizes_in_between_are_interpolated() {
        let curve = two_sizes().curve(None);
        let (one, five) = (curve.mean_s(1), curve.mean_s(5));
        assert!((curve.mean_s(3) - f64::midpoint(one, five)).abs() < 1e-12);
        assert!((curve.mean_s(10) - 2.0 * five).abs() < 1e-12);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<f64> = (0..2000).map(|_| curve.seconds(batch(3), &mut rng)).collect();
        let mean = drawn.iter().sum::<f64>() / 2000.0;
        assert!((mean - curve.mean_s(3)).abs() < 2e-4);
        assert!((curve.full_rate(5) - 5.0 / five).abs() < 1e-9);
    }

    #[test]
    fn times_between_pauses_are_used_alone_if_there_are_enough() {
        let rule = OpenLoop { max_size: 1, max_delay_ns: 0 };
        let closed: Vec<_> =
            (0..100).map(|n| row(1, n, n, u64::from(n) * 10, u64::from(n) * 10 + 10)).collect();
        let open = |count: u32| -> Vec<_> {
            let apart = |n: u32| row(1, n, n, u64::from(n) * 100, u64::from(n) * 100 + 13);
            (0..count).map(apart).collect()
        };
        for (count, mean_s) in [(29, (1.0 + 0.013 * 29.0) / 129.0), (30, 0.013)] {
            let mut times = BatchTimes::default();
            times.add_closed(0, &closed);
            times.add_open(1, &open(count), rule);
            assert!((times.curve(None).mean_s(1) - mean_s).abs() < 1e-9, "{count}");
            assert_eq!(times.batches(), if count == 30 { 30 } else { 129 });
        }
    }

    #[test]
    fn resampling_carries_the_variation_between_runs() {
        let mut times = BatchTimes::default();
        for run in 1..=4_u32 {
            for _ in 0..50 {
                times.add(1, (0, run), of_ms(u64::from(run) * 10));
            }
        }
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let means: Vec<f64> = (0..400).map(|_| times.resampled(&mut rng).mean_s(1)).collect();
        let mean = means.iter().sum::<f64>() / 400.0;
        let deviation = (means.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / 399.0).sqrt();
        // 25 ms, and the deviation of four runs over sqrt(4): 11.18 / 2 ms.
        assert!((mean - 0.025).abs() < 0.001 && (deviation - 0.0056).abs() < 0.0006, "{deviation}");
        assert_eq!(times.least_runs(), 4);
    }
}
