//! What a GPU is and what it does over time.
//!
//! ```json
//! {"clock_factor": 20, "name": "Tesla T4", "memory_mb": 15360, "sm_max_mhz": 1590, "power_limit_w": 70,
//!  "missing": ["energy"], "dies_at_s": 300, "xids": [{"at_s": 200, "xid": 79}],
//!  "series": [{"at_s": 0, "temperature_c": 45, "sm_mhz": 1590, "power_w": 60, "reasons": 0},
//!             {"at_s": 120, "temperature_c": 93, "sm_mhz": 1590, "power_w": 68, "reasons": 32}]}
//! ```
//! Values between two points lie on the line between them, reasons hold until the next point; before the first point
//! and after the last they stand still. A value that no point names is that of an idle T4. Times are the script's,
//! which run `clock_factor` times as fast as the machine's, or are those that `clock_file` holds.

use serde::Deserialize;

/// A script.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// Seconds of the script in a second of the machine.
    pub clock_factor: f64,
    /// A file that holds the script's seconds, written by whoever plays along; then `clock_factor` means nothing.
    pub clock_file: Option<std::path::PathBuf>,
    /// The GPU's name.
    pub name: String,
    /// What tells it apart.
    pub uuid: String,
    /// The driver's version.
    pub driver: String,
    /// Its memory.
    pub memory_mb: f64,
    /// Its fastest clock.
    pub sm_max_mhz: f64,
    /// Its power limit.
    pub power_limit_w: f64,
    /// Calls that answer "not supported": energy, power, throttle, violations, ecc, processes, events, pcie, clocks,
    /// utilization, persistence, mig, limit.
    pub missing: Vec<String>,
    /// From then on every call answers "the GPU is lost".
    pub dies_at_s: Option<f64>,
    /// No GPU is there.
    pub is_empty: bool,
    /// The library is there, the driver isn't.
    pub is_unloaded: bool,
    /// Errors that the driver reports.
    pub xids: Vec<Xid>,
    /// What it does, in the order of time.
    pub series: Vec<Point>,
    /// Its instances, if MIG is enabled. Then its utilization isn't measured.
    pub instances: Vec<Instance>,
    /// Further GPUs, in the order of the bus. Of them, `missing`, clocks of the script, `dies_at_s`, `is_empty`,
    /// `is_unloaded`, `driver` and `xids` are not used: those of the first apply to all.
    pub more: Vec<Script>,
}

/// An instance of MIG.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// With `MIG-`.
    pub uuid: String,
    /// Its memory.
    pub memory_mb: f64,
    /// Memory in use.
    pub memory_used_mb: f64,
}

/// An error that the driver reports.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Xid {
    /// When.
    pub at_s: f64,
    /// Its number.
    pub xid: u64,
}

/// What the GPU does at some time.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Point {
    /// When.
    pub at_s: f64,
    /// Share of time in which a kernel runs.
    pub utilization_pct: Option<f64>,
    /// Of the chip.
    pub temperature_c: Option<f64>,
    /// Power draw.
    pub power_w: Option<f64>,
    /// Clock of the multiprocessors.
    pub sm_mhz: Option<f64>,
    /// Memory in use.
    pub memory_used_mb: Option<f64>,
    /// NVML's bits.
    pub reasons: Option<u64>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            clock_factor: 1.0,
            clock_file: None,
            name: "Tesla T4".to_owned(),
            uuid: "GPU-00000000-0000-0000-0000-00000000000a".to_owned(),
            driver: "580.95.05".to_owned(),
            memory_mb: 15_360.0,
            sm_max_mhz: 1590.0,
            power_limit_w: 70.0,
            missing: Vec::new(),
            dies_at_s: None,
            is_empty: false,
            is_unloaded: false,
            xids: Vec::new(),
            series: Vec::new(),
            instances: Vec::new(),
            more: Vec::new(),
        }
    }
}

/// Two points may be this close, and still not be divided by nothing.
const INSTANT_S: f64 = 1e-9;

impl Script {
    /// The value of one column at a time of the script.
    pub fn value(&self, at_s: f64, of: impl Fn(&Point) -> Option<f64>, otherwise: f64) -> f64 {
        let points: Vec<(f64, f64)> =
            self.series.iter().filter_map(|point| Some((point.at_s, of(point)?))).collect();
        let next = points.iter().position(|(time, _)| *time > at_s);
        match next {
            None => points.last().map_or(otherwise, |(_, value)| *value),
            Some(0) => points[0].1,
            Some(next) => {
                let ((from, a), (to, b)) = (points[next - 1], points[next]);
                a + (b - a) * (at_s - from) / (to - from).max(INSTANT_S)
            }
        }
    }

    /// NVML's throttle bits at a time of the script.
    pub fn reasons(&self, at_s: f64) -> u64 {
        let before = self.series.iter().filter(|point| point.at_s <= at_s);
        before.filter_map(|point| point.reasons).next_back().unwrap_or(0)
    }

    /// Joules from the start to a time of the script.
    pub fn energy(&self, until_s: f64) -> f64 {
        self.integral(until_s, |at_s| self.value(at_s, |point| point.power_w, 10.0))
    }

    /// Seconds from the start to a time of the script in which one of `bits` held.
    pub fn held(&self, until_s: f64, bits: u64) -> f64 {
        let mut times: Vec<f64> = self.series.iter().map(|point| point.at_s).collect();
        times.retain(|time| *time > 0.0 && *time < until_s);
        times.insert(0, 0.0);
        times.push(until_s);
        let spans = times.windows(2).filter(|span| self.reasons(span[0]) & bits != 0);
        spans.map(|span| span[1] - span[0]).sum()
    }

    /// Of something that runs straight between points.
    fn integral(&self, until_s: f64, value: impl Fn(f64) -> f64) -> f64 {
        let mut times: Vec<f64> = self.series.iter().map(|point| point.at_s).collect();
        times.retain(|time| *time > 0.0 && *time < until_s);
        times.insert(0, 0.0);
        times.push(until_s);
        times
            .windows(2)
            .map(|span| (span[1] - span[0]) * (value(span[0]) + value(span[1])) / 2.0)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script() -> Script {
        let point = |at_s, power_w, reasons| Point {
            at_s,
            power_w: Some(power_w),
            reasons: Some(reasons),
            ..Point::default()
        };
        let series = vec![point(0.0, 20.0, 0), point(10.0, 40.0, 4), point(20.0, 40.0, 0)];
        Script { series, ..Script::default() }
    }

    #[test]
    fn values_lie_on_the_line_between_points() {
        let watts = |at_s| script().value(at_s, |point| point.power_w, 0.0);
        let found = [0.0, 5.0, 10.0, 99.0].map(watts).into_iter();
        assert!(found.zip([20.0, 30.0, 40.0, 40.0]).all(|(found, is)| (found - is).abs() < 1e-9));
        let absent = script().value(5.0, |point| point.temperature_c, 33.0);
        assert!((absent - 33.0).abs() < 1e-9);
    }

    #[test]
    fn energy_is_the_area_under_power_and_reasons_hold_until_the_next_point() {
        let script = script();
        assert_eq!((script.energy(10.0), script.energy(12.0)), (300.0, 380.0));
        assert_eq!([9.0, 10.0, 19.0, 21.0].map(|at| script.reasons(at)), [0, 4, 4, 0]);
        assert_eq!(
            (script.held(15.0, 4), script.held(99.0, 4), script.held(99.0, 32)),
            (5.0, 10.0, 0.0)
        );
    }
}
