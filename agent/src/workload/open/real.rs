//! Arrivals on a real clock, queued by a dedicated thread.

use super::super::{Arrival, ArrivalBatch, Arrived};
use super::queue::Queue;
use super::{QueueRules, Schedule};
use model::panic::words;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use stopwatch::Stopwatch;

/// Longest wait between checks for cancellation.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct RealClock {
    rules: QueueRules,
    stopwatch: Stopwatch,
    shared: Arc<Shared>,
    sender: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// Called at every change, for a consumer that waits elsewhere.
    wake: Option<Arc<dyn Fn() + Send + Sync>>,
    /// No more arrivals.
    is_over: bool,
    /// The consumer is gone.
    is_closed: bool,
    /// What the panic said that ended the arrivals.
    panicked: Option<String>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl State {
    /// Panics if the thread of the arrivals did, with its words.
    fn check(&mut self) {
        if let Some(words) = self.panicked.take() {
            // It was printed where it happened.
            resume_unwind(Box::new(format!("the arrivals thread panicked: {words}")));
        }
    }
}

impl Shared {
    /// Tells the consumer that the state has changed.
    fn notify(&self, state: &State) {
        self.changed.notify_all();
        if let Some(wake) = &state.wake {
            wake();
        }
    }

    fn enter(&self) -> MutexGuard<'_, State> {
        // The other side's panic was printed; the state is consistent at any time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl RealClock {
    pub(super) fn start(
        schedule: Schedule,
        rules: QueueRules,
        stopwatch: Stopwatch,
    ) -> std::io::Result<Self> {
        let thread_stopwatch = stopwatch.clone();
        Self::start_with(rules, stopwatch, move |shared| {
            send(schedule, rules, &thread_stopwatch, shared);
        })
    }

    fn start_with(
        rules: QueueRules,
        stopwatch: Stopwatch,
        send: impl FnOnce(&Shared) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread_shared = Arc::clone(&shared);
        let sender = std::thread::Builder::new().name("arrivals".to_owned()).spawn(move || {
            let send = AssertUnwindSafe(|| send(&thread_shared));
            if let Err(panic) = catch_unwind(send) {
                let mut state = thread_shared.enter();
                state.panicked = Some(words(&*panic).to_owned());
                thread_shared.notify(&state);
            }
        })?;
        Ok(Self { rules, stopwatch, shared, sender: Some(sender) })
    }

    /// Panics if the thread of the arrivals did, with its words.
    pub(super) fn wait(&mut self, is_cancelled: &dyn Fn() -> bool) -> Option<ArrivalBatch> {
        let mut state = self.shared.enter();
        while state.queue.is_empty() {
            state.check();
            if state.is_over || is_cancelled() {
                return None;
            }
            state = self.shared.wait(state, POLL_INTERVAL);
        }
        while let Some(until_ns) = state.queue.until_ns(self.rules) {
            let left = until_ns.saturating_sub(self.stopwatch.now_ns());
            if left == 0 || is_cancelled() {
                break;
            }
            state = self.shared.wait(state, Duration::from_nanos(left).min(POLL_INTERVAL));
        }
        Some(state.queue.take(self.rules.most))
    }

    pub(super) fn wake_with(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.shared.enter().wake = Some(wake);
    }

    /// Panics if the thread of the arrivals did, with its words.
    pub(super) fn poll(&self, room: usize) -> Arrived {
        let mut state = self.shared.enter();
        let arrivals = state.queue.take(room);
        if !arrivals.batch.is_empty() || !arrivals.not_sent.is_empty() {
            return Arrived::Now(arrivals);
        }
        state.check();
        if state.is_over && state.queue.is_empty() { Arrived::Over } else { Arrived::NotYet }
    }

    pub(super) fn take(&mut self, room: usize) -> ArrivalBatch {
        self.shared.enter().queue.take(room)
    }
}

fn send(mut schedule: Schedule, rules: QueueRules, stopwatch: &Stopwatch, shared: &Shared) {
    let mut state = shared.enter();
    while let Some(due_ns) = schedule.due_ns() {
        if state.is_closed {
            return;
        }
        let now_ns = stopwatch.now_ns();
        if now_ns < due_ns {
            state = shared.wait(state, Duration::from_nanos(due_ns - now_ns));
            continue;
        }
        if let Some((index, intended_ns)) = schedule.next() {
            let delay_ns = Some(now_ns - intended_ns);
            state.queue.put(Arrival { index, intended_ns, delay_ns }, rules);
            shared.notify(&state);
        }
    }
    state.is_over = true;
    shared.notify(&state);
}

impl Drop for RealClock {
    fn drop(&mut self) {
        self.shared.enter().is_closed = true;
        self.shared.changed.notify_all();
        if let Some(sender) = self.sender.take() {
            // The thread's panic was printed where it happened.
            drop(sender.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Load, Workload};
    use super::*;

    fn start(rate: f64, requests: Option<u64>) -> Workload {
        let load = Load { request_rate: rate, seed: 1, max_queue: 1000, ..Load::default() };
        Workload::start(&load, 4, requests, &Stopwatch::start()).unwrap()
    }

    #[test]
    fn every_request_comes_once_and_none_before_its_time() {
        let mut workload = start(2000.0, Some(100));
        let came: Vec<Arrival> = std::iter::from_fn(|| workload.wait(&|| false))
            .flat_map(|arrivals| arrivals.batch)
            .collect();
        assert!(came.iter().map(|one| one.index).eq(0..100));
        assert!(came.iter().all(|one| one.delay_ns.is_some()));
    }

    #[test]
    fn a_panic_of_the_arrivals_reaches_the_one_who_waits_for_them() {
        let rules = QueueRules { most: 4, max_delay_ns: 0, max_queue: 9 };
        let panics = |_: &Shared| panic!("no more arrivals");
        let mut clock = RealClock::start_with(rules, Stopwatch::start(), panics).unwrap();
        let waits = AssertUnwindSafe(|| clock.wait(&|| false));
        let panic = catch_unwind(waits).unwrap_err();
        assert_eq!(words(&*panic), "the arrivals thread panicked: no more arrivals");
    }

    #[test]
    fn who_is_cancelled_waits_for_nobody_and_leaves() {
        // The first request would arrive in weeks.
        let mut workload = start(1e-6, None);
        assert_eq!(workload.wait(&|| true), None);
    }
}
