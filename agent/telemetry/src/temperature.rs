//! The processor's temperature, from thermal zones and hardware monitors. Those of batteries, radios, disks, boards and
//! GPUs don't count.

use host::Root;

const THERMAL: &str = "sys/class/thermal";
const MONITORS: &str = "sys/class/hwmon";

/// Types of thermal zones that are the processor's: Intel's package and `TCPU`, and those of device trees, such as
/// `cpu-thermal`, `cpu0-thermal`, `bigcore1-thermal` and `soc-thermal`, the chip that the cores are on.
const ZONES: [&str; 8] = [
    "x86_pkg_temp",
    "tcpu",
    "cpu",
    "bigcore",
    "littlecore",
    "cluster",
    "soc-thermal",
    "soc_thermal",
];

/// Drivers of sensors in processors: Intel, AMD, VIA, and Arm servers and boards.
const DRIVERS: [&str; 8] = [
    "coretemp",
    "k10temp",
    "zenpower",
    "k8temp",
    "via_cputemp",
    "cpu_thermal",
    "cpu-thermal",
    "soc_thermal",
];

/// AMD's control temperature, which exceeds the true one, `Tdie`, by a constant on some models.
const CONTROL: &str = "tctl";
const DIE: &str = "tdie";

/// A sensor that is switched off reports its minimum, such as -274,000 millidegrees.
const PLAUSIBLE_MILLIDEGREES: std::ops::RangeInclusive<f64> = -60_000.0..=150_000.0;

/// The files with the processor's temperature, in millidegrees Celsius.
#[derive(Debug)]
pub(crate) struct Temperature(Vec<String>);

impl Temperature {
    pub(crate) fn find(root: &Root) -> Self {
        let sensors = zones(root).into_iter().chain(monitors(root));
        Self(sensors.filter(|path| root.number::<f64>(path).is_some()).collect())
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.0.is_empty()
    }

    /// The hottest sensor, in degrees Celsius.
    pub(crate) fn read(&self, root: &Root) -> Option<f64> {
        let readings = self.0.iter().filter_map(|path| root.number::<f64>(path));
        let plausible = readings.filter(|reading| PLAUSIBLE_MILLIDEGREES.contains(reading));
        plausible.reduce(f64::max).map(|millidegrees| millidegrees / 1e3)
    }
}

fn zones(root: &Root) -> Vec<String> {
    let is_processor = |zone: &String| {
        let kind = root.text(&format!("{zone}/type")).unwrap_or_default().to_lowercase();
        ZONES.iter().any(|start| kind.starts_with(start))
    };
    let zones = root.list(THERMAL, "thermal_zone").into_iter();
    zones.filter(is_processor).map(|zone| format!("{zone}/temp")).collect()
}

fn monitors(root: &Root) -> Vec<String> {
    let is_processor = |monitor: &String| {
        let name = root.text(&format!("{monitor}/name")).unwrap_or_default().to_lowercase();
        DRIVERS.contains(&name.as_str())
    };
    root.list(MONITORS, "hwmon")
        .into_iter()
        .filter(is_processor)
        .flat_map(|m| inputs(root, &m))
        .collect()
}

/// The inputs of one monitor, without a control temperature beside a true one.
fn inputs(root: &Root, monitor: &str) -> Vec<String> {
    let inputs = root.list(monitor, "temp").into_iter().filter(|path| path.ends_with("_input"));
    let label = |input: &String| {
        let label = input.replace("_input", "_label");
        root.text(&label).unwrap_or_default().to_lowercase()
    };
    let mut inputs: Vec<String> = inputs.collect();
    if inputs.iter().any(|input| label(input) == DIE) {
        inputs.retain(|input| label(input) != CONTROL);
    }
    inputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn read(files: &[(&str, &str)]) -> Option<f64> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join("sys/class").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = Root::of(folder.path());
        let temperature = Temperature::find(&root);
        let read = temperature.read(&root);
        assert_eq!(temperature.is_absent(), read.is_none());
        read
    }

    #[test]
    fn a_laptop_has_the_temperature_of_its_processor() {
        let read = read(&[
            ("thermal/thermal_zone0/type", "acpitz\n"),
            ("thermal/thermal_zone0/temp", "95000\n"),
            ("thermal/thermal_zone1/type", "iwlwifi_1\n"),
            ("thermal/thermal_zone1/temp", "81000\n"),
            ("thermal/thermal_zone2/type", "x86_pkg_temp\n"),
            ("thermal/thermal_zone2/temp", "52000\n"),
            ("thermal/thermal_zone3/type", "BAT0\n"),
            ("thermal/thermal_zone3/temp", "90000\n"),
            ("hwmon/hwmon0/name", "nvme\n"),
            ("hwmon/hwmon0/temp1_input", "70000\n"),
            ("hwmon/hwmon1/name", "coretemp\n"),
            ("hwmon/hwmon1/temp1_input", "52000\n"),
            ("hwmon/hwmon1/temp1_max", "100000\n"),
            ("hwmon/hwmon1/temp2_input", "53500\n"),
        ]);
        assert_eq!(read, Some(53.5));
    }

    #[test]
    fn amd_and_arm_processors_are_read() {
        let amd = [
            ("hwmon/hwmon2/name", "k10temp\n"),
            ("hwmon/hwmon2/temp1_input", "88000\n"),
            ("hwmon/hwmon2/temp1_label", "Tctl\n"),
            ("hwmon/hwmon2/temp2_input", "61000\n"),
            ("hwmon/hwmon2/temp2_label", "Tdie\n"),
        ];
        assert_eq!(read(&amd), Some(61.0));
        assert_eq!(read(&amd[..3]), Some(88.0), "a control temperature alone is the only one");
        for kind in
            ["cpu-thermal", "cpu_thermal", "cpu0-thermal", "bigcore1-thermal", "soc-thermal"]
        {
            let zone =
                [("thermal/thermal_zone0/type", kind), ("thermal/thermal_zone0/temp", "47000\n")];
            assert_eq!(read(&zone), Some(47.0), "{kind}");
        }
    }

    #[test]
    fn a_machine_without_a_sensor_of_its_processor_has_no_temperature() {
        assert_eq!(read(&[]), None);
        for other in
            ["BAT0", "iwlwifi_1", "acpitz", "pch_cannonlake", "gpu-thermal", "INT3400 Thermal"]
        {
            let zone =
                [("thermal/thermal_zone0/type", other), ("thermal/thermal_zone0/temp", "47000\n")];
            assert_eq!(read(&zone), None, "{other}");
        }
        assert_eq!(read(&[("thermal/thermal_zone0/temp", "47000\n")]), None, "of no type");
    }

    #[test]
    fn a_sensor_that_is_switched_off_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let zone = folder.path().join(THERMAL).join("thermal_zone0");
        fs::create_dir_all(&zone).unwrap();
        fs::write(zone.join("type"), "cpu-thermal").unwrap();
        fs::write(zone.join("temp"), "-274000").unwrap();
        let root = Root::of(folder.path());
        assert_eq!(Temperature::find(&root).read(&root), None);
    }
}
