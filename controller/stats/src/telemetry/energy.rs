//! Energy of a cell: what its machines drew while they measured, less what they draw while they do nothing.
//!
//! Joules come from a counter where there is one, else from power over time. Windows may be missing, so that the
//! mean power of those that are there is taken for the whole measured time.

use super::Collector;
use crate::interval::{ALPHA, between_runs};
use crate::{Estimate, Limitation, throughput::RunRow};
use model::telemetry::Metric;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const JOULES_PER_KWH: f64 = 3.6e6;

/// Windows that cover less of the measured time aren't representative.
const MIN_COVERED: f64 = 0.9;

/// The energy of a cell, with intervals between runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellEnergy {
    /// Above idle, per request with a summary.
    pub joules_per_request: Estimate,
    pub joules_per_1000_output_tokens: Estimate,
    pub gross_joules_per_request: Estimate,
    /// Of `joules_per_request`; null where the matrix gives no grams per kWh.
    pub grams_co2e_per_1000_requests: Estimate,
    /// Mean power while measuring, idle included.
    pub watts: Option<f64>,
    /// Mean power before anything was loaded.
    pub idle_watts: Option<f64>,
    /// Where the figures come from: `gpu_counter`, `gpu_power`, `cpu_counter`. What isn't named isn't in them.
    pub sources: Vec<String>,
}

impl CellEnergy {
    pub fn missing(reason: Limitation) -> Self {
        let missing = || Estimate::missing(0, reason);
        Self {
            joules_per_request: missing(),
            joules_per_1000_output_tokens: missing(),
            gross_joules_per_request: missing(),
            grams_co2e_per_1000_requests: missing(),
            watts: None,
            idle_watts: None,
            sources: Vec::new(),
        }
    }
}

