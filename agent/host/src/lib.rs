//! Facts about this machine, read once when the agent starts.

mod cgroup;
mod details;
mod root;

pub use cgroup::{Cgroup, CpuStat, Limits};
pub use root::Root;

use model::host::HostFacts;
use procfs::prelude::*;

/// CPU features that select kernels.
const FEATURES: [&str; 8] =
    ["avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_int8"];

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Host {
    /// Identifies the machine and its current boot.
    pub boot_id: String,
    pub facts: HostFacts,
}

impl Host {
    /// A made-up machine, so that many agents can share a real one in a load test.
    pub fn simulated(name: &str) -> Self {
        let facts = HostFacts { name: name.to_owned(), is_simulated: true, ..HostFacts::default() };
        Self { boot_id: format!("simulated-{name}"), facts }
    }

    /// Reads /proc, /sys and /etc. The instance type is not among them.
    pub fn read() -> Self {
        let cpu = procfs::CpuInfo::current().ok();
        let model = cpu.as_ref().and_then(|cpu| cpu.model_name(0)).unwrap_or_default();
        let flags = cpu.as_ref().and_then(|cpu| cpu.flags(0)).unwrap_or_default();
        let threads = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let facts = HostFacts {
            name: read_line("/proc/sys/kernel/hostname"),
            cpu_model: model.trim().to_owned(),
            logical_cpus: u32::try_from(threads).unwrap_or(u32::MAX),
            memory_bytes: procfs::Meminfo::current().map_or(0, |memory| memory.mem_total),
            kernel: read_line("/proc/sys/kernel/osrelease"),
            operating_system: operating_system(),
            cpu_features: FEATURES
                .iter()
                .filter(|feature| flags.contains(feature))
                .map(|feature| (*feature).to_owned())
                .collect(),
            ..details::read(&Root::default())
        };
        let boot_id = procfs::sys::kernel::random::boot_id().unwrap_or_default();
        Self { boot_id: boot_id.trim().to_owned(), facts }
    }
}

fn read_line(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn operating_system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
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
    }
}
