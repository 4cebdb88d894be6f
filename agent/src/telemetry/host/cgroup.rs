//! The control group of this process: its limits, and how long they held it back. Versions 1 and 2.

use crate::telemetry::Root;
use crate::telemetry::counter::Counter;
use proto::telemetry::{Metric, Readings};

const MOUNT: &str = "sys/fs/cgroup";
/// Version 1 writes "no limit" as the largest number of whole pages.
const NO_LIMIT: u64 = 1 << 60;

/// What a control group may use at most; null: as much as there is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Processors.
    pub cpu_cores: Option<f64>,
    /// Memory.
    pub memory_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Where the limits stand.
#[derive(Debug)]
pub struct Cgroup {
    root: Root,
    version: Version,
    /// Folders of the processor controller, from this group up to the root of those that can be seen.
    cpu: Vec<String>,
    memory: Vec<String>,
    throttled: Counter,
    periods: Counter,
}

impl Cgroup {
    /// Finds the group of this process; null where the system has none.
    pub fn find(root: &Root) -> Option<Self> {
        let groups = root.text("proc/self/cgroup")?;
        let of = |controller: &str| {
            groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (controllers, path) = (parts.next()?, parts.next()?);
                controllers.split(',').any(|name| name == controller).then_some(path)
            })
        };
        let version_1 = |controller: &str| {
            of(controller).map(|path| folders(root, &format!("{MOUNT}/{controller}"), path))
        };
        let (version, cpu, memory) = match version_1("cpu") {
            Some(cpu) if !cpu.is_empty() => {
                (Version::One, cpu, version_1("memory").unwrap_or_default())
            }
            _ => {
                let folders = folders(root, MOUNT, of("")?);
                (Version::Two, folders.clone(), folders)
            }
        };
        let (throttled, periods) = (Counter::default(), Counter::default());
        Some(Self { root: root.clone(), version, cpu, memory, throttled, periods })
    }

    /// The tightest limits, of this group or of one that it lies in.
    pub fn limits(&self) -> Limits {
        let cpu = self.cpu.iter().filter_map(|folder| self.cores(folder));
        let memory = self.memory.iter().filter_map(|folder| {
            let file = match self.version {
                Version::One => "memory.limit_in_bytes",
                Version::Two => "memory.max",
            };
            self.root.number::<u64>(&format!("{folder}/{file}")).filter(|bytes| *bytes < NO_LIMIT)
        });
        Limits { cpu_cores: cpu.reduce(f64::min), memory_bytes: memory.min() }
    }

    fn cores(&self, folder: &str) -> Option<f64> {
        let (quota, period) = match self.version {
            Version::One => {
                let number = |file: &str| self.root.number::<f64>(&format!("{folder}/{file}"));
                (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
            }
            Version::Two => {
                let text = self.root.text(&format!("{folder}/cpu.max"))?;
                let (quota, period) = text.split_once(' ')?;
                (quota.parse().ok()?, period.parse().ok()?)
            }
        };
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    }

    pub(in crate::telemetry) fn read(&mut self, into: &mut Readings) {
        // The group that limits most is the one that holds back.
        let limited = self.cpu.iter().filter_map(|folder| Some((folder, self.cores(folder)?)));
        let tightest = limited.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(folder, _)| folder);
        let Some(folder) = tightest.or(self.cpu.first()) else { return };
        let Some(text) = self.root.text(&format!("{folder}/cpu.stat")) else { return };
        let of = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<f64>().ok())
        };
        let throttled_ns = match self.version {
            Version::One => of("throttled_time "),
            Version::Two => of("throttled_usec ").map(|microseconds| microseconds * 1e3),
        };
        into.set(Metric::CgroupThrottledNs, self.throttled.advance(throttled_ns));
        into.set(Metric::CgroupThrottledPeriods, self.periods.advance(of("nr_throttled ")));
    }
}

/// The folders of a group and of those that it lies in, innermost first. In a container the path may be the host's,
/// while only the group itself can be seen, as the root.
fn folders(root: &Root, mount: &str, path: &str) -> Vec<String> {
    let mut folders = Vec::new();
    let mut path = path.trim_matches('/');
    loop {
        let folder = if path.is_empty() { mount.to_owned() } else { format!("{mount}/{path}") };
        if root.path(&folder).is_dir() {
            folders.push(folder);
        }
        if path.is_empty() {
            return folders;
        }
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn version_2_takes_the_tightest_limit_on_the_way_up() {
        let folder = machine(&[
            ("proc/self/cgroup", "0::/pod/box\n"),
            ("sys/fs/cgroup/pod/cpu.max", "150000 100000\n"),
            (
                "sys/fs/cgroup/pod/cpu.stat",
                "usage_usec 9\nnr_periods 4\nnr_throttled 2\nthrottled_usec 300\n",
            ),
            ("sys/fs/cgroup/pod/memory.max", "max\n"),
            ("sys/fs/cgroup/pod/box/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/pod/box/memory.max", "1048576\n"),
        ]);
        let mut cgroup = Cgroup::find(&Root::of(folder.path())).unwrap();
        let limits = Limits { cpu_cores: Some(1.5), memory_bytes: Some(1 << 20) };
        assert_eq!(cgroup.limits(), limits);
        let mut readings = Readings::default();
        cgroup.read(&mut readings);
        fs::write(
            folder.path().join("sys/fs/cgroup/pod/cpu.stat"),
            "usage_usec 9\nnr_periods 9\nnr_throttled 5\nthrottled_usec 800\n",
        )
        .unwrap();
        cgroup.read(&mut readings);
        assert_eq!(readings.of(Metric::CgroupThrottledNs), Some(500_000.0));
        assert_eq!(readings.of(Metric::CgroupThrottledPeriods), Some(3.0));
    }

    #[test]
    fn version_1_in_a_container_is_seen_as_the_root() {
        let folder = machine(&[
            ("proc/self/cgroup", "3:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        let cgroup = Cgroup::find(&Root::of(folder.path())).unwrap();
        assert_eq!(cgroup.limits(), Limits { cpu_cores: Some(2.0), memory_bytes: None });
    }

    #[test]
    fn without_limits_there_are_none() {
        let folder = machine(&[
            ("proc/self/cgroup", "3:cpu:/\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        let cgroup = Cgroup::find(&Root::of(folder.path())).unwrap();
        assert_eq!(cgroup.limits(), Limits::default());
        assert!(Cgroup::find(&Root::of(folder.path().join("none"))).is_none());
    }
}
