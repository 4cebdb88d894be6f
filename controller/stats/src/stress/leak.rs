//! Whether memory grows without end.
//!
//! Only the lower envelope counts: memory that an allocator or garbage collector returns is no leak. The series is cut
//! into slices that hold at least two teeth of a sawtooth each, and the smallest value of each slice is kept. Through
//! these goes the line of Theil and Sen; its error comes from a circular block bootstrap of the residuals (Politis
//! and Romano 1992), because neighboring troughs resemble each other.

use super::POWER;
use super::detectable::{margin, normal_quantile};
use super::finding::{Finding, more_minutes};
use super::robust::{median, theil_sen};
use crate::interval::{ALPHA, standard_deviation, t_critical};
use crate::{Estimate, Limitation};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A growth of less than this share of the level over the observed time is no leak, however sure it is.
pub const NEGLIGIBLE: f64 = 0.002;
/// A leak per hour above this share of the level must be detected unless the matrix sets another limit.
pub const MATTERS_PER_HOUR: f64 = 0.05;
/// The fewest slices that carry a line.
pub const FEWEST_SLICES: usize = 8;
/// More slices than this add nothing but time to compute.
const MOST_SLICES: usize = 48;
/// One in so many windows, the first ones, is in no figure: caches fill.
const FILLING: usize = 4;
/// So many windows must be in a slice; half of them where there are no teeth.
const WINDOWS_PER_SLICE: usize = 4;
/// So many teeth of a sawtooth must be in a slice, so that its smallest value is a trough.
const TEETH_PER_SLICE: usize = 2;
/// A sawtooth whose range is below this share of the level can't hide or feign a leak that counts.
const SMALL_TEETH: f64 = 0.002;
const RESAMPLES: u32 = 400;
/// A few dozen troughs underestimate their own noise: in `cargo xtask simulate --stress` intervals without this factor
/// hold the true leak in 85 to 90 % of runs, and with it in 95.
const WIDENED: f64 = 1.35;

/// One in so many leaks is taken for a cache that fills, in `cargo xtask simulate --stress`.
const TAKEN_FOR_CACHE: f64 = 50.0;

/// So many stairs look like a line, whatever the noise.
const FEWEST_STAIRS: f64 = 2.0;

/// 2^20 bytes.
pub const MB: f64 = 1_048_576.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    /// The end of the window, in seconds of measured time.
    pub at_s: f64,
    /// Requests that were answered up to then.
    pub requests: u64,
    /// The least that was held in it.
    pub bytes: f64,
}

/// Whether memory leaks. An MB is 2^20 bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Leak {
    /// Found: the interval is above zero, and the growth over the observed time is at least 0.2 % of the level.
    pub finding: Finding,
    /// When the first quarter is over, in which caches fill, in seconds; it is in no figure.
    pub judged_from_s: f64,
    /// Whether growth slows down while it is watched: then it may be a cache that fills.
    pub is_settling: bool,
    pub level_mb: Option<f64>,
    /// The growth of the lower envelope per hour.
    pub mb_per_hour: Estimate,
    /// The same per 1,000 requests.
    pub mb_per_1000_requests: Estimate,
    /// The smallest leak per hour that would have been found in 90 % of campaigns.
    pub minimum_detectable_mb_per_hour: Option<f64>,
    /// How often memory fell back, as a sawtooth does.
    pub teeth: u64,
    /// The lower envelope: seconds and MB.
    pub envelope: Vec<(f64, f64)>,
}

