//! Good requests: those within the limit of the service level objective, and the capacity of a target.

use super::serial::Serial;
use super::throughput::{self, Rate};
use crate::{Cell, Limitation, Observation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF};
use std::collections::BTreeMap;

/// The service level objective: the share of requests that must be within all limits, and the share that may fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slo {
    /// Null without such a limit, as the others.
    #[serde(default)]
    pub request_latency_ms: Option<f64>,
    #[serde(default)]
    pub ttft_ms: Option<f64>,
    #[serde(default)]
    pub tpot_ms: Option<f64>,
    /// Percentage of the requests that must be within all limits, 0 to 100.
    pub percentile: f64,
    /// Largest share of requests that may fail, above 0 and below 1; null to count them as not good only.
    #[serde(default)]
    pub error_rate: Option<f64>,
}

/// What a limit of an objective holds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitedMetric {
    RequestLatency,
    Ttft,
    Tpot,
}

/// How a request fares under the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    Good,
    /// It failed or is past a limit.
    Bad,
    /// It keeps every limit whose figure was measured, and one wasn't.
    Unknown,
}

/// One limit of the objective, and the share of requests that keep it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LimitShare {
    pub metric: LimitedMetric,
    pub limit_ms: f64,
    /// Of all requests, failed ones included; null if a figure wasn't measured.
    pub within: Option<f64>,
}

/// Whether a cell keeps the objective: whether at least its percentile's share of the requests are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The whole interval of the share of good requests is at or above the percentile.
    Kept,
    /// The whole interval is below it.
    Missed,
    /// The interval contains the percentile, or nothing was measured.
    Undecided,
}

/// Attainment of an objective by one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Goodput {
    pub slo: Slo,
    /// The attainment that every sentence, table, curve and cost of a report uses.
    pub kept: Kept,
    /// Requests within all limits.
    pub good_samples: u64,
    /// Their share of all requests, including failed ones and rejected arrivals; null without requests.
    pub good_share: Option<f64>,
    /// Lower end of the 95% interval of `good_share`.
    #[serde(default)]
    pub good_share_ci_low: Option<f64>,
    /// Upper end of the 95% interval of `good_share`.
    #[serde(default)]
    pub good_share_ci_high: Option<f64>,
    /// Each limit on its own.
    #[serde(default)]
    pub limits: Vec<LimitShare>,
    /// Share of failed requests and rejected arrivals; null without requests.
    #[serde(default)]
    pub failed_share: Option<f64>,
    pub goodput: Rate,
}

impl LimitedMetric {
    /// In milliseconds. A summary of one token has no time per further token, which keeps every limit.
    fn of(self, row: &Observation) -> Option<f64> {
        match self {
            Self::RequestLatency => Some(row.latency_ms()),
            Self::Ttft => row.ttft_ms(),
            Self::Tpot if row.output_tokens.is_some_and(|tokens| tokens < 2) => Some(0.0),
            Self::Tpot => row.tpot_ms(),
        }
    }
}

impl Slo {
    /// The limits that are set, in milliseconds.
    pub fn limits(&self) -> impl Iterator<Item = (LimitedMetric, f64)> + use<> {
        let limits = [
            (LimitedMetric::RequestLatency, self.request_latency_ms),
            (LimitedMetric::Ttft, self.ttft_ms),
            (LimitedMetric::Tpot, self.tpot_ms),
        ];
        limits.into_iter().filter_map(|(metric, limit)| Some((metric, limit?)))
    }

    pub fn grade(&self, row: &Observation) -> Grade {
        if !row.is_ok() {
            return Grade::Bad;
        }
        let mut grade = Grade::Good;
        for (metric, limit) in self.limits() {
            match metric.of(row) {
                Some(figure) if figure > limit => return Grade::Bad,
                Some(_) => {}
                None => grade = Grade::Unknown,
            }
        }
        grade
    }

    fn is_good(&self, row: &Observation) -> bool {
        self.grade(row) == Grade::Good
    }

    /// The shares of requests that the objective needs: of good ones, then of those that don't fail, if that has a limit.
    pub fn needed(&self) -> Vec<f64> {
        let answered = self.error_rate.map(|rate| 1.0 - rate);
        let needed = [self.percentile / 100.0].into_iter().chain(answered);
        // A bundle may claim any number.
        needed.map(|share| share.clamp(0.0001, 0.9999)).collect()
    }

    fn within(&self, cell: &Cell, (metric, limit_ms): (LimitedMetric, f64)) -> LimitShare {
        let answered = || cell.observations().filter(Observation::is_ok);
        let is_measured = !cell.is_empty() && answered().all(|row| metric.of(&row).is_some());
        let keeps = |row: &Observation| metric.of(row).is_some_and(|figure| figure <= limit_ms);
        let share = || answered().filter(keeps).count() as f64 / cell.len() as f64;
        LimitShare { metric, limit_ms, within: is_measured.then(share) }
    }
}

