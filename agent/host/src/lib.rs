//! Facts about this machine, read once when the agent starts.

mod cgroup;
mod details;
mod processor;
mod root;

pub use cgroup::{Cgroup, CpuStat, Limits};
pub use root::Root;

use model::host::HostFacts;
use procfs::prelude::*;
use std::env::consts::ARCH;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Host {
    /// Identifies the machine and its current boot.
    pub boot_id: String,
    /// That the agent was built for, such as `aarch64`. Empty if made up.
    pub architecture: &'static str,
    pub facts: HostFacts,
}

impl Host {
    /// A made-up machine, so that many agents can share a real one in a load test.
    pub fn simulated(name: &str) -> Self {
        let facts = HostFacts { name: name.to_owned(), is_simulated: true, ..HostFacts::default() };
        Self { boot_id: format!("simulated-{name}"), architecture: "", facts }
    }

    /// Reads /proc, /sys and /etc. The instance type is not among them.
    pub fn read() -> Self {
        let threads = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        Self::of(&Root::default(), u32::try_from(threads).unwrap_or(u32::MAX))
    }

    fn of(root: &Root, logical_cpus: u32) -> Self {
        let processor::Processor { model, features } = processor::read(root);
        let line = |path: &str| root.text(path).unwrap_or_default();
        let memory = procfs::Meminfo::from_file(root.path("proc/meminfo"));
        let facts = HostFacts {
            name: line("proc/sys/kernel/hostname"),
            cpu_model: model,
            logical_cpus,
            memory_bytes: memory.map_or(0, |memory| memory.mem_total),
            kernel: line("proc/sys/kernel/osrelease"),
            operating_system: operating_system(root),
            cpu_features: features,
            ..details::read(root)
        };
        Self { boot_id: line("proc/sys/kernel/random/boot_id"), architecture: ARCH, facts }
    }
}

fn operating_system(root: &Root) -> String {
    let text = root.text("etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim_matches('"').to_owned()
}

/// Resident memory of this process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    pub resident: u64,
    /// Peak since the process started or [`Memory::forget_peak`].
    pub peak_resident: u64,
}

impl Memory {
    /// Reads /proc/self/status. Zero if unreadable.
    pub fn read() -> Self {
        let status = procfs::process::Process::myself().and_then(|process| process.status()).ok();
        let bytes = |kib: Option<u64>| kib.unwrap_or_default() * 1024;
        status.map_or_else(Self::default, |status| Self {
            resident: bytes(status.vmrss),
            peak_resident: bytes(status.vmhwm),
        })
    }

    /// Resets the peak, so that one engine's peak is not attributed to the next (proc(5),
    /// `clear_refs`). If the system forbids it, the peak covers the whole life of the process.
    pub fn forget_peak() {
        drop(std::fs::write("/proc/self/clear_refs", "5"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_boot_id_and_memory() {
        let host = Host::read();
        assert_eq!(host.boot_id.len(), 36, "{host:?}");
        assert!(host.facts.memory_bytes > 1 << 20);
        assert!(Memory::read().peak_resident >= Memory::read().resident / 2);
        assert_ne!(host.facts.cpu_model.as_deref(), Some(""));
        assert_eq!(host.architecture, ARCH);
    }

    #[test]
    fn a_graviton_instance_is_read_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let cpu = "BogoMIPS\t: 2100.00\nFeatures\t: fp asimd asimddp sve bf16 i8mm\n\
                   CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd40\n";
        let zeros: String = [
            "MemFree",
            "Buffers",
            "Cached",
            "SwapCached",
            "Active",
            "Inactive",
            "SwapTotal",
            "SwapFree",
            "Dirty",
            "Writeback",
            "Mapped",
            "Slab",
            "Committed_AS",
            "VmallocTotal",
            "VmallocUsed",
            "VmallocChunk",
        ]
        .map(|key| format!("{key}: 0 kB\n"))
        .concat();
        for (path, text) in [
            ("proc/cpuinfo", format!("processor\t: 0\n{cpu}\nprocessor\t: 1\n{cpu}\n")),
            ("proc/meminfo", format!("MemTotal: 3923716 kB\n{zeros}")),
            ("proc/sys/kernel/hostname", "ip-10-0-0-7\n".to_owned()),
            ("sys/class/dmi/id/sys_vendor", "Amazon EC2\n".to_owned()),
            ("sys/class/dmi/id/product_name", "c7g.large\n".to_owned()),
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let facts = Host::of(&Root::of(folder.path()), 2).facts;
        assert_eq!(facts.cpu_model.as_deref(), Some("Neoverse V1"));
        assert_eq!(facts.cpu_features, ["asimd", "asimddp", "i8mm", "bf16", "sve"]);
        assert_eq!((facts.logical_cpus, facts.memory_bytes), (2, 3_923_716 << 10));
        assert_eq!((facts.name.as_str(), facts.kernel.as_str()), ("ip-10-0-0-7", ""));
        assert_eq!(facts.virtualization.as_deref(), Some("amazon-ec2"));
    }
}
