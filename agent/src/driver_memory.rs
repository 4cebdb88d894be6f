//! A GPU's memory, as its driver tells it, where NVIDIA's management library doesn't: containers that
//! were started for computing alone have none.

use model::telemetry::{Metric, Readings};
use seq2seq::device::Device;
use telemetry::ReadingSource;

#[derive(Debug)]
pub struct DriverMemory(Device);

impl DriverMemory {
    /// `None` for the CPU.
    pub fn of(device: &Device) -> Option<Self> {
        device.gpu().map(|_| Self(device.clone()))
    }

    /// Bytes in use by all processes.
    pub fn used(&self) -> Option<usize> {
        let (free, all) = self.0.gpu()?.memory().ok()?;
        Some(all - free)
    }
}

impl ReadingSource for DriverMemory {
    fn read(&self, into: &mut Readings) {
        if into.of(Metric::GpuMemoryUsedBytes).is_some() {
            return;
        }
        if let Some(used) = self.used() {
            into.set(Metric::GpuMemoryUsedBytes, used as f64);
        }
    }
}