/// Whether a share is at or above what is needed, by its whole interval.
fn reaches(interval: Option<(f64, f64)>, needed: f64) -> Kept {
    match interval {
        Some((low, _)) if low >= needed => Kept::Kept,
        Some((_, high)) if high < needed => Kept::Missed,
        _ => Kept::Undecided,
    }
}

impl Kept {
    /// Of two objectives that must both be kept.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Missed, _) | (_, Self::Missed) => Self::Missed,
            (Self::Kept, Self::Kept) => Self::Kept,
            _ => Self::Undecided,
        }
    }
}

/// Judges the requests of a cell; failed ones and rejected arrivals are not good.
pub fn goodput(cell: &Cell, slo: Slo) -> Goodput {
    let count = |is: &dyn Fn(&Observation) -> bool| cell.observations().filter(is).count() as u64;
    let is_good = |row: &Observation| slo.is_good(row);
    let good_samples = count(&is_good);
    let all = cell.len() as u64;
    let share = |part: u64| (all > 0).then(|| part as f64 / all as f64);
    let alpha = cell.alpha();
    let interval = share_interval(good_samples, all, effective_requests(cell, &is_good), alpha);
    let needed = slo.percentile / 100.0;
    let mut kept = reaches(interval, needed);
    if cell.observations().any(|row| slo.grade(&row) == Grade::Unknown) {
        // Missed if that is so whatever the unmeasured figures are.
        let may_be_good = |row: &Observation| slo.grade(row) != Grade::Bad;
        let effective = effective_requests(cell, &may_be_good);
        let most = share_interval(count(&may_be_good), all, effective, alpha);
        kept = if reaches(most, needed) == Kept::Missed { Kept::Missed } else { Kept::Undecided };
    }
    let answered = count(&Observation::is_ok);
    if let Some(error_rate) = slo.error_rate {
        let effective = effective_requests(cell, &Observation::is_ok);
        kept = kept.and(reaches(share_interval(answered, all, effective, alpha), 1.0 - error_rate));
    }
    Goodput {
        slo,
        kept,
        good_samples,
        good_share: share(good_samples),
        good_share_ci_low: interval.map(|(low, _)| low),
        good_share_ci_high: interval.map(|(_, high)| high),
        limits: slo.limits().map(|limit| slo.within(cell, limit)).collect(),
        failed_share: share(all - answered),
        goodput: throughput::rate(cell, "good samples/sec", |run| {
            run.by_host(|row| if slo.is_good(row) { 1.0 } else { 0.0 })
        }),
    }
}

/// The interval of a share from clustered requests: that of Clopper and Pearson over the effective sample size (Korn
/// and Graubard, Survey Methodology 24, 1998). `None` without requests.
fn share_interval(good: u64, all: u64, effective: f64, alpha: f64) -> Option<(f64, f64)> {
    let n = Some(effective).filter(|n| *n > 0.0)?;
    let share = good as f64 / all as f64;
    let (hits, misses) = (share * n, (1.0 - share) * n);
    let at =
        |a: f64, b: f64, probability: f64| Some(Beta::new(a, b).ok()?.inverse_cdf(probability));
    let low = if good == 0 { 0.0 } else { at(hits, misses + 1.0, alpha / 2.0)? };
    let high = if good == all { 1.0 } else { at(hits + 1.0, misses, 1.0 - alpha / 2.0)? };
    Some((low, high))
}

/// The number of requests that count as independent, as far as being good goes: requests of one run, or of one
/// dialogue, and those that follow each other, tend to be good or bad together. If all are good or none is, the data
/// shows no dependence.
fn effective_requests(cell: &Cell, is_good: &dyn Fn(&Observation) -> bool) -> f64 {
    let (mut by_run, mut by_dialogue) = (Vec::new(), BTreeMap::<u32, Cluster>::new());
    let mut series = Vec::new();
    for run in cell.runs() {
        let mut of_run = Cluster::default();
        let mut in_time = Vec::new();
        for row in run.unpacked() {
            let good = is_good(&row);
            of_run.add(good);
            by_dialogue.entry(row.sample).or_default().add(good);
            in_time.push((row.host, row.start_ns, f64::from(u8::from(good))));
        }
        by_run.push(of_run);
        in_time.sort_by_key(|&(host, start_ns, _)| (host, start_ns));
        let of_host = |requests: &[(u32, u64, f64)]| requests.iter().map(|one| one.2).collect();
        series.extend(in_time.chunk_by(|a, b| a.0 == b.0).map(of_host));
    }
    let clusters: Vec<Cluster> = by_dialogue.into_values().collect();
    let effect = design_effect(&by_run).max(design_effect(&clusters));
    Serial::of(&series).effective(cell.len() as u64) as f64 / effect
}

