//! A machine-wide lock: one process measures at a time, regardless of controllers and agents. The
//! kernel holds the lock, so it is released when the process dies.

use engine::files::sha256_of;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(20);

/// A name in the abstract socket namespace, which needs no file and no permissions.
#[derive(Debug, Clone)]
pub struct MachineLock {
    name: String,
}

/// Holds the lock until dropped.
#[derive(Debug)]
pub(super) struct MachineGuard {
    _lock: Option<UnixListener>,
}

impl MachineLock {
    pub fn on(boot_id: &str) -> Self {
        Self { name: format!("fleetmark/measuring/{:.32}", sha256_of(boot_id)) }
    }

    /// Waits for the lock. `None` if cancelled. Calls `queued` before it waits, if another process holds it.
    pub(super) fn acquire(
        &self,
        is_cancelled: impl Fn() -> bool,
        queued: impl FnOnce(),
    ) -> Option<MachineGuard> {
        let mut queued = Some(queued);
        loop {
            match self.try_acquire() {
                Ok(held) => return Some(held),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    if let Some(queued) = queued.take() {
                        tracing::info!("waiting for another process that measures on this machine");
                        queued();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot lock this machine for measuring");
                    return Some(MachineGuard { _lock: None });
                }
            }
            if is_cancelled() {
                return None;
            }
            pause();
        }
    }

    fn try_acquire(&self) -> io::Result<MachineGuard> {
        let address = SocketAddr::from_abstract_name(&self.name)?;
        Ok(MachineGuard { _lock: Some(UnixListener::bind_addr(&address)?) })
    }
}

#[expect(clippy::disallowed_methods, reason = "the runner's thread has nothing else to do")]
fn pause() {
    std::thread::sleep(PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn one_measures_at_a_time_and_the_next_waits() {
        let machine_lock = MachineLock::on("one_measures_at_a_time");
        let queued = Cell::new(0);
        let acquire = || machine_lock.acquire(|| true, || queued.set(queued.get() + 1));
        let held = acquire();
        assert!(held.is_some());
        assert_eq!(queued.get(), 0);
        assert!(acquire().is_none(), "it was taken twice");
        assert_eq!(queued.get(), 1);
        drop(held);
        assert!(acquire().is_some());
    }

    #[test]
    fn machines_do_not_wait_for_each_other() {
        let (one, other) = (MachineLock::on("one"), MachineLock::on("other"));
        let _held = one.acquire(|| true, || {});
        assert!(other.acquire(|| true, || {}).is_some());
    }
}