/// Judges memory in order of time, measured in steps of `step_mb`. A leak above `matters_mb_per_hour` (by default 5 %
/// of the level per hour) must be detected. All randomness follows from `seed`.
pub fn leak(series: &[Held], step_mb: f64, matters_mb_per_hour: Option<f64>, seed: u64) -> Leak {
    // Cut by the clock, not by what is seen: a cut that follows the noise makes the noise look smaller.
    let series = &series[series.len() / FILLING..];
    let (first_s, last_s) =
        (series.first().map_or(0.0, |held| held.at_s), series.last().map_or(0.0, |held| held.at_s));
    let observed_s = last_s - first_s;
    let points: Vec<(f64, f64)> =
        series.iter().map(|held| (held.at_s / 3600.0, held.bytes / MB)).collect();
    let level = median(&mut points.iter().map(|point| point.1).collect::<Vec<_>>());
    let teeth = teeth(&points, level.unwrap_or_default(), step_mb);
    let slices = slices(series.len(), teeth);
    let envelope = envelope(series, slices);
    let undecided = |reason: Limitation, more_minutes| Leak {
        finding: Finding::Inconclusive { more_minutes },
        judged_from_s: first_s,
        is_settling: false,
        level_mb: level,
        mb_per_hour: Estimate::missing(envelope.len() as u64, reason),
        mb_per_1000_requests: Estimate::missing(envelope.len() as u64, reason),
        minimum_detectable_mb_per_hour: None,
        teeth: teeth.unwrap_or_default() as u64,
        envelope: envelope.iter().map(|held| (held.at_s, held.bytes / MB)).collect(),
    };
    if envelope.len() < FEWEST_SLICES {
        let needed = match teeth {
            Some(teeth) => FEWEST_SLICES * TEETH_PER_SLICE * 5 / 4 / teeth.max(1),
            None => FEWEST_SLICES * WINDOWS_PER_SLICE * 2 / series.len().max(1),
        };
        let more_minutes = (observed_s * (needed.max(1) as f64) / 60.0).ceil().max(1.0);
        return undecided(Limitation::TooFewTroughs, Some(more_minutes));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let by_time: Vec<(f64, f64)> =
        envelope.iter().map(|held| (held.at_s / 3600.0, held.bytes / MB)).collect();
    let by_requests: Vec<(f64, f64)> =
        envelope.iter().map(|held| (held.requests as f64 / 1000.0, held.bytes / MB)).collect();
    let Some(growth) = Growth::of(&by_time, &mut rng) else {
        return undecided(Limitation::NoTimeMeasured, None);
    };
    let level_mb = level.unwrap_or_default();
    let hours = observed_s / 3600.0;
    let negligible = NEGLIGIBLE * level_mb / hours;
    let matters = matters_mb_per_hour.unwrap_or(MATTERS_PER_HOUR * level_mb);
    // A line through stairs may miss one of them, and fewer than some are no line.
    let stair = step_mb / hours;
    let detectable =
        (growth.half_width().max(negligible) + growth.margin() + stair).max(FEWEST_STAIRS * stair);
    let (low, high) = growth.interval();
    let is_sure = low > 0.0 && growth.slope >= negligible;
    let is_settling = is_sure && growth.slows_down(&by_time, step_mb, &mut rng);
    let finding = if is_sure && !is_settling {
        Finding::Found
    } else if is_settling {
        Finding::Inconclusive { more_minutes: Some((observed_s / 60.0).ceil()) }
    } else if detectable > matters.max(negligible) {
        // The error of a slope shrinks with time to the power of 3/2.
        let more_minutes = more_minutes(observed_s, detectable, matters, 1.5);
        Finding::Inconclusive { more_minutes }
    } else {
        Finding::NotFound
    };
    let n = envelope.len() as u64;
    let per_requests = Growth::of(&by_requests, &mut rng);
    Leak {
        finding,
        is_settling,
        mb_per_hour: Estimate::within(growth.slope, (low, high), n),
        mb_per_1000_requests: per_requests.map_or_else(
            || Estimate::missing(n, Limitation::NoRequests),
            |growth| Estimate::within(growth.slope, growth.interval(), n),
        ),
        minimum_detectable_mb_per_hour: Some(detectable),
        ..undecided(Limitation::TooFewTroughs, None)
    }
}

/// How often a series falls from the upper to the lower part of its range about its own line; `None` where its range
/// is negligible or a few steps of measurement.
fn teeth(points: &[(f64, f64)], level: f64, step_mb: f64) -> Option<usize> {
    let step = (points.len() / 200).max(1);
    let slope = theil_sen(&points.iter().copied().step_by(step).collect::<Vec<_>>())?;
    let rest: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    let mut sorted = rest.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let trim = sorted.len() / 100;
    let (low, high) = (*sorted.get(trim)?, *sorted.get(sorted.len() - 1 - trim)?);
    if high - low < (SMALL_TEETH * level).max(1.5 * step_mb) {
        return None;
    }
    let (upper, lower) = (low + 0.6 * (high - low), low + 0.4 * (high - low));
    let (mut is_up, mut count) = (false, 0);
    for value in rest {
        if value > upper {
            is_up = true;
        } else if value < lower && is_up {
            is_up = false;
            count += 1;
        }
    }
    Some(count)
}

fn slices(windows: usize, teeth: Option<usize>) -> usize {
    let (fewest_windows, by_teeth) = match teeth {
        // There is nothing to wait for.
        None => (WINDOWS_PER_SLICE / 2, MOST_SLICES),
        // It never fell back: there is no tooth to wait for.
        Some(0) => (WINDOWS_PER_SLICE, MOST_SLICES),
        Some(teeth) => (WINDOWS_PER_SLICE, teeth / TEETH_PER_SLICE),
    };
    (windows / fewest_windows).min(by_teeth).min(MOST_SLICES)
}

fn envelope(series: &[Held], slices: usize) -> Vec<Held> {
    let cut = |index: usize| series.len() * index / slices.max(1);
    (0..slices)
        .filter_map(|index| {
            let slice = &series[cut(index)..cut(index + 1)];
            slice.iter().copied().min_by(|a, b| a.bytes.total_cmp(&b.bytes))
        })
        .collect()
}

struct Growth {
    slope: f64,
    error: f64,
    points: usize,
}

impl Growth {
    fn of(points: &[(f64, f64)], rng: &mut ChaCha8Rng) -> Option<Self> {
        let slope = theil_sen(points)?;
        let rest: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
        let block = block_length(points.len());
        let slopes: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let drawn = resample(&rest, block, rng);
                let points: Vec<(f64, f64)> =
                    points.iter().zip(drawn).map(|((x, _), rest)| (*x, rest)).collect();
                theil_sen(&points)
            })
            .collect();
        // Two parameters were fitted: the residuals are a little smaller than the noise, and blocks are cut.
        let n = points.len() as f64;
        let shrunk = (n / (n - 1.0 - block as f64)).sqrt();
        let error = standard_deviation(&slopes)? * shrunk * WIDENED;
        Some(Self { slope, error, points: points.len() })
    }

    fn critical(&self) -> f64 {
        t_critical((self.points as f64 - 2.0).max(1.0), ALPHA)
    }

    fn half_width(&self) -> f64 {
        self.critical() * self.error
    }

    /// How far above the half-width a leak must be to be found. The error has as many degrees of freedom as there are
    /// blocks: in `cargo xtask simulate --stress` it spreads as that says.
    fn margin(&self) -> f64 {
        let degrees = self.points as f64 / block_length(self.points) as f64;
        margin(self.critical(), degrees, POWER * (1.0 + 1.0 / TAKEN_FOR_CACHE)) * self.error
    }

    fn interval(&self) -> (f64, f64) {
        (self.slope - self.half_width(), self.slope + self.half_width())
    }

    /// Whether the second half surely grows at less than half of the speed of all. A line through stairs of this
    /// height may miss one of them.
    fn slows_down(&self, points: &[(f64, f64)], step_mb: f64, rng: &mut ChaCha8Rng) -> bool {
        let later = &points[points.len() / 2..];
        let [(from, _), .., (to, _)] = later else { return false };
        let missed = step_mb / (to - from);
        Self::of(later, rng).is_some_and(|later| {
            later.slope + normal_quantile(POWER) * later.error + missed < 0.5 * self.slope
        })
    }
}

