//! The control group of this process: CPU and memory limits, and throttling. Versions 1 and 2.

use crate::Root;

const MOUNT: &str = "sys/fs/cgroup";
/// Version 1 reports "no limit" as the largest number of whole pages.
const NO_LIMIT: u64 = 1 << 60;

/// Limits of a control group. `None`: unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    pub cpu_cores: Option<f64>,
    pub memory_bytes: Option<u64>,
}

/// Totals since the group was created. `None`: not reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuStat {
    pub throttled_ns: Option<f64>,
    pub throttled_periods: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

#[derive(Debug)]
pub struct Cgroup {
    root: Root,
    version: Version,
    /// Folders of the CPU controller, from this group up to the outermost visible one.
    cpu: Vec<String>,
    memory: Vec<String>,
}

impl Cgroup {
    /// Finds the group of this process. `None` without control groups.
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
        Some(Self { root: root.clone(), version, cpu, memory })
    }

    /// The tightest limits among this group and its ancestors.
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

    /// CPU time this group was denied. Read from the group with the tightest CPU limit, which is
    /// the one that throttles.
    pub fn cpu_stat(&self) -> Option<CpuStat> {
        let limited = self.cpu.iter().filter_map(|folder| Some((folder, self.cores(folder)?)));
        let tightest = limited.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(folder, _)| folder);
        let folder = tightest.or(self.cpu.first())?;
        let text = self.root.text(&format!("{folder}/cpu.stat"))?;
        let of = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<f64>().ok())
        };
        let throttled_ns = match self.version {
            Version::One => of("throttled_time "),
            Version::Two => of("throttled_usec ").map(|microseconds| microseconds * 1e3),
        };
        Some(CpuStat { throttled_ns, throttled_periods: of("nr_throttled ") })
    }
}

/// Folders of a group and its ancestors, innermost first. In a container the path may be the host's
/// while only the group itself is visible, as the root.
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
        let cgroup = Cgroup::find(&Root::of(folder.path())).unwrap();
        let limits = Limits { cpu_cores: Some(1.5), memory_bytes: Some(1 << 20) };
        assert_eq!(cgroup.limits(), limits);
        let stat = CpuStat { throttled_ns: Some(300_000.0), throttled_periods: Some(2.0) };
        assert_eq!(cgroup.cpu_stat(), Some(stat));
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
