//! Measured batch times by batch size, and bootstrap samples of them.

use super::curve::{Curve, LEAST_TIMES, Timed};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use stats::Observation;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Measured batch times of one model on one target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchTimes {
    by_size: BTreeMap<usize, OfSize>,
}

/// The times of one batch size.
#[derive(Debug, Clone, Default, PartialEq)]
struct OfSize {
    closed: Vec<Measured>,
    open: Vec<Measured>,
}

impl OfSize {
    fn all(&self) -> impl Iterator<Item = &Measured> {
        self.closed.iter().chain(&self.open)
    }

    fn len(&self) -> usize {
        self.closed.len() + self.open.len()
    }
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
                let time = Timed::of(batch.iter(), end_ns.saturating_sub(start_ns), 0);
                self.add(batch.len(), (cell, batch[0].run), time);
            }
        }
    }

    /// Adds the batches of an open loop with one agent for each host.
    ///
    /// Samples state when a request arrived and when it ended. When its batch began follows from the rule: as soon as
    /// the last batch has ended and the queue is full or its oldest request has waited for the delay. The first batch of
    /// a segment is not added: the pause before it is unknown.
    pub fn add_open(&mut self, cell: u32, observations: &[Observation], rule: OpenLoop) {
        let key = |row: &Observation| (row.run, row.host, row.segment);
        let mut rows: Vec<Observation> = observations.to_vec();
        rows.sort_unstable_by_key(|row| (key(row), row.start_ns));
        for segment in rows.chunk_by(|a, b| key(a) == key(b)) {
            // A rejected request was in no batch; a failed one has an unknown part in it.
            let queued: Vec<&Observation> = segment.iter().filter(|row| row.is_ok).collect();
            let mut free_ns = None;
            let mut left = &queued[..];
            while let [oldest, ..] = left {
                let begin_ns = begin_ns(left, free_ns.unwrap_or_default(), oldest.start_ns, rule);
                let here = left.iter().take_while(|row| row.start_ns <= begin_ns).count();
                let (batch, later) = left.split_at(here.clamp(1, rule.max_size));
                let end_ns = batch.iter().map(|row| row.end_ns()).max().unwrap_or_default();
                let is_possible = batch.iter().all(|row| row.end_ns() > begin_ns);
                if let Some(free_ns) = free_ns
                    && is_possible
                {
                    let pause_ns = begin_ns - free_ns;
                    let time = Timed::of(batch.iter().copied(), end_ns - begin_ns, pause_ns);
                    let to = self.by_size.entry(batch.len()).or_default();
                    to.open.extend(Measured::of((cell, oldest.run), time));
                }
                free_ns = Some(end_ns);
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
        self.by_size.values().map(|times| times.len() as u64).sum()
    }

    /// The fewest runs that measured a size that is used.
    pub fn least_runs(&self) -> u64 {
        let runs =
            |times: &OfSize| (by_run(&times.closed).len() + by_run(&times.open).len()) as u64;
        self.used().map(|(_, times)| runs(times)).min().unwrap_or_default()
    }

    pub fn largest(&self) -> usize {
        self.used().map(|(size, _)| size).last().unwrap_or_default()
    }

    /// Sizes with enough times; all if there are none, and always the size that was measured most.
    fn used(&self) -> impl Iterator<Item = (usize, &OfSize)> {
        let most = self.by_size.values().map(OfSize::len).max().unwrap_or_default();
        let sizes = self.by_size.iter().map(|(size, times)| (*size, times));
        sizes.filter(move |(_, times)| times.len() >= LEAST_TIMES.min(most))
    }

    /// The times as they were measured. `prompt_tokens`: the mean length of the prompts of which mean times are asked.
    pub fn curve(&self, prompt_tokens: Option<f64>) -> Curve {
        let all = |times: &OfSize| times.all().map(|one| one.time).collect();
        Curve::new(self.used().map(|(size, times)| (size, all(times))), prompt_tokens)
    }

    /// The shortest and the longest mean length of the prompts of a batch, in tokens; `None` if the times of a size don't
    /// tell how they depend on it.
    pub fn prompts(&self) -> Option<RangeInclusive<f64>> {
        if !self.curve(None).has_lines() {
            return None;
        }
        let all = self.used().flat_map(|(_, times)| times.all());
        let lengths: Vec<f64> = all.filter_map(|one| one.time.prompt_tokens).collect();
        let low = lengths.iter().copied().reduce(f64::min)?;
        Some(low..=lengths.iter().copied().reduce(f64::max)?)
    }

    /// A bootstrap sample: for each size, runs with replacement, and times within them with replacement. Runs of closed
    /// and of open loops are drawn apart, so that each sample has times with and without pauses.
    pub fn resampled(&self, rng: &mut ChaCha8Rng) -> Curve {
        let mut sizes = Vec::new();
        for (size, times) in self.used() {
            let mut drawn = Vec::with_capacity(times.len());
            for runs in [by_run(&times.closed), by_run(&times.open)] {
                for _ in 0..runs.len() {
                    let run = &runs[rng.random_range(0..runs.len())];
                    drawn.extend(run.iter().map(|_| run[rng.random_range(0..run.len())]));
                }
            }
            sizes.push((size, drawn));
        }
        Curve::new(sizes.into_iter(), None)
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

#[cfg(test)]
mod tests {
    use super::super::simulation::{Batch, BatchTime, Batching, Fleet, simulate};
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
        let time = |size: usize, rng: &mut ChaCha8Rng| {
            let unit: f64 = rng.random();
            let seconds = 0.02 + 0.01 * size as f64 + 0.02 * unit;
            truth.borrow_mut().push((size, seconds));
            seconds
        };
        let batching = Batching { max_size: 4, max_delay_s: 0.01 };
        let fleet = Fleet { span_s: 60.0, ..Fleet::fixed(1, batching) };
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
        // The pause before the first one is unknown.
        assert_eq!(times.batches() + 1, truth.borrow().len() as u64);
        for size in 1..=4 {
            let of_size = truth
                .borrow()
                .iter()
                .skip(1)
                .filter(|(of, _)| *of == size)
                .copied()
                .collect::<Vec<_>>();
            let found = &times.by_size[&size].open;
            assert_eq!(found.len(), of_size.len());
            for (one, (_, seconds)) in found.iter().zip(&of_size) {
                assert!((one.time.seconds - seconds).abs() < 1e-8, "size {size}");
            }
        }
    }

    fn of_ms(ms: u64) -> Timed {
        timed(ms as f64 / 1000.0, None)
    }

    fn timed(seconds: f64, prompt_tokens: Option<f64>) -> Timed {
        Timed { seconds, prompt_tokens, pause_s: 0.0 }
    }

    fn batch(size: usize) -> Batch {
        Batch { size, prompt_tokens: None, pause_s: 0.0 }
    }

    #[test]
    fn longer_prompts_take_longer_as_far_as_the_measured_ones_did() {
        // 10 ms and 0.1 ms per token, with a part that doesn't depend on them.
        let mut times = BatchTimes::default();
        for number in 0..40_u32 {
            let tokens = f64::from(100 + 10 * (number % 20));
            let rest_s = 0.010 + 0.002 * f64::from(number / 20);
            let time = timed(rest_s + 1e-4 * tokens, Some(tokens));
            times.add(1, (0, 1), time);
        }
        assert_eq!(times.prompts(), Some(100.0..=290.0));
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for tokens in [50.0, 195.0, 400.0] {
            let curve = times.curve(Some(tokens));
            assert!((curve.mean_s(1) - 0.011 - 1e-4 * tokens).abs() < 1e-9, "{tokens}");
            let asked = Batch { prompt_tokens: Some(tokens), ..batch(1) };
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
            let time = timed(0.03 + noise_s, Some(tokens));
            times.add(1, (number % 5, 1), time);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let asked = Batch { prompt_tokens: Some(500.0), ..batch(1) };
        let predicted: Vec<f64> =
            (0..200).map(|_| times.resampled(&mut rng).seconds(asked, &mut rng)).collect();
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

    /// Batches of 10 ms back to back, and of 20 ms and a tenth of the pause before them.
    fn with_pauses() -> BatchTimes {
        let mut times = BatchTimes::default();
        let closed: Vec<_> =
            (0..100).map(|n| row(1, n, n, u64::from(n) * 10, u64::from(n) * 10 + 10)).collect();
        times.add_closed(0, &closed);
        let (mut free_ms, mut open) = (0, Vec::new());
        for n in 0..301_u32 {
            let pause_ms = u64::from(n % 100) * 10 + 10;
            let start_ms = free_ms + pause_ms;
            free_ms = start_ms + 20 + pause_ms / 10;
            open.push(row(1, n, n, start_ms, free_ms));
        }
        times.add_open(1, &open, OpenLoop { max_size: 1, max_delay_ns: 0 });
        times
    }

    #[test]
    fn times_are_those_after_similar_pauses() {
        let times = with_pauses();
        assert_eq!((times.batches(), times.least_runs()), (400, 2));
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for curve in [times.curve(None), times.resampled(&mut rng)] {
            assert!((curve.mean_s(1) - 0.010).abs() < 1e-9, "back to back");
            for pause_s in [0.05, 0.31, 0.5, 0.95, 30.0] {
                let asked = Batch { pause_s, ..batch(1) };
                let drawn = (0..500).map(|_| curve.seconds(asked, &mut rng));
                let expected_s = 0.020 + pause_s.min(0.95) / 10.0;
                // 300 pauses of up to 1 s in ten groups.
                let mean_s = drawn.sum::<f64>() / 500.0;
                assert!((mean_s - expected_s).abs() < 0.012, "{pause_s} {mean_s} {expected_s}");
            }
        }
    }

    #[test]
    fn few_batches_without_or_with_a_pause_are_no_group() {
        let rule = OpenLoop { max_size: 1, max_delay_ns: 0 };
        // 10 ms back to back, 20 ms after a pause.
        let rows = |at_once: u32, paused: u32| -> Vec<_> {
            let mut free_ms = 0;
            let mut next = |n: u32, pause_ms: u64| {
                let start_ms = free_ms + pause_ms;
                free_ms = start_ms + if pause_ms == 0 { 10 } else { 20 };
                row(1, n, n, start_ms, free_ms)
            };
            let first = next(0, 50);
            let followed = (1..=at_once).map(|n| (n, 0));
            let others = (at_once + 1..=at_once + paused).map(|n| (n, 50));
            let all: Vec<_> = followed.chain(others).map(|(n, ms)| next(n, ms)).collect();
            [vec![first], all].concat()
        };
        for (at_once, paused, mean_s) in
            [(8, 8, 0.010), (7, 8, (0.07 + 0.16) / 15.0), (8, 7, (0.08 + 0.14) / 15.0)]
        {
            let mut times = BatchTimes::default();
            times.add_open(0, &rows(at_once, paused), rule);
            assert_eq!(times.batches(), u64::from(at_once + paused));
            assert!((times.curve(None).mean_s(1) - mean_s).abs() < 1e-9, "{at_once} {paused}");
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
