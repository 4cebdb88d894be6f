//! Energy of CPU packages and DRAM: RAPL counters under /sys/class/powercap.

use crate::{absence, counter::Counter};
use host::Root;
use model::telemetry::{Absence, Metric, Readings};

const FOLDER: &str = "sys/class/powercap";

#[derive(Debug)]
pub(super) struct Rapl {
    root: Root,
    zones: Vec<Zone>,
}

#[derive(Debug)]
struct Zone {
    path: String,
    /// Where the counter wraps; `None` if unreadable: then a wrap is a gap.
    range_joules: Option<f64>,
    energy: Counter,
}

impl Rapl {
    pub(super) fn find(root: &Root) -> Result<Self, Absence> {
        let absent = |reason: &str, remedy: &str| absence("cpu_energy", reason, Some(remedy));
        let mut paths = Vec::new();
        for path in root.list(FOLDER, "intel-rapl:") {
            // It may be a package, whose energy would be missing from the sum.
            let name = root.text(&format!("{path}/name")).ok_or_else(|| {
                absent(
                    &format!("the name of /{path} is unreadable"),
                    "make the files under /sys/class/powercap readable",
                )
            })?;
            if name.starts_with("package") || name == "dram" {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            return Err(absent(
                "no RAPL counter, as on most virtual machines",
                "use a bare-metal instance, or load the kernel module intel_rapl_msr",
            ));
        }
        if root.number::<f64>(&format!("{}/energy_uj", paths[0])).is_none() {
            return Err(absent(
                "the RAPL counters are readable by root only",
                "run the agent as root, or chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj",
            ));
        }
        let zone = |path: String| Zone {
            range_joules: root
                .number::<f64>(&format!("{path}/max_energy_range_uj"))
                .map(|range| range / 1e6),
            path,
            energy: Counter::default(),
        };
        Ok(Self { root: root.clone(), zones: paths.into_iter().map(zone).collect() })
    }

    /// Adds the energy of all zones since the last reading, unless one cannot be read.
    pub(super) fn read(&mut self, into: &mut Readings) {
        let root = &self.root;
        let used = self.zones.iter_mut().map(|zone| {
            let joules =
                root.number::<f64>(&format!("{}/energy_uj", zone.path)).map(|joules| joules / 1e6);
            match zone.range_joules {
                Some(range) => zone.energy.advance_within(joules, range),
                None => zone.energy.advance(joules),
            }
        });
        // Advance every counter, even if another one cannot be read.
        let used: Vec<Option<f64>> = used.collect();
        into.set(Metric::CpuEnergyJoules, used.into_iter().sum::<Option<f64>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn zone(folder: &std::path::Path, name: &str, label: &str, microjoules: u64) {
        let path = folder.join(FOLDER).join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("name"), label).unwrap();
        fs::write(path.join("energy_uj"), microjoules.to_string()).unwrap();
        fs::write(path.join("max_energy_range_uj"), "10000000").unwrap();
    }

    #[test]
    fn packages_and_their_memory_add_up_over_a_wrap_and_cores_are_not_counted_twice() {
        let folder = tempfile::tempdir().unwrap();
        let write = |package, core, dram| {
            zone(folder.path(), "intel-rapl:0", "package-0\n", package);
            zone(folder.path(), "intel-rapl:0:0", "core\n", core);
            zone(folder.path(), "intel-rapl:0:1", "dram\n", dram);
        };
        write(9_000_000, 0, 1_000_000);
        let mut rapl = Rapl::find(&Root::of(folder.path())).unwrap();
        let mut readings = Readings::default();
        rapl.read(&mut readings);
        assert_eq!(readings.of(Metric::CpuEnergyJoules), None, "nothing to compare with yet");
        write(1_000_000, 7_000_000, 1_500_000);
        rapl.read(&mut readings);
        assert_eq!(readings.of(Metric::CpuEnergyJoules), Some(2.5));
    }

    #[test]
    fn a_wrap_at_an_unknown_place_is_a_gap_and_not_an_infinity() {
        let folder = tempfile::tempdir().unwrap();
        let write = |package| {
            zone(folder.path(), "intel-rapl:0", "package-0", package);
            let range = folder.path().join(FOLDER).join("intel-rapl:0/max_energy_range_uj");
            fs::remove_file(range).unwrap();
        };
        write(9_000_000);
        let mut rapl = Rapl::find(&Root::of(folder.path())).unwrap();
        let mut used = |package| {
            write(package);
            let mut readings = Readings::default();
            rapl.read(&mut readings);
            readings.of(Metric::CpuEnergyJoules)
        };
        assert_eq!([9_000_000, 1_000_000, 2_000_000].map(&mut used), [None, None, Some(1.0)]);
    }

    #[test]
    fn a_zone_without_a_readable_name_is_not_left_out_silently() {
        let folder = tempfile::tempdir().unwrap();
        zone(folder.path(), "intel-rapl:0", "package-0", 1);
        zone(folder.path(), "intel-rapl:1", "package-1", 1);
        fs::remove_file(folder.path().join(FOLDER).join("intel-rapl:1/name")).unwrap();
        let absence = Rapl::find(&Root::of(folder.path())).unwrap_err();
        assert!(absence.reason.contains("intel-rapl:1 is unreadable"), "{}", absence.reason);
    }

    #[test]
    fn a_machine_without_counters_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let absence = Rapl::find(&Root::of(folder.path())).unwrap_err();
        assert_eq!(absence.what, "cpu_energy");
        assert!(absence.remedy.is_some());
    }
}
