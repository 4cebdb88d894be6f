//! Host CPU time, steal, pressure and memory.

use crate::counter::Counter;
use host::Root;
use model::telemetry::{Metric, Readings};
use procfs::prelude::*;
use procfs::{KernelStats, Meminfo};

#[derive(Debug, Default)]
pub(crate) struct Processors {
    root: Root,
    busy: Counter,
    steal: Counter,
    total: Counter,
    pressure: Counter,
}

impl Processors {
    pub(crate) fn new(root: &Root) -> Self {
        Self { root: root.clone(), ..Self::default() }
    }

    pub(crate) fn read(&mut self, into: &mut Readings) {
        let system = procfs::current_system_info();
        if let Ok(stat) = KernelStats::from_file(self.root.path("proc/stat"), system) {
            let cpu = &stat.total;
            let ns_per_tick = 1e9 / procfs::ticks_per_second() as f64;
            let ns = |ticks: u64| ticks as f64 * ns_per_tick;
            // User time includes guest time.
            let busy = cpu.user
                + cpu.nice
                + cpu.system
                + cpu.irq.unwrap_or_default()
                + cpu.softirq.unwrap_or_default();
            let steal = cpu.steal.unwrap_or_default();
            let total = busy + steal + cpu.idle + cpu.iowait.unwrap_or_default();
            into.set(Metric::HostCpuBusyNs, self.busy.advance(Some(ns(busy))));
            into.set(Metric::HostCpuStealNs, self.steal.advance(cpu.steal.map(ns)));
            into.set(Metric::HostCpuTotalNs, self.total.advance(Some(ns(total))));
            into.set(Metric::HostRunnableTasks, stat.procs_running.map(f64::from));
        }
        let waited_ns = self.root.text("proc/pressure/cpu").as_deref().and_then(waited_ns);
        into.set(Metric::HostCpuPressureNs, self.pressure.advance(waited_ns));
    }

    pub(crate) fn read_slow(&self, into: &mut Readings) {
        let Ok(memory) = Meminfo::from_file(self.root.path("proc/meminfo")) else { return };
        let available = memory.mem_available.map(|bytes| bytes as f64);
        into.set(Metric::HostMemoryAvailableBytes, available);
        let used = memory.swap_total.saturating_sub(memory.swap_free);
        into.set(Metric::HostSwapUsedBytes, used as f64);
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=MICROSECONDS`
fn waited_ns(pressure: &str) -> Option<f64> {
    let some = pressure.lines().find(|line| line.starts_with("some"))?;
    let total: f64 = some.split("total=").nth(1)?.trim().parse().ok()?;
    Some(total * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn busy_and_stolen_time_are_those_between_two_readings() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("proc/pressure")).unwrap();
        let write = |user: u64, idle: u64, steal: u64, waited: u64| {
            let stat = format!(
                "cpu  {user} 0 0 {idle} 0 0 0 {steal} 0 0\ncpu0 {user} 0 0 {idle} 0 0 0 {steal} 0 0\n\
                 ctxt 1\nbtime 1\nprocesses 1\nprocs_running 3\nprocs_blocked 0\n"
            );
            fs::write(folder.path().join("proc/stat"), stat).unwrap();
            let pressure = format!("some avg10=0.00 avg60=0.00 avg300=0.00 total={waited}\n");
            fs::write(folder.path().join("proc/pressure/cpu"), pressure).unwrap();
        };
        let mut processors = Processors::new(&Root::of(folder.path()));
        let mut readings = Readings::default();
        write(1000, 5000, 10, 700);
        processors.read(&mut readings);
        write(1060, 5030, 20, 900);
        processors.read(&mut readings);
        let tick = 1e9 / procfs::ticks_per_second() as f64;
        assert_eq!(readings.of(Metric::HostCpuBusyNs), Some(60.0 * tick));
        assert_eq!(readings.of(Metric::HostCpuStealNs), Some(10.0 * tick));
        assert_eq!(readings.of(Metric::HostCpuTotalNs), Some(100.0 * tick));
        assert_eq!(readings.of(Metric::HostRunnableTasks), Some(3.0));
        assert_eq!(readings.of(Metric::HostCpuPressureNs), Some(200_000.0));
    }
}
