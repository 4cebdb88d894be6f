//! What is observed: names and units. A name is the same on the wire, in the database, in Parquet and in reports.

use crate::words;

words!(
    /// A figure of a window. The unit stands at the end of its name.
    Metric, "metric", {
        /// Processor time of the agent, over the window; its sampler included.
        ProcessCpuNs = "process_cpu_ns",
        /// Resident memory of the agent, at the window's end.
        ProcessRssBytes = "process_rss_bytes",
        /// Its share of memory, where pages that it shares count in part. Read every few seconds only.
        ProcessPssBytes = "process_pss_bytes",
        /// Its memory that was swapped out.
        ProcessSwapBytes = "process_swap_bytes",
        /// Page faults without input or output, over the window.
        ProcessMinorFaults = "process_minor_faults",
        /// Page faults that read from a disk, over the window.
        ProcessMajorFaults = "process_major_faults",
        /// Context switches of its threads that waited, over the window.
        ProcessVoluntarySwitches = "process_voluntary_switches",
        /// Context switches of its threads that were pushed aside, over the window.
        ProcessInvoluntarySwitches = "process_involuntary_switches",
        /// Open files and sockets.
        ProcessOpenFiles = "process_open_files",
        /// Threads.
        ProcessThreads = "process_threads",
        /// Processor time of the sampler itself, over the window.
        SamplerCpuNs = "sampler_cpu_ns",
        /// Processor time of everything on the host, over the window, steal not included.
        HostCpuBusyNs = "host_cpu_busy_ns",
        /// Processor time that the hypervisor gave to others while this host wanted it, over the window.
        HostCpuStealNs = "host_cpu_steal_ns",
        /// Processor time that the host had, busy, idle and stolen, over the window.
        HostCpuTotalNs = "host_cpu_total_ns",
        /// Tasks that run or want to run.
        HostRunnableTasks = "host_runnable_tasks",
        /// Mean clock of the processors, as the system reports it.
        HostCpuMhz = "host_cpu_mhz",
        /// Memory that can be had without swapping.
        HostMemoryAvailableBytes = "host_memory_available_bytes",
        /// Swap in use.
        HostSwapUsedBytes = "host_swap_used_bytes",
        /// The hottest thermal zone.
        HostTemperatureCelsius = "host_temperature_celsius",
        /// Times that a processor slowed down for heat, over the window.
        HostThermalThrottles = "host_thermal_throttles",
        /// Time in which some task waited for a processor, over the window (pressure stall information).
        HostCpuPressureNs = "host_cpu_pressure_ns",
        /// Time that the control group was held back by its processor limit, summed over processors, over the window.
        CgroupThrottledNs = "cgroup_throttled_ns",
        /// Periods in which the control group was held back, over the window.
        CgroupThrottledPeriods = "cgroup_throttled_periods",
        /// Energy of the processor packages, over the window (RAPL).
        CpuEnergyJoules = "cpu_energy_joules",
        /// Share of time in which a kernel ran on the GPU, as the driver last averaged it.
        GpuUtilizationPct = "gpu_utilization_pct",
        /// Share of time in which GPU memory was read or written, as the driver last averaged it.
        GpuMemoryUtilizationPct = "gpu_memory_utilization_pct",
        /// GPU memory in use by everybody.
        GpuMemoryUsedBytes = "gpu_memory_used_bytes",
        /// GPU memory in use by the agent; absent where the driver hides processes, as in containers.
        GpuProcessMemoryBytes = "gpu_process_memory_bytes",
        /// Other processes that compute on the GPU.
        GpuOtherProcesses = "gpu_other_processes",
        /// Of the GPU's chip.
        GpuTemperatureCelsius = "gpu_temperature_celsius",
        /// Power draw.
        GpuPowerWatts = "gpu_power_watts",
        /// The power limit in force.
        GpuPowerLimitWatts = "gpu_power_limit_watts",
        /// Clock of the streaming multiprocessors.
        GpuSmMhz = "gpu_sm_mhz",
        /// Clock of the memory.
        GpuMemoryMhz = "gpu_memory_mhz",
        /// Why clocks are held down: a set of bits, see [`ThrottleReasons`](super::ThrottleReasons).
        GpuThrottleReasons = "gpu_throttle_reasons",
        /// Time for which the power limit held clocks down, over the window.
        GpuPowerViolationNs = "gpu_power_violation_ns",
        /// Time for which heat held clocks down, over the window.
        GpuThermalViolationNs = "gpu_thermal_violation_ns",
        /// Energy, over the window, from the driver's counter.
        GpuEnergyJoules = "gpu_energy_joules",
        /// Memory errors that were corrected, over the window.
        GpuEccCorrected = "gpu_ecc_corrected",
        /// Memory errors that could not be corrected, over the window.
        GpuEccUncorrected = "gpu_ecc_uncorrected",
        /// The last error number that the driver reported in the window; absent where there was none.
        GpuXid = "gpu_xid",
        /// Received over PCIe, in units of 1,000 bytes a second, over the driver's last 20 ms.
        GpuPcieReceivedKbPerS = "gpu_pcie_received_kb_per_s",
        /// Sent over PCIe, likewise.
        GpuPcieSentKbPerS = "gpu_pcie_sent_kb_per_s",
        /// PCIe messages that were sent again, over the window.
        GpuPcieReplays = "gpu_pcie_replays",
    }
);

