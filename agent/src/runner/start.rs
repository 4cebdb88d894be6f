//! The start of attempts that agents measure together: each waits for it after its warm-up.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest wait between checks for cancellation.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The last attempt that was started; 0 before the first.
#[derive(Debug, Default)]
pub(super) struct Start {
    attempt: Mutex<u64>,
    changed: Condvar,
}

impl Start {
    pub(super) fn set(&self, attempt: u64) {
        *self.attempt() = attempt;
        self.changed.notify_all();
    }

    /// Waits until the attempt is started. False if it is cancelled.
    pub(super) fn wait(&self, attempt: u64, is_cancelled: impl Fn() -> bool) -> bool {
        let mut started = self.attempt();
        while *started != attempt {
            if is_cancelled() {
                return false;
            }
            let waited = self.changed.wait_timeout(started, POLL_INTERVAL);
            started = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn attempt(&self) -> MutexGuard<'_, u64> {
        // A number is consistent at any time.
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
