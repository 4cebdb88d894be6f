//! A cell's measured time on one host in pieces of equal length: what the machine showed in each, and how long the
//! requests took that ended in it. For charts; verdicts use the windows themselves.
//!
//! However long a campaign is, there are at most [`MOST`] pieces: when there are more, each two become one.

use super::Collector;
use model::telemetry::{Kind, Metric, Readings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most points of a chart.
const MOST: usize = 120;

/// How long a piece is until there are too many.
const SHORTEST_NS: u64 = 250_000_000;

const SHOWN: [Metric; 20] = [
    Metric::ProcessCpuNs,
    Metric::ProcessRssBytes,
    Metric::HostCpuBusyNs,
    Metric::HostCpuStealNs,
    Metric::HostCpuTotalNs,
    Metric::HostCpuMhz,
    Metric::HostTemperatureCelsius,
    Metric::HostThermalThrottles,
    Metric::CgroupThrottledNs,
    Metric::CpuEnergyJoules,
    Metric::GpuUtilizationPct,
    Metric::GpuMemoryUsedBytes,
    Metric::GpuTemperatureCelsius,
    Metric::GpuPowerWatts,
    Metric::GpuSmMhz,
    Metric::GpuEnergyJoules,
    Metric::GpuThrottleReasons,
    Metric::EndpointRunningRequests,
    Metric::EndpointWaitingRequests,
    Metric::EndpointCacheUsedPct,
];

/// The measured time of a cell on one host, runs one after the other. All lists are as long as `at_s`; a null was
/// not read, or nothing ended there. Figures are rounded to five digits: telemetry.parquet has them all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    pub host: String,
    /// How long a piece lasts.
    pub piece_s: f64,
    pub runs: Vec<Start>,
    /// The middle of each piece, in seconds from the first run's start. Pieces without anything are left out.
    pub at_s: Vec<f64>,
    /// How many requests ended in it.
    pub requests: Vec<u64>,
    /// Of the requests that ended in it.
    pub latency_mean_ms: Vec<Option<f64>>,
    pub latency_max_ms: Vec<Option<f64>>,
    /// The share of it in which the GPU's clocks were held down by heat or power.
    pub gpu_throttled_share: Vec<Option<f64>>,
    /// The reasons, joined by commas.
    pub gpu_throttle_reasons: Vec<Option<String>>,
    /// By metric: the mean of a state, an amount per second. Metrics that were never read are left out.
    pub readings: BTreeMap<String, Vec<Option<f64>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Start {
    /// From 1.
    pub run: u32,
    /// In seconds.
    pub at_s: f64,
}

/// Makes a timeline of windows, which come first and in their order, and of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    piece_ns: u64,
    pieces: Vec<Piece>,
    stretches: BTreeMap<(u32, u64), Stretch>,
    end_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    origin_ns: u64,
    before_ns: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Piece {
    windows: Collector,
    requests: u64,
    latency_sum_ns: f64,
    latency_max_ns: u64,
}

impl Default for Track {
    fn default() -> Self {
        Self { piece_ns: SHORTEST_NS, pieces: Vec::new(), stretches: BTreeMap::new(), end_ns: 0 }
    }
}

impl Track {
    /// Takes a window of a segment in, given by run and number. Times are of the segment's clock.
    pub fn window(&mut self, segment: (u32, u64), (start_ns, end_ns): (u64, u64), all: &Readings) {
        if start_ns >= end_ns {
            return;
        }
        let begins = Stretch { origin_ns: start_ns, before_ns: self.end_ns };
        let stretch = *self.stretches.entry(segment).or_insert(begins);
        let place =
            |at: u64| stretch.before_ns.saturating_add(at.saturating_sub(stretch.origin_ns));
        let (start, end) = (place(start_ns), place(end_ns));
        self.end_ns = self.end_ns.max(end);
        let mut readings = Readings::default();
        for metric in SHOWN {
            readings.set(metric, all.of(metric));
        }
        let seconds = (end_ns - start_ns) as f64 / 1e9;
        self.piece(u64::midpoint(start, end)).windows.add(seconds, &readings);
    }

    /// Takes a request in. One of a segment without windows has no place.
    pub fn request(&mut self, segment: (u32, u64), start_ns: u64, latency_ns: u64) {
        let Some(stretch) = self.stretches.get(&segment) else { return };
        let ends = start_ns.saturating_add(latency_ns).saturating_sub(stretch.origin_ns);
        // What ends with the last window must not begin a piece of its own.
        let at = stretch.before_ns.saturating_add(ends).min(self.end_ns.saturating_sub(1));
        let piece = self.piece(at);
        piece.requests += 1;
        piece.latency_sum_ns += latency_ns as f64;
        piece.latency_max_ns = piece.latency_max_ns.max(latency_ns);
    }

    fn piece(&mut self, at_ns: u64) -> &mut Piece {
        let place = |piece_ns: u64| usize::try_from(at_ns / piece_ns).unwrap_or(usize::MAX);
        while place(self.piece_ns) >= MOST {
            self.piece_ns *= 2;
            let halves = std::mem::take(&mut self.pieces);
            self.pieces = halves.chunks(2).map(Piece::of).collect();
        }
        let place = place(self.piece_ns);
        if self.pieces.len() <= place {
            self.pieces.resize_with(place + 1, Piece::default);
        }
        &mut self.pieces[place]
    }

    pub fn timeline(&self, host: &str) -> Option<Timeline> {
        let pieces = self.pieces.iter().enumerate();
        let (places, pieces): (Vec<usize>, Vec<&Piece>) =
            pieces.filter(|(_, piece)| piece.windows.windows() + piece.requests > 0).unzip();
        let length_s = self.piece_ns as f64 / 1e9;
        let throttled: Vec<_> = pieces.iter().map(|piece| piece.windows.throttled()).collect();
        let reasons = pieces.iter().map(|piece| {
            let words = piece.windows.throttle_reasons().join(", ");
            (!words.is_empty()).then_some(words)
        });
        let mut runs: Vec<Start> = Vec::new();
        let mut seen = BTreeSet::new();
        for (&(run, _), stretch) in &self.stretches {
            if seen.insert(run) {
                runs.push(Start { run, at_s: stretch.before_ns as f64 / 1e9 });
            }
        }
        let shown = SHOWN.into_iter().filter(|metric| metric.kind() != Kind::Code);
        let readings = shown.filter_map(|metric| {
            let figure = |piece: &&Piece| Some(rounded(piece.windows.figure(metric)?.mean));
            let figures: Vec<Option<f64>> = pieces.iter().map(figure).collect();
            let is_read = figures.iter().any(Option::is_some);
            is_read.then(|| (metric.as_str().to_owned(), figures))
        });
        (!pieces.is_empty()).then(|| Timeline {
            host: host.to_owned(),
            piece_s: length_s,
            runs,
            at_s: places.into_iter().map(|place| (place as f64 + 0.5) * length_s).collect(),
            requests: pieces.iter().map(|piece| piece.requests).collect(),
            latency_mean_ms: pieces.iter().map(|piece| piece.latency_mean_ms()).collect(),
            latency_max_ms: pieces.iter().map(|piece| piece.latency_max_ms()).collect(),
            gpu_throttled_share: throttled
                .iter()
                .map(|throttled| throttled.as_ref().map(|(share, _)| rounded(*share)))
                .collect(),
            gpu_throttle_reasons: reasons.collect(),
            readings: readings.collect(),
        })
    }
}

impl Piece {
    fn of(parts: &[Self]) -> Self {
        let mut whole = Self::default();
        for part in parts {
            whole.windows.merge(&part.windows);
            whole.requests += part.requests;
            whole.latency_sum_ns += part.latency_sum_ns;
            whole.latency_max_ns = whole.latency_max_ns.max(part.latency_max_ns);
        }
        whole
    }

    fn latency_mean_ms(&self) -> Option<f64> {
        let mean = self.latency_sum_ns / self.requests as f64 / 1e6;
        (self.requests > 0).then(|| rounded(mean))
    }

    fn latency_max_ms(&self) -> Option<f64> {
        (self.requests > 0).then(|| rounded(self.latency_max_ns as f64 / 1e6))
    }
}

fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let decimals = 4.0 - value.abs().log10().floor();
    // Powers of ten below one aren't exact.
    let scale = 10_f64.powf(decimals.abs());
    if decimals >= 0.0 { (value * scale).round() / scale } else { (value / scale).round() * scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn readings(celsius: f64) -> Readings {
        let mut readings = Readings::default();
        readings.set(Metric::GpuTemperatureCelsius, celsius);
        readings.set(Metric::ProcessCpuNs, 0.5e9);
        readings.set(Metric::ProcessThreads, 7.0);
        readings
    }

    #[test]
    fn runs_follow_each_other_whatever_lay_between_them() {
        let mut track = Track::default();
        track.window((1, 1), (10 * SECOND, 11 * SECOND), &readings(50.0));
        track.window((2, 1), (90 * SECOND, 91 * SECOND), &readings(60.0));
        track.request((1, 1), 10 * SECOND, SECOND / 2);
        track.request((2, 1), 90 * SECOND, SECOND);
        track.request((3, 1), 0, SECOND);
        let found = track.timeline("h").unwrap();
        let starts: Vec<(u32, f64)> = found.runs.iter().map(|run| (run.run, run.at_s)).collect();
        assert_eq!(starts, [(1, 0.0), (2, 1.0)]);
        // Pieces of 0.25 s: windows in their middle, requests where they end.
        assert_eq!(found.at_s, [0.625, 1.625, 1.875]);
        assert_eq!(found.requests, [1, 0, 1]);
        assert_eq!(found.latency_mean_ms, [Some(500.0), None, Some(1000.0)]);
        let celsius = &found.readings["gpu_temperature_celsius"];
        assert_eq!(celsius, &[Some(50.0), Some(60.0), None]);
        assert_eq!(found.readings["process_cpu_ns"][0], Some(0.5e9));
        assert!(!found.readings.contains_key("process_threads"), "it isn't drawn");
        assert!(!found.readings.contains_key("gpu_power_watts"), "it was never read");
    }

    #[test]
    fn impossible_times_of_an_agent_end_the_timeline_and_nothing_else() {
        let mut track = Track::default();
        let most = i64::MAX.cast_unsigned();
        for run in 1..=4 {
            track.window((run, 1), (0, most), &readings(50.0));
            track.request((run, 1), 0, most);
        }
        let found = track.timeline("h").unwrap();
        assert!(found.at_s.len() <= MOST, "{}", found.at_s.len());
        assert_eq!(found.requests.iter().sum::<u64>(), 4);
    }

    #[test]
    fn a_day_has_no_more_pieces_than_a_minute() {
        let mut track = Track::default();
        for second in 0..86_400 {
            let celsius = if second < 43_200 { 50.0 } else { 80.0 };
            let span = (second * SECOND, (second + 1) * SECOND);
            track.window((1, 1), span, &readings(celsius));
        }
        for second in 0..86_400 {
            track.request((1, 1), second * SECOND, SECOND / 4);
        }
        let found = track.timeline("h").unwrap();
        assert!((MOST / 2..=MOST).contains(&found.at_s.len()), "{}", found.at_s.len());
        assert_eq!(found.requests.iter().sum::<u64>(), 86_400);
        let celsius = &found.readings["gpu_temperature_celsius"];
        assert_eq!((celsius[0], celsius[celsius.len() - 1]), (Some(50.0), Some(80.0)));
    }

    #[test]
    fn reasons_of_throttling_stand_where_they_held() {
        let mut track = Track::default();
        for (second, bits) in [(0, 1.0), (1, f64::from(0x20))] {
            let mut readings = readings(80.0);
            readings.set(Metric::GpuThrottleReasons, bits);
            track.window((1, 1), (second * SECOND, (second + 1) * SECOND), &readings);
        }
        let found = track.timeline("h").unwrap();
        assert_eq!(found.gpu_throttled_share, [Some(0.0), Some(1.0)]);
        let words = Some("sw_thermal_slowdown".to_owned());
        assert_eq!(found.gpu_throttle_reasons, [None, words]);
    }

    #[test]
    fn without_windows_there_is_no_timeline() {
        let mut track = Track::default();
        track.request((1, 1), 0, 5);
        track.window((1, 1), (5, 5), &readings(50.0));
        assert_eq!(track.timeline("h"), None);
    }
}
