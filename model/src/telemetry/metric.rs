//! Metrics: names and units, the same on the wire, in the database, in Parquet and in reports.

use crate::words;

words!(
    /// A figure of a window. Its name ends with the unit.
    Metric, "metric", {
        /// CPU time of the agent, its sampler included, over the window.
        ProcessCpuNs = "process_cpu_ns",
        ProcessRssBytes = "process_rss_bytes",
        /// Proportional set size. Read every few seconds only.
        ProcessPssBytes = "process_pss_bytes",
        ProcessSwapBytes = "process_swap_bytes",
        ProcessMinorFaults = "process_minor_faults",
        ProcessMajorFaults = "process_major_faults",
        ProcessVoluntarySwitches = "process_voluntary_switches",
        ProcessInvoluntarySwitches = "process_involuntary_switches",
        /// Sockets included.
        ProcessOpenFiles = "process_open_files",
        ProcessThreads = "process_threads",
        SamplerCpuNs = "sampler_cpu_ns",
        /// CPU time of the host's processes, over the window, without steal.
        HostCpuBusyNs = "host_cpu_busy_ns",
        /// CPU time that the hypervisor gave to others while this host wanted it, over the window.
        HostCpuStealNs = "host_cpu_steal_ns",
        /// Busy, idle and stolen CPU time, over the window.
        HostCpuTotalNs = "host_cpu_total_ns",
        HostRunnableTasks = "host_runnable_tasks",
        /// Mean over the processors.
        HostCpuMhz = "host_cpu_mhz",
        /// Available without swapping.
        HostMemoryAvailableBytes = "host_memory_available_bytes",
        HostSwapUsedBytes = "host_swap_used_bytes",
        /// Of the processor's hottest sensor.
        HostTemperatureCelsius = "host_temperature_celsius",
        /// Thermal throttling events of the processors, over the window.
        HostThermalThrottles = "host_thermal_throttles",
        /// Time in which some task waited for a processor, over the window (PSI).
        HostCpuPressureNs = "host_cpu_pressure_ns",
        /// Time throttled by the CPU limit, summed over processors, over the window.
        CgroupThrottledNs = "cgroup_throttled_ns",
        /// Periods with throttling, over the window.
        CgroupThrottledPeriods = "cgroup_throttled_periods",
        /// Of the processor packages, over the window (RAPL).
        CpuEnergyJoules = "cpu_energy_joules",
        /// Share of time with a running kernel, as averaged by the driver.
        GpuUtilizationPct = "gpu_utilization_pct",
        /// Share of time with memory accesses, as averaged by the driver.
        GpuMemoryUtilizationPct = "gpu_memory_utilization_pct",
        /// Of all processes.
        GpuMemoryUsedBytes = "gpu_memory_used_bytes",
        /// Of the agent; absent if the driver hides processes, as in containers.
        GpuProcessMemoryBytes = "gpu_process_memory_bytes",
        GpuOtherProcesses = "gpu_other_processes",
        GpuTemperatureCelsius = "gpu_temperature_celsius",
        GpuPowerWatts = "gpu_power_watts",
        /// The enforced limit.
        GpuPowerLimitWatts = "gpu_power_limit_watts",
        GpuSmMhz = "gpu_sm_mhz",
        GpuMemoryMhz = "gpu_memory_mhz",
        /// A bit set, see [`ThrottleReasons`](super::ThrottleReasons).
        GpuThrottleReasons = "gpu_throttle_reasons",
        /// Time with clocks reduced by the power limit, over the window.
        GpuPowerViolationNs = "gpu_power_violation_ns",
        /// Time with clocks reduced by heat, over the window.
        GpuThermalViolationNs = "gpu_thermal_violation_ns",
        /// From the driver's counter, over the window.
        GpuEnergyJoules = "gpu_energy_joules",
        GpuEccCorrected = "gpu_ecc_corrected",
        GpuEccUncorrected = "gpu_ecc_uncorrected",
        /// The last error number reported in the window; absent without an error.
        GpuXid = "gpu_xid",
        /// In units of 1,000 bytes per second, over the driver's last 20 ms; the same for sent.
        GpuPcieReceivedKbPerS = "gpu_pcie_received_kb_per_s",
        GpuPcieSentKbPerS = "gpu_pcie_sent_kb_per_s",
        GpuPcieReplays = "gpu_pcie_replays",
        /// Requests that an endpoint's server was processing, as it reports; the same for the next two.
        EndpointRunningRequests = "endpoint_running_requests",
        EndpointWaitingRequests = "endpoint_waiting_requests",
        /// Of the server's key-value cache.
        EndpointCacheUsedPct = "endpoint_cache_used_pct",
    }
);

/// How readings of several windows are aggregated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A state at the window's end: time-weighted mean.
    State,
    /// An amount over the window: sum.
    Amount,
    /// A number that encodes something: never aggregated.
    Code,
}

impl Metric {
    pub const COUNT: usize = Self::WORDS.len();

    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied()
    }

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
            | M::GpuPcieSentKbPerS
            | M::EndpointRunningRequests
            | M::EndpointWaitingRequests
            | M::EndpointCacheUsedPct => Kind::State,
            M::GpuThrottleReasons | M::GpuXid => Kind::Code,
        }
    }

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
