//! Whose turn it is on this machine: one process measures at a time, whatever controllers and agents there are. The
//! kernel keeps the lock, so a process that dies has let go of it.

use engine::files::sha256_of;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

/// Between two looks at whether the other is through.
const PAUSE: Duration = Duration::from_millis(20);

/// The lock of one machine: a name in the system's abstract socket space, which needs no file and no rights.
#[derive(Debug, Clone)]
pub struct Turn {
    name: String,
}

/// Measuring, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    _lock: Option<UnixListener>,
}

impl Turn {
    /// Of the machine with this boot id.
    pub fn on(boot_id: &str) -> Self {
        Self { name: format!("fleetmark/measuring/{:.32}", sha256_of(boot_id)) }
    }

    /// Waits for it; none where `is_cancelled` comes first.
    pub(super) fn take(&self, is_cancelled: impl Fn() -> bool) -> Option<Held> {
        let mut has_told = false;
        loop {
            match self.try_take() {
                Ok(held) => return Some(held),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    if !std::mem::replace(&mut has_told, true) {
                        tracing::info!("another process measures on this machine; waiting for it");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "this system can't say whether another process measures");
                    return Some(Held { _lock: None });
                }
            }
            if is_cancelled() {
                return None;
            }
            pause();
        }
    }

    fn try_take(&self) -> io::Result<Held> {
        let address = SocketAddr::from_abstract_name(&self.name)?;
        Ok(Held { _lock: Some(UnixListener::bind_addr(&address)?) })
    }
}

#[expect(clippy::disallowed_methods, reason = "the runner's thread has nothing else to do")]
fn pause() {
    std::thread::sleep(PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_measures_at_a_time_and_the_next_waits() {
        let turn = Turn::on("one_measures_at_a_time");
        let held = turn.take(|| true);
        assert!(held.is_some());
        assert!(turn.take(|| true).is_none(), "it was taken twice");
        drop(held);
        assert!(turn.take(|| true).is_some());
    }

    #[test]
    fn machines_do_not_wait_for_each_other() {
        let (one, other) = (Turn::on("one"), Turn::on("other"));
        let _held = one.take(|| true);
        assert!(other.take(|| true).is_some());
    }
}
