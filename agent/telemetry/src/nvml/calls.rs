//! The NVML call for each metric.

use model::telemetry::Metric;
use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, PcieUtilCounter, PerformancePolicy, TemperatureSensor,
};
use nvml_wrapper::error::NvmlError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cadence {
    /// For every window.
    Always,
    /// Every few seconds.
    Slow,
    /// Every few seconds, except at a change of phase: the driver measures for 20 ms.
    Blocking,
}

/// Where an instance of MIG has a metric from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfInstance {
    /// It has its own.
    Own,
    /// That of its GPU, with all of its instances.
    Gpu,
    /// Nowhere: it isn't measured while MIG is enabled.
    Absent,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) metric: Metric,
    pub(super) cadence: Cadence,
    pub(super) of_instance: OfInstance,
    pub(super) read: fn(&Device<'_>) -> Result<f64, NvmlError>,
}

const fn call(
    metric: Metric,
    cadence: Cadence,
    read: fn(&Device<'_>) -> Result<f64, NvmlError>,
) -> Call {
    // As nvml.h describes each call; a whole GPU answers all the others.
    let of_instance = match metric {
        Metric::GpuMemoryUsedBytes => OfInstance::Own,
        Metric::GpuUtilizationPct | Metric::GpuMemoryUtilizationPct => OfInstance::Absent,
        _ => OfInstance::Gpu,
    };
    Call { metric, cadence, of_instance, read }
}

/// All calls that return one number. Amounts are raw driver counters.
pub(super) const CALLS: &[Call] = &[
    call(Metric::GpuUtilizationPct, Cadence::Always, |gpu| Ok(gpu.utilization_rates()?.gpu.into())),
    call(Metric::GpuMemoryUtilizationPct, Cadence::Slow, |gpu| {
        Ok(gpu.utilization_rates()?.memory.into())
    }),
    call(Metric::GpuMemoryUsedBytes, Cadence::Always, |gpu| Ok(gpu.memory_info()?.used as f64)),
    call(Metric::GpuTemperatureCelsius, Cadence::Always, |gpu| {
        Ok(gpu.temperature(TemperatureSensor::Gpu)?.into())
    }),
    call(Metric::GpuPowerWatts, Cadence::Always, |gpu| Ok(f64::from(gpu.power_usage()?) / 1e3)),
    call(Metric::GpuPowerLimitWatts, Cadence::Slow, |gpu| {
        Ok(f64::from(gpu.enforced_power_limit()?) / 1e3)
    }),
    call(Metric::GpuSmMhz, Cadence::Always, |gpu| Ok(gpu.clock_info(Clock::SM)?.into())),
    call(Metric::GpuMemoryMhz, Cadence::Slow, |gpu| Ok(gpu.clock_info(Clock::Memory)?.into())),
    call(Metric::GpuThrottleReasons, Cadence::Always, |gpu| {
        Ok(gpu.current_throttle_reasons()?.bits() as f64)
    }),
    call(Metric::GpuPowerViolationNs, Cadence::Always, |gpu| {
        Ok(gpu.violation_status(PerformancePolicy::Power)?.violation_time as f64)
    }),
    call(Metric::GpuThermalViolationNs, Cadence::Always, |gpu| {
        Ok(gpu.violation_status(PerformancePolicy::Thermal)?.violation_time as f64)
    }),
    call(Metric::GpuEnergyJoules, Cadence::Always, |gpu| {
        Ok(gpu.total_energy_consumption()? as f64 / 1e3)
    }),
    call(Metric::GpuEccCorrected, Cadence::Slow, |gpu| {
        Ok(gpu.total_ecc_errors(MemoryError::Corrected, EccCounter::Volatile)? as f64)
    }),
    call(Metric::GpuEccUncorrected, Cadence::Slow, |gpu| {
        Ok(gpu.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile)? as f64)
    }),
    call(Metric::GpuPcieReplays, Cadence::Slow, |gpu| Ok(gpu.pcie_replay_counter()?.into())),
    call(Metric::GpuPcieReceivedKbPerS, Cadence::Blocking, |gpu| {
        Ok(gpu.pcie_throughput(PcieUtilCounter::Receive)?.into())
    }),
    call(Metric::GpuPcieSentKbPerS, Cadence::Blocking, |gpu| {
        Ok(gpu.pcie_throughput(PcieUtilCounter::Send)?.into())
    }),
];
