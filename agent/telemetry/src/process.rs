//! This process: CPU time, memory, page faults, context switches, files.

use crate::counter::Counter;
use host::Root;
use model::telemetry::{Metric, Readings};
use procfs::WithCurrentSystemInfo;
use stopwatch::{Stopwatch, processor_ns};

/// Reading PSS walks all pages: maximum share of one core's time, as its reciprocal.
const PSS_SHARE: u64 = 1000;
/// Minimum interval.
const PSS_PERIOD_NS: u64 = 10_000_000_000;

#[derive(Debug, Default)]
pub(crate) struct Process {
    root: Root,
    cpu: Counter,
    minor_faults: Counter,
    major_faults: Counter,
    voluntary: Counter,
    involuntary: Counter,
    next_pss_ns: u64,
}

impl Process {
    pub(crate) fn new(root: &Root) -> Self {
        Self { root: root.clone(), ..Self::default() }
    }

    fn open(&self) -> Option<procfs::process::Process> {
        procfs::process::Process::new_with_root(self.root.path("proc/self")).ok()
    }

    /// Cheap readings.
    pub(crate) fn read(&mut self, into: &mut Readings) {
        into.set(Metric::ProcessCpuNs, self.cpu.advance(Some(processor_ns::of_process())));
        let Some(stat) = self.open().and_then(|process| process.stat().ok()) else { return };
        into.set(Metric::ProcessRssBytes, stat.rss_bytes().get() as f64);
        into.set(Metric::ProcessThreads, stat.num_threads as f64);
        into.set(Metric::ProcessMinorFaults, self.minor_faults.advance(Some(stat.minflt as f64)));
        into.set(Metric::ProcessMajorFaults, self.major_faults.advance(Some(stat.majflt as f64)));
    }

    /// Expensive readings.
    pub(crate) fn read_slow(&mut self, into: &mut Readings, clock: &Stopwatch) {
        let Some(process) = self.open() else { return };
        into.set(Metric::ProcessOpenFiles, process.fd_count().ok().map(|count| count as f64));
        let swap = process.status().ok().and_then(|status| status.vmswap);
        into.set(Metric::ProcessSwapBytes, swap.map(|kib| kib as f64 * 1024.0));
        let (voluntary, involuntary) = switches(&process).unzip();
        into.set(Metric::ProcessVoluntarySwitches, self.voluntary.advance(voluntary));
        into.set(Metric::ProcessInvoluntarySwitches, self.involuntary.advance(involuntary));
        let start = clock.now_ns();
        if start >= self.next_pss_ns {
            into.set(Metric::ProcessPssBytes, pss_bytes(&process));
            let took = clock.now_ns() - start;
            self.next_pss_ns = start + (took * PSS_SHARE).max(PSS_PERIOD_NS);
        }
    }
}

/// Voluntary and involuntary context switches of all live threads. Ended threads take theirs along.
fn switches(process: &procfs::process::Process) -> Option<(f64, f64)> {
    let statuses = process.tasks().ok()?.flatten().filter_map(|task| task.status().ok());
    let counts = statuses.filter_map(|status| {
        Some((status.voluntary_ctxt_switches?, status.nonvoluntary_ctxt_switches?))
    });
    Some(counts.fold((0.0, 0.0), |sum, (voluntary, forced)| {
        (sum.0 + voluntary as f64, sum.1 + forced as f64)
    }))
}

fn pss_bytes(process: &procfs::process::Process) -> Option<f64> {
    let rollup = process.smaps_rollup().ok()?.memory_map_rollup;
    let bytes = rollup.into_iter().next()?.extension.map.get("Pss").copied()?;
    Some(bytes as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read_and_what_grows_needs_two_readings() {
        let mut process = Process::new(&Root::default());
        let (mut first, mut second) = (Readings::default(), Readings::default());
        process.read(&mut first);
        process.read_slow(&mut first, &Stopwatch::start());
        assert_eq!(first.of(Metric::ProcessCpuNs), None);
        assert!(first.of(Metric::ProcessRssBytes).unwrap() > 1e5);
        assert!(first.of(Metric::ProcessOpenFiles).unwrap() >= 1.0);
        let pss = first.of(Metric::ProcessPssBytes).unwrap();
        assert!(pss > 1e4 && pss <= first.of(Metric::ProcessRssBytes).unwrap() * 1.5);
        let touched = vec![1_u8; 8 << 20];
        process.read(&mut second);
        assert!(second.of(Metric::ProcessCpuNs).unwrap() > 0.0);
        assert!(second.of(Metric::ProcessMinorFaults).unwrap() >= 0.0);
        drop(touched);
    }

    #[test]
    fn a_machine_without_proc_has_no_readings_but_the_clock() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::new(&Root::of(folder.path()));
        let mut readings = Readings::default();
        process.read(&mut readings);
        process.read_slow(&mut readings, &Stopwatch::start());
        assert_eq!(readings.present().count(), 0);
    }
}