/// Requests that tend to be good or bad together.
#[derive(Debug, Clone, Copy, Default)]
struct Cluster {
    requests: f64,
    good: f64,
}

impl Cluster {
    fn add(&mut self, is_good: bool) {
        self.requests += 1.0;
        self.good += f64::from(u8::from(is_good));
    }
}

/// By how much clusters inflate the variance of a share, at least 1: Kish's design effect with the intraclass
/// correlation of the analysis of variance (Donald and Donner, Biometrika 74, 1987).
fn design_effect(clusters: &[Cluster]) -> f64 {
    let sum = |of: fn(&Cluster) -> f64| clusters.iter().map(of).sum::<f64>();
    let (k, n, good) = (clusters.len() as f64, sum(|one| one.requests), sum(|one| one.good));
    if k < 2.0 || n <= k {
        return 1.0;
    }
    let share = good / n;
    let of_cluster = |one: &Cluster| one.good / one.requests;
    let between: f64 =
        clusters.iter().map(|one| one.requests * (of_cluster(one) - share).powi(2)).sum();
    let within: f64 = clusters.iter().map(|one| one.good * (1.0 - of_cluster(one))).sum();
    let (between, within) = (between / (k - 1.0), within / (n - k));
    let squares = sum(|one| one.requests * one.requests);
    let size = (n - squares / n) / (k - 1.0);
    let total = between + (size - 1.0) * within;
    if total <= 0.0 {
        return 1.0;
    }
    let correlation = ((between - within) / total).max(0.0);
    1.0 + (squares / n - 1.0) * correlation
}

/// The capacity of a target under an objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "capacity")]
pub enum Capacity {
    /// The highest measured rate that keeps the objective, as all lower ones do.
    Met {
        request_rate: f64,
    },
    /// The same of a closed loop: the highest number of requests in flight.
    MetInFlight {
        concurrency: u32,
    },
    /// Even the lowest measured rate misses it.
    NeverMet,
    Undecided {
        reason: Limitation,
    },
}

impl Capacity {
    /// Whether a measured rate is within the capacity.
    pub fn carries(&self, rate: f64) -> bool {
        matches!(self, Self::Met { request_rate } if rate <= *request_rate)
    }
}

