//! One call of the library for each metric.

use model::telemetry::Metric;
use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, PcieUtilCounter, PerformancePolicy, TemperatureSensor,
};
use nvml_wrapper::error::NvmlError;

/// How often a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// For every window.
    Always,
    /// Every few seconds.
    Slow,
    /// Every few seconds, and never while somebody waits: the driver measures for 20 ms before it answers.
    Blocking,
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) metric: Metric,
    pub(super) pace: Pace,
    pub(super) read: fn(&Device<'_>) -> Result<f64, NvmlError>,
}

const fn call(metric: Metric, pace: Pace, read: fn(&Device<'_>) -> Result<f64, NvmlError>) -> Call {
    Call { metric, pace, read }
}

/// All calls that give one number. Amounts are given as the driver's counters stand.
pub(super) const CALLS: &[Call] = &[
    call(Metric::GpuUtilizationPct, Pace::Always, |gpu| Ok(gpu.utilization_rates()?.gpu.into())),
    call(Metric::GpuMemoryUtilizationPct, Pace::Slow, |gpu| {
        Ok(gpu.utilization_rates()?.memory.into())
    }),
    call(Metric::GpuMemoryUsedBytes, Pace::Always, |gpu| Ok(gpu.memory_info()?.used as f64)),
    call(Metric::GpuTemperatureCelsius, Pace::Always, |gpu| {
        Ok(gpu.temperature(TemperatureSensor::Gpu)?.into())
    }),
    call(Metric::GpuPowerWatts, Pace::Always, |gpu| Ok(f64::from(gpu.power_usage()?) / 1e3)),
    call(Metric::GpuPowerLimitWatts, Pace::Slow, |gpu| {
        Ok(f64::from(gpu.enforced_power_limit()?) / 1e3)
    }),
    call(Metric::GpuSmMhz, Pace::Always, |gpu| Ok(gpu.clock_info(Clock::SM)?.into())),
    call(Metric::GpuMemoryMhz, Pace::Slow, |gpu| Ok(gpu.clock_info(Clock::Memory)?.into())),
    call(Metric::GpuThrottleReasons, Pace::Always, |gpu| {
        Ok(gpu.current_throttle_reasons()?.bits() as f64)
    }),
    call(Metric::GpuPowerViolationNs, Pace::Always, |gpu| {
        Ok(gpu.violation_status(PerformancePolicy::Power)?.violation_time as f64)
    }),
    call(Metric::GpuThermalViolationNs, Pace::Always, |gpu| {
        Ok(gpu.violation_status(PerformancePolicy::Thermal)?.violation_time as f64)
    }),
    call(Metric::GpuEnergyJoules, Pace::Always, |gpu| {
        Ok(gpu.total_energy_consumption()? as f64 / 1e3)
    }),
    call(Metric::GpuEccCorrected, Pace::Slow, |gpu| {
        Ok(gpu.total_ecc_errors(MemoryError::Corrected, EccCounter::Volatile)? as f64)
    }),
    call(Metric::GpuEccUncorrected, Pace::Slow, |gpu| {
        Ok(gpu.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile)? as f64)
    }),
    call(Metric::GpuPcieReplays, Pace::Slow, |gpu| Ok(gpu.pcie_replay_counter()?.into())),
    call(Metric::GpuPcieReceivedKbPerS, Pace::Blocking, |gpu| {
        Ok(gpu.pcie_throughput(PcieUtilCounter::Receive)?.into())
    }),
    call(Metric::GpuPcieSentKbPerS, Pace::Blocking, |gpu| {
        Ok(gpu.pcie_throughput(PcieUtilCounter::Send)?.into())
    }),
];