/// The name of a source of energy readings, and its metric.
type Source = (&'static str, Metric);

/// The best first.
const OF_GPU: [Source; 2] =
    [("gpu_counter", Metric::GpuEnergyJoules), ("gpu_power", Metric::GpuPowerWatts)];
const OF_CPU: Source = ("cpu_counter", Metric::CpuEnergyJoules);

/// Mean power, over the windows that read it.
fn watts(windows: &Collector, metric: Metric) -> Option<f64> {
    let figure = windows.figure(metric)?;
    Some(figure.total.map_or(figure.mean, |joules| joules / windows.seconds_of(metric)))
}

/// Of each part of the machine the best source that some windows have.
fn sources(windows: &Collector) -> Vec<Source> {
    let has = |source: &Source| windows.seconds_of(source.1) > 0.0;
    OF_GPU.into_iter().find(has).into_iter().chain(Some(OF_CPU).filter(has)).collect()
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stretch {
    pub agent: usize,
    pub windows: Collector,
}

/// Mean power of a run's hosts, in watts of one host.
struct Power {
    gross: f64,
    idle: Option<f64>,
}

/// Estimates the energy of a cell. `stretches` are by run, `idle` by agent; grams are of CO2e per kWh.
pub fn energy(
    runs: &[RunRow],
    stretches: &BTreeMap<u32, Vec<Stretch>>,
    idle: &BTreeMap<usize, Collector>,
    grams_per_kwh: Option<f64>,
) -> CellEnergy {
    let mut all = Collector::default();
    stretches.values().flatten().for_each(|stretch| all.merge(&stretch.windows));
    let sources = sources(&all);
    let mut powers = Vec::new();
    let mut reason = sources.is_empty().then_some(Limitation::NoEnergyReadings);
    for run in runs.iter().filter(|_| !sources.is_empty()) {
        let of_run = stretches.get(&run.run).map(Vec::as_slice).unwrap_or_default();
        match power(of_run, idle, &sources, run.host_seconds) {
            Some(power) => powers.push((run, power)),
            None => reason = Some(Limitation::EnergyGaps),
        }
    }
    let host_seconds: f64 = powers.iter().map(|(run, _)| run.host_seconds).sum();
    let mean = |of: &dyn Fn(&Power) -> Option<f64>| {
        let joules = powers.iter().map(|(run, power)| Some(of(power)? * run.host_seconds));
        joules.sum::<Option<f64>>().filter(|_| !powers.is_empty()).map(|sum| sum / host_seconds)
    };
    let per = |of: &dyn Fn(&Power) -> Option<f64>,
               count: &dyn Fn(&RunRow) -> Option<f64>,
               why: Limitation| {
        if let Some(reason) = reason {
            return Estimate::missing(0, reason);
        }
        let joules: Option<Vec<f64>> =
            powers.iter().map(|(run, power)| Some(of(power)? * run.host_seconds)).collect();
        let Some(joules) = joules else { return Estimate::missing(0, why) };
        let counts: Option<Vec<f64>> = powers.iter().map(|(run, _)| count(run)).collect();
        let Some(counts) = counts else {
            return Estimate::missing(0, Limitation::UncountedTokens);
        };
        let rows: Vec<(f64, f64)> = joules.into_iter().zip(counts).collect();
        let counted: f64 = rows.iter().map(|(_, count)| count).sum();
        if counted <= 0.0 {
            return Estimate::missing(0, Limitation::NothingCounted);
        }
        let joules: f64 = rows.iter().map(|(joules, _)| joules).sum();
        let by_run: Vec<f64> = rows
            .iter()
            .filter(|(_, count)| *count > 0.0)
            .map(|(joules, count)| joules / count)
            .collect();
        between_runs(joules / counted, &by_run, ALPHA)
    };
    let requests = |run: &RunRow| Some(run.counted_samples as f64);
    let kilotokens = |run: &RunRow| run.output_tokens.map(|tokens| tokens as f64 / 1000.0);
    let net = |power: &Power| Some((power.gross - power.idle?).max(0.0));
    let no_idle = Limitation::NoIdlePower;
    let joules_per_request = per(&net, &requests, no_idle);
    CellEnergy {
        joules_per_1000_output_tokens: per(&net, &kilotokens, no_idle),
        gross_joules_per_request: per(
            &|power| Some(power.gross),
            &requests,
            Limitation::EnergyGaps,
        ),
        grams_co2e_per_1000_requests: match grams_per_kwh {
            Some(grams) => {
                joules_per_request.map(|joules| joules * 1000.0 / JOULES_PER_KWH * grams)
            }
            None => Estimate::missing(0, Limitation::NoCarbonIntensity),
        },
        joules_per_request,
        watts: mean(&|power| Some(power.gross)),
        idle_watts: mean(&|power| power.idle),
        sources: sources.into_iter().map(|(name, _)| name.to_owned()).collect(),
    }
}

/// The power of a run's hosts; null where too little of its time was read.
fn power(
    stretches: &[Stretch],
    idle: &BTreeMap<usize, Collector>,
    sources: &[Source],
    host_seconds: f64,
) -> Option<Power> {
    let (mut gross, mut at_rest) = (0.0, Some(0.0));
    for &(_, metric) in sources {
        let (mut seconds, mut joules) = (0.0, 0.0);
        let mut idle_joules = Some(0.0);
        for Stretch { agent, windows } in stretches {
            let Some(drawn) = watts(windows, metric) else { continue };
            let covered = windows.seconds_of(metric);
            seconds += covered;
            joules += drawn * covered;
            let at_idle = idle.get(agent).and_then(|windows| watts(windows, metric));
            idle_joules = idle_joules.zip(at_idle).map(|(sum, watts)| sum + watts * covered);
        }
        if seconds <= 0.0 || seconds < MIN_COVERED * host_seconds {
            return None;
        }
        gross += joules / seconds;
        at_rest = at_rest.zip(idle_joules).map(|(sum, joules)| sum + joules / seconds);
    }
    Some(Power { gross, idle: at_rest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::telemetry::Readings;

    fn windows(seconds: f64, pairs: &[(Metric, f64)]) -> Collector {
        let mut readings = Readings::default();
        for (metric, value) in pairs {
            readings.set(*metric, *value);
        }
        let mut windows = Collector::default();
        windows.add(seconds, &readings);
        windows
    }

    fn run(number: u32, host_seconds: f64) -> RunRow {
        RunRow {
            run: number,
            hosts: 1,
            counted_samples: 10,
            failed_samples: 0,
            host_seconds,
            throughput: None,
            latency_mean_ms: None,
            output_tokens: Some(500),
        }
    }

    fn of(runs: &[Collector], idle: Option<Collector>) -> CellEnergy {
        let rows: Vec<RunRow> = (1..).zip(runs).map(|(number, _)| run(number, 10.0)).collect();
        of_rows(&rows, runs, idle)
    }

    fn of_rows(rows: &[RunRow], runs: &[Collector], idle: Option<Collector>) -> CellEnergy {
        let stretches = (1..)
            .zip(runs)
            .map(|(number, windows)| (number, vec![Stretch { agent: 0, windows: windows.clone() }]))
            .collect();
        let idle = idle.map(|windows| (0, windows)).into_iter().collect();
        energy(rows, &stretches, &idle, Some(360.0))
    }

    #[test]
    fn tokens_that_were_not_counted_are_not_zero() {
        let counted = windows(10.0, &[(Metric::GpuPowerWatts, 50.0)]);
        let rows = [run(1, 10.0), RunRow { output_tokens: None, ..run(2, 10.0) }];
        let idle = Some(windows(3.0, &[(Metric::GpuPowerWatts, 20.0)]));
        let found = of_rows(&rows, &[counted.clone(), counted], idle);
        let per_token = found.joules_per_1000_output_tokens;
        assert_eq!((per_token.value, per_token.reason), (None, Some(Limitation::UncountedTokens)));
        assert_eq!(found.joules_per_request.value, Some(30.0));
    }

    #[test]
    fn idle_is_subtracted_and_the_counter_goes_before_the_power() {
        let counted = [(Metric::GpuEnergyJoules, 700.0), (Metric::GpuPowerWatts, 999.0)];
        let found = of(
            &[windows(10.0, &counted), windows(10.0, &counted)],
            Some(windows(3.0, &[(Metric::GpuEnergyJoules, 60.0)])),
        );
        // 70 W while measuring, 20 W at idle: 50 W for 10 s over 10 requests and 500 tokens.
        assert!((found.joules_per_request.value.unwrap() - 50.0).abs() < 1e-9);
        assert!((found.joules_per_1000_output_tokens.value.unwrap() - 1000.0).abs() < 1e-9);
        assert!((found.gross_joules_per_request.value.unwrap() - 70.0).abs() < 1e-9);
        assert!((found.grams_co2e_per_1000_requests.value.unwrap() - 5.0).abs() < 1e-9);
        assert_eq!((found.idle_watts, found.sources), (Some(20.0), vec!["gpu_counter".to_owned()]));
        assert!(found.joules_per_request.interval().is_some());
    }

    #[test]
    fn parts_of_the_machine_add_up_and_power_serves_where_there_is_no_counter() {
        let found = of(
            &[windows(10.0, &[(Metric::GpuPowerWatts, 50.0), (Metric::CpuEnergyJoules, 300.0)])],
            Some(windows(2.0, &[(Metric::GpuPowerWatts, 10.0), (Metric::CpuEnergyJoules, 20.0)])),
        );
        assert_eq!(found.sources, ["gpu_power", "cpu_counter"]);
        assert_eq!((found.watts, found.idle_watts), (Some(80.0), Some(20.0)));
        assert!((found.joules_per_request.value.unwrap() - 60.0).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_measured_is_null_with_the_reason() {
        let found = of(&[windows(10.0, &[(Metric::ProcessCpuNs, 1.0)])], None);
        assert_eq!((found.joules_per_request.value, found.watts), (None, None));
        assert_eq!(found.joules_per_request.reason, Some(Limitation::NoEnergyReadings));
        assert!(found.sources.is_empty());
    }

    #[test]
    fn without_idle_only_the_gross_is_told() {
        let found = of(&[windows(10.0, &[(Metric::GpuPowerWatts, 50.0)])], None);
        assert_eq!(found.gross_joules_per_request.value, Some(50.0));
        assert_eq!(found.joules_per_request.value, None);
        assert_eq!(found.joules_per_request.reason, Some(Limitation::NoIdlePower));
    }

    #[test]
    fn windows_of_half_the_time_do_not_speak_for_the_whole() {
        let found = of(&[windows(5.0, &[(Metric::GpuPowerWatts, 50.0)])], None);
        assert_eq!(found.gross_joules_per_request.value, None);
    }
}
