//! Memory and processor time of a process, from /proc.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A process whose memory a thread polls until its exit.
#[derive(Debug)]
pub(crate) struct Watched {
    pid: u32,
    peak_kib: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watched {
    pub(crate) fn start(pid: u32) -> Self {
        let (peak_kib, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (peak, over) = (Arc::clone(&peak_kib), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(field(pid, "VmHWM:"), Ordering::Relaxed);
                pause();
            }
        });
        Self { pid, peak_kib, is_over, thread }
    }

    /// Peak resident memory in MiB, and processor time so far.
    pub(crate) fn now(&self) -> (u64, Duration) {
        (self.peak_kib.load(Ordering::Relaxed) / 1024, processor(self.pid))
    }

    /// Peak resident memory in MiB until its end.
    pub(crate) fn end(self) -> (u64, Duration) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.thread.join());
        (self.peak_kib.load(Ordering::Relaxed) / 1024, Duration::ZERO)
    }
}

#[expect(clippy::disallowed_methods, reason = "it polls from outside")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

fn field(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// User and system time, which Linux counts in hundredths of a second.
fn processor(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