/// The cube root of the number of points, which balances bias and variance of a block bootstrap.
fn block_length(points: usize) -> usize {
    (2..=points).find(|root| root.pow(3) >= points).unwrap_or(2)
}

/// Blocks of consecutive values, drawn with replacement from a ring.
fn resample(values: &[f64], block: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut drawn = Vec::with_capacity(values.len() + block);
    while drawn.len() < values.len() {
        let start = rng.random_range(0..values.len());
        drawn.extend((start..start + block).map(|index| values[index % values.len()]));
    }
    drawn.truncate(values.len());
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An hour in windows of 10 s, at 5 requests a second.
    fn series(mb: impl Fn(f64) -> f64) -> Vec<Held> {
        (1..=360_u32)
            .map(|i| {
                let noise = f64::from(i * 7919 % 101) / 101.0;
                let at_s = f64::from(i) * 10.0;
                let bytes = (mb(at_s / 3600.0) + noise) * MB;
                Held { at_s, requests: u64::from(i) * 50, bytes }
            })
            .collect()
    }

    fn tooth(hours: f64, per_hour: f64) -> f64 {
        (hours * per_hour).fract()
    }

    #[test]
    fn a_leak_is_found_by_the_hour_and_by_the_request() {
        let found = leak(&series(|hours| 300.0 + 20.0 * hours), 0.0, None, 1);
        assert!(found.finding.is_found(), "{found:?}");
        let (low, high) = found.mb_per_hour.interval().unwrap();
        assert!(low < 20.0 && 20.0 < high && high - low < 1.0, "{found:?}");
        // 18,000 requests an hour.
        let per_1000 = found.mb_per_1000_requests.value.unwrap();
        assert!((per_1000 - 20.0 / 18.0).abs() < 0.05);
    }

    #[test]
    fn a_sawtooth_is_no_leak_and_a_leak_below_it_is() {
        let saw = |hours: f64| 300.0 + 80.0 * tooth(hours, 40.0);
        let found = leak(&series(saw), 0.0, None, 1);
        assert_eq!(found.finding, Finding::NotFound, "{found:?}");
        // The first quarter is in no figure.
        assert!((26..=30).contains(&found.teeth), "{}", found.teeth);
        let leaking = leak(&series(|hours| saw(hours) + 30.0 * hours), 0.0, None, 1);
        assert!(leaking.finding.is_found(), "{leaking:?}");
    }

    #[test]
    fn a_few_long_teeth_tell_nothing_yet() {
        let found = leak(&series(|hours| 300.0 + 80.0 * tooth(hours, 4.0)), 0.0, None, 1);
        let Finding::Inconclusive { more_minutes } = found.finding else { panic!("{found:?}") };
        assert!(more_minutes.unwrap() > 60.0);
    }

    #[test]
    fn a_cache_that_fills_is_no_leak() {
        let found = leak(&series(|hours| 300.0 - 50.0 * (-hours * 12.0).exp()), 0.0, None, 1);
        assert!(!found.finding.is_found(), "{found:?}");
        let slowly = leak(&series(|hours| 300.0 - 50.0 * (-hours * 3.0).exp()), 0.0, None, 1);
        assert!(!slowly.finding.is_found(), "{slowly:?}");
    }

    #[test]
    fn what_would_matter_but_could_not_be_seen_is_left_open() {
        let found = leak(&series(|_| 300.0), 0.0, Some(0.01), 1);
        let Finding::Inconclusive { more_minutes } = found.finding else { panic!("{found:?}") };
        assert!(more_minutes.unwrap() > 10.0);
        assert!(found.minimum_detectable_mb_per_hour.unwrap() > 0.01);
    }

    #[test]
    fn nothing_tells_nothing() {
        assert!(matches!(leak(&[], 0.0, None, 1).finding, Finding::Inconclusive { .. }));
        let one = Held { at_s: 1.0, requests: 1, bytes: 1.0 };
        assert!(matches!(leak(&[one; 40], 0.0, None, 1).finding, Finding::Inconclusive { .. }));
    }

    #[test]
    fn memory_that_never_changes_leaks_nothing() {
        let still: Vec<Held> =
            (1..100).map(|i| Held { at_s: f64::from(i), requests: 1, bytes: 3e8 }).collect();
        let found = leak(&still, 0.0, None, 1);
        assert_eq!((found.finding, found.mb_per_hour.ci_high), (Finding::NotFound, Some(0.0)));
    }
}