/// How the readings of several windows become one figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A state at the window's end: averaged over time.
    State,
    /// An amount over the window: added up.
    Amount,
    /// A word in the form of a number: neither averaged nor added up.
    Code,
}

impl Metric {
    /// How many there are.
    pub const COUNT: usize = Self::WORDS.len();

    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::WORDS.iter().filter_map(|word| word.parse().ok())
    }

    /// How readings of several windows become one.
    pub fn kind(self) -> Kind {
        use Metric as M;
        match self {
            M::ProcessCpuNs
            | M::ProcessMinorFaults
            | M::ProcessMajorFaults
            | M::ProcessVoluntarySwitches
            | M::ProcessInvoluntarySwitches
            | M::SamplerCpuNs
            | M::HostCpuBusyNs
            | M::HostCpuStealNs
            | M::HostCpuTotalNs
            | M::HostThermalThrottles
            | M::HostCpuPressureNs
            | M::CgroupThrottledNs
            | M::CgroupThrottledPeriods
            | M::CpuEnergyJoules
            | M::GpuPowerViolationNs
            | M::GpuThermalViolationNs
            | M::GpuEnergyJoules
            | M::GpuEccCorrected
            | M::GpuEccUncorrected
            | M::GpuPcieReplays => Kind::Amount,
            M::ProcessRssBytes
            | M::ProcessPssBytes
            | M::ProcessSwapBytes
            | M::ProcessOpenFiles
            | M::ProcessThreads
            | M::HostRunnableTasks
            | M::HostCpuMhz
            | M::HostMemoryAvailableBytes
            | M::HostSwapUsedBytes
            | M::HostTemperatureCelsius
            | M::GpuUtilizationPct
            | M::GpuMemoryUtilizationPct
            | M::GpuMemoryUsedBytes
            | M::GpuProcessMemoryBytes
            | M::GpuOtherProcesses
            | M::GpuTemperatureCelsius
            | M::GpuPowerWatts
            | M::GpuPowerLimitWatts
            | M::GpuSmMhz
            | M::GpuMemoryMhz
            | M::GpuPcieReceivedKbPerS
            | M::GpuPcieSentKbPerS => Kind::State,
            M::GpuThrottleReasons | M::GpuXid => Kind::Code,
        }
    }

    /// Its place among all.
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_in_the_order_of_their_words() {
        let places: Vec<usize> = Metric::all().map(Metric::index).collect();
        assert_eq!(places, (0..Metric::COUNT).collect::<Vec<_>>());
    }
}
