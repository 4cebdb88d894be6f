//! CPU clocks, temperature and thermal throttling.

use crate::temperature::Temperature;
use crate::{absence, counter::Counter};
use host::Root;
use model::telemetry::{Absence, Metric, Readings};

const PROCESSORS: &str = "sys/devices/system/cpu";
const POLICIES: &str = "sys/devices/system/cpu/cpufreq";

#[derive(Debug)]
pub(crate) struct Clocks {
    root: Root,
    frequency: Frequency,
    temperature: Temperature,
    throttle_counts: Vec<String>,
    throttles: Counter,
}

#[derive(Debug)]
enum Frequency {
    /// One file per frequency policy, in kHz.
    Policies(Vec<String>),
    /// The kernel measures it.
    CpuInfo,
    None,
}

impl Clocks {
    /// Finds the sources, and reports missing ones.
    pub(crate) fn find(root: &Root) -> (Self, Vec<Absence>) {
        let mut absences = Vec::new();
        let current = |path: String| format!("{path}/scaling_cur_freq");
        let policies: Vec<String> =
            root.list(POLICIES, "policy").into_iter().map(current).collect();
        let policies: Vec<String> =
            policies.into_iter().filter(|path| root.number::<f64>(path).is_some()).collect();
        let frequency = if !policies.is_empty() {
            Frequency::Policies(policies)
        } else if has_aperf(root) {
            Frequency::CpuInfo
        } else {
            absences.push(absence(
                "cpu_frequency",
                "no actual clock frequency, as on most virtual machines",
                None,
            ));
            Frequency::None
        };
        let temperature = Temperature::find(root);
        if temperature.is_absent() {
            absences.push(absence(
                "host_temperature",
                "no temperature sensor of the processor, as on virtual machines",
                None,
            ));
        }
        let counts = |path: String| {
            [
                format!("{path}/thermal_throttle/core_throttle_count"),
                format!("{path}/thermal_throttle/package_throttle_count"),
            ]
        };
        let throttle_counts: Vec<String> = root
            .list(PROCESSORS, "cpu")
            .into_iter()
            .flat_map(counts)
            .filter(|path| root.number::<f64>(path).is_some())
            .collect();
        if throttle_counts.is_empty() {
            absences.push(absence("cpu_throttling", "no thermal throttling counters", None));
        }
        let throttles = Counter::default();
        (Self { root: root.clone(), frequency, temperature, throttle_counts, throttles }, absences)
    }

    pub(crate) fn read_slow(&mut self, into: &mut Readings) {
        let root = &self.root;
        into.set(
            Metric::HostCpuMhz,
            match &self.frequency {
                Frequency::Policies(paths) => {
                    mean(paths.iter().filter_map(|path| root.number::<f64>(path)))
                        .map(|khz| khz / 1e3)
                }
                Frequency::CpuInfo => {
                    root.text("proc/cpuinfo").and_then(|text| mean(mhz_of_cpuinfo(&text)))
                }
                Frequency::None => None,
            },
        );
        into.set(Metric::HostTemperatureCelsius, self.temperature.read(root));
        if !self.throttle_counts.is_empty() {
            // One that can't be read now would look like a reset, and then like its whole count at once.
            let counts = self.throttle_counts.iter().map(|path| root.number::<f64>(path));
            let count = self.throttles.advance(counts.sum());
            into.set(Metric::HostThermalThrottles, count);
        }
    }
}

/// With these counters /proc/cpuinfo shows the actual clock, otherwise the nominal one.
fn has_aperf(root: &Root) -> bool {
    let text = root.text("proc/cpuinfo").unwrap_or_default();
    let flags = text.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    flags.split_whitespace().any(|flag| flag == "aperfmperf")
}

fn mhz_of_cpuinfo(text: &str) -> impl Iterator<Item = f64> {
    let lines = text.lines().filter(|line| line.starts_with("cpu MHz"));
    lines.filter_map(|line| line.split(':').nth(1)?.trim().parse().ok())
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(folder: &std::path::Path, path: &str, text: &str) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn clocks_are_averaged_and_throttles_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for (policy, khz) in [("policy0", "1000000\n"), ("policy4", "3000000\n")] {
            write(at, &format!("{POLICIES}/{policy}/scaling_cur_freq"), khz);
        }
        write(at, "sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n");
        write(at, "sys/class/thermal/thermal_zone0/temp", "71500\n");
        let count = format!("{PROCESSORS}/cpu1/thermal_throttle/core_throttle_count");
        write(at, &count, "2\n");
        let (mut clocks, absences) = Clocks::find(&Root::of(at));
        assert_eq!(absences, []);
        let mut readings = Readings::default();
        clocks.read_slow(&mut readings);
        write(at, &count, "5\n");
        clocks.read_slow(&mut readings);
        assert_eq!(readings.of(Metric::HostCpuMhz), Some(2000.0));
        assert_eq!(readings.of(Metric::HostTemperatureCelsius), Some(71.5));
        assert_eq!(readings.of(Metric::HostThermalThrottles), Some(3.0));
    }

    #[test]
    fn a_throttling_counter_that_is_gone_for_a_moment_is_a_gap_and_no_jump() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let count = |cpu| format!("{PROCESSORS}/cpu{cpu}/thermal_throttle/core_throttle_count");
        write(at, &count(0), "7\n");
        write(at, &count(1), "100\n");
        let (mut clocks, _) = Clocks::find(&Root::of(at));
        let mut throttles = || {
            let mut readings = Readings::default();
            clocks.read_slow(&mut readings);
            readings.of(Metric::HostThermalThrottles)
        };
        assert_eq!(throttles(), None, "nothing to compare with yet");
        fs::remove_file(at.join(count(1))).unwrap();
        assert_eq!(throttles(), None);
        write(at, &count(1), "101\n");
        assert_eq!(throttles(), Some(1.0));
    }

    #[test]
    fn the_clock_on_the_label_is_not_taken_for_the_one_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let cpuinfo = "flags\t: fpu FLAG\ncpu MHz\t\t: 2500.5\n";
        let mhz = |flag: &str| {
            write(folder.path(), "proc/cpuinfo", &cpuinfo.replace("FLAG", flag));
            let mut readings = Readings::default();
            Clocks::find(&Root::of(folder.path())).0.read_slow(&mut readings);
            readings.of(Metric::HostCpuMhz)
        };
        assert_eq!((mhz("sse"), mhz("aperfmperf")), (None, Some(2500.5)));
    }

    #[test]
    fn a_machine_without_any_names_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut clocks, absences) = Clocks::find(&Root::of(folder.path()));
        let what: Vec<&str> = absences.iter().map(|absence| absence.what.as_str()).collect();
        assert_eq!(what, ["cpu_frequency", "host_temperature", "cpu_throttling"]);
        let mut readings = Readings::default();
        clocks.read_slow(&mut readings);
        assert_eq!(readings.present().count(), 0);
    }
}