/// The capacity from the attainment at each measured rate, in any order.
pub fn capacity(at_rates: &[(f64, Kept)]) -> Capacity {
    let mut at_rates = at_rates.to_vec();
    at_rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    match at_rates.iter().take_while(|(_, kept)| *kept == Kept::Kept).last() {
        Some(&(request_rate, _)) => Capacity::Met { request_rate },
        None => match at_rates.first() {
            Some((_, Kept::Missed)) => Capacity::NeverMet,
            Some(_) => Capacity::Undecided { reason: Limitation::IntervalContainsLimit },
            None => Capacity::Undecided { reason: Limitation::NothingMeasured },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scenario;

    const SLO: Slo = Slo {
        request_latency_ms: Some(500.0),
        ttft_ms: None,
        tpot_ms: None,
        percentile: 95.0,
        error_rate: None,
    };

    /// `runs` of `requests` each; `latency_ms` by run and place.
    fn cell(runs: u32, requests: u32, latency_ms: impl Fn(u32, u32) -> u64) -> Cell {
        let row = |run: u32, place: u32| Observation {
            run,
            segment: run,
            batch: place,
            start_ns: u64::from(place) * 1_000_000,
            sample: place,
            latency_ns: latency_ms(run, place) * 1_000_000,
            is_ok: true,
            ..Observation::default()
        };
        let rows = (1..=runs).flat_map(|run| (0..requests).map(move |place| (run, place)));
        Cell::new(Scenario::Server, rows.map(|(run, place)| row(run, place)).collect())
    }

    #[test]
    fn every_request_within_the_limit_is_evidence() {
        let all_good = goodput(&cell(3, 240, |_, _| 100), SLO);
        assert_eq!((all_good.kept, all_good.good_samples), (Kept::Kept, 720));
        // Clopper and Pearson, 720 of 720: 0.025^(1/720).
        assert!((all_good.good_share_ci_low.unwrap() - 0.025_f64.powf(1.0 / 720.0)).abs() < 1e-9);
        let few = goodput(&cell(1, 20, |_, _| 100), SLO);
        assert_eq!(few.kept, Kept::Undecided, "20 of 20 leave up to 16% open");
    }

    #[test]
    fn a_queue_that_grows_misses_it() {
        // 147 of 720: the first ones of each run, before the queue was long.
        let overload =
            goodput(&cell(3, 240, |run, place| if place < 48 + run % 3 { 100 } else { 900 }), SLO);
        assert_eq!((overload.kept, overload.good_samples), (Kept::Missed, 147));
    }

    /// 720 requests of 100 ms with a first token after 20 ms and 9 tokens: 10 ms for each of the further ones.
    fn streamed(change: impl Fn(&mut Observation)) -> Cell {
        let plain = cell(3, 240, |_, _| 100);
        let rows = plain.observations().map(|mut row| {
            (row.ttft_ns, row.output_tokens) = (Some(20_000_000), Some(9));
            change(&mut row);
            row
        });
        Cell::new(Scenario::Server, rows.collect())
    }

    #[test]
    fn a_request_is_good_within_all_limits() {
        let slo = Slo { ttft_ms: Some(20.0), tpot_ms: Some(10.0), ..SLO };
        let all_good = goodput(&streamed(|_| ()), slo);
        assert_eq!((all_good.kept, all_good.good_samples), (Kept::Kept, 720));
        for tight in [
            Slo { ttft_ms: Some(19.0), ..slo },
            Slo { tpot_ms: Some(9.9), ..slo },
            Slo { request_latency_ms: Some(99.0), ..slo },
        ] {
            let missed = goodput(&streamed(|_| ()), tight);
            assert_eq!((missed.kept, missed.good_samples), (Kept::Missed, 0), "{tight:?}");
            let within: Vec<f64> = missed.limits.iter().filter_map(|limit| limit.within).collect();
            assert_eq!(
                within.iter().sum::<f64>().to_string(),
                "2",
                "one of three is past: {within:?}"
            );
        }
        // One token has no further ones.
        let single = streamed(|row| row.output_tokens = Some(1));
        assert_eq!(goodput(&single, slo).kept, Kept::Kept);
    }

    #[test]
    fn an_unmeasured_figure_decides_nothing() {
        let slo = Slo { ttft_ms: Some(20.0), ..SLO };
        let unknown = goodput(&streamed(|row| row.ttft_ns = None), slo);
        assert_eq!((unknown.kept, unknown.limits[1].within), (Kept::Undecided, None));
        let slow = streamed(|row| (row.ttft_ns, row.latency_ns) = (None, 600_000_000));
        assert_eq!(goodput(&slow, slo).kept, Kept::Missed, "the latency is known to be past");
    }

    #[test]
    fn failures_have_a_limit_of_their_own() {
        let slo = |error_rate| Slo { error_rate, ..SLO };
        // 3% of the requests fail: p95 is kept, an error rate of 1% isn't, one of 10% is.
        let failing = streamed(|row| row.is_ok = row.sample % 33 != 0);
        let kept = |error_rate| goodput(&failing, slo(error_rate)).kept;
        assert_eq!(
            [kept(None), kept(Some(0.01)), kept(Some(0.1))],
            [Kept::Undecided, Kept::Missed, Kept::Undecided]
        );
        assert!((goodput(&failing, slo(None)).failed_share.unwrap() - 8.0 / 240.0).abs() < 1e-9);
        assert_eq!(goodput(&streamed(|_| ()), slo(Some(0.01))).kept, Kept::Kept);
    }

    #[test]
    fn one_slow_run_of_three_decides_nothing() {
        let unstable =
            cell(3, 240, |run, place| if run == 3 && place % 10 == 0 { 900 } else { 100 });
        let found = goodput(&unstable, SLO);
        assert!(found.good_share.unwrap() > 0.96);
        assert_eq!(found.kept, Kept::Undecided);
    }

    #[test]
    fn repeats_of_slow_dialogues_count_once() {
        let clusters = |repeats: u32| -> Vec<Cluster> {
            (0..100_u32)
                .map(|one| {
                    let requests = f64::from(repeats);
                    Cluster { requests, good: if one < 3 { 0.0 } else { requests } }
                })
                .collect()
        };
        assert!((design_effect(&clusters(3)) - 3.0).abs() < 1e-9);
        assert!((design_effect(&clusters(1)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_capacity_is_the_highest_rate_up_to_which_all_keep_the_limit() {
        use super::Kept::{Kept, Missed, Undecided};
        let met = |request_rate| Capacity::Met { request_rate };
        assert_eq!(capacity(&[(4.0, Kept), (1.0, Kept), (2.0, Undecided)]), met(1.0));
        assert_eq!(capacity(&[(4.0, Kept), (1.0, Kept)]), met(4.0));
        assert_eq!(capacity(&[(4.0, Kept), (1.0, Missed)]), Capacity::NeverMet);
        let reason = Limitation::IntervalContainsLimit;
        assert_eq!(capacity(&[(1.0, Undecided)]), Capacity::Undecided { reason });
        let reason = Limitation::NothingMeasured;
        assert_eq!(capacity(&[]), Capacity::Undecided { reason });
        assert!(met(4.0).carries(4.0) && !met(4.0).carries(5.0));
    }
}
