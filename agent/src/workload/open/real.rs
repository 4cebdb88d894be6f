//! Requests that come on a real clock, put into the queue by a thread of its own.

use super::super::{Arrival, Together};
use super::queue::Queue;
use super::{Rules, Schedule};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use stopwatch::Stopwatch;

/// How long a wait lasts at most before somebody looks whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Real {
    rules: Rules,
    stopwatch: Stopwatch,
    hall: Arc<Hall>,
    sender: Option<JoinHandle<()>>,
}

/// Where both sides meet.
#[derive(Debug, Default)]
struct Hall {
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    queue: Queue,
    /// No more will come.
    is_over: bool,
    /// No more are wanted.
    is_closed: bool,
}

impl Hall {
    fn enter(&self) -> MutexGuard<'_, Inside> {
        // A panic on the other side has told itself; what is inside is whole at any time.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, inside: MutexGuard<'a, Inside>, time: Duration) -> MutexGuard<'a, Inside> {
        let waited = self.changed.wait_timeout(inside, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Real {
    pub(super) fn start(
        schedule: Schedule,
        rules: Rules,
        stopwatch: Stopwatch,
    ) -> std::io::Result<Self> {
        let hall = Arc::new(Hall::default());
        let (their_hall, their_stopwatch) = (Arc::clone(&hall), stopwatch.clone());
        let sender = std::thread::Builder::new()
            .name("arrivals".to_owned())
            .spawn(move || send(schedule, rules, &their_stopwatch, &their_hall))?;
        Ok(Self { rules, stopwatch, hall, sender: Some(sender) })
    }

    pub(super) fn wait(&mut self, is_cancelled: &dyn Fn() -> bool) -> Option<Together> {
        let mut inside = self.hall.enter();
        while inside.queue.is_empty() {
            if inside.is_over || is_cancelled() {
                return None;
            }
            inside = self.hall.wait(inside, PATIENCE);
        }
        while let Some(until_ns) = inside.queue.until_ns(self.rules) {
            let left = until_ns.saturating_sub(self.stopwatch.now_ns());
            if left == 0 || is_cancelled() {
                break;
            }
            inside = self.hall.wait(inside, Duration::from_nanos(left).min(PATIENCE));
        }
        Some(inside.queue.take(self.rules.most))
    }

    pub(super) fn take(&mut self, room: usize) -> Together {
        self.hall.enter().queue.take(room)
    }
}

/// Puts each request into the queue when it is meant to come.
fn send(mut schedule: Schedule, rules: Rules, stopwatch: &Stopwatch, hall: &Hall) {
    let mut inside = hall.enter();
    while let Some(due_ns) = schedule.due_ns() {
        if inside.is_closed {
            return;
        }
        let now_ns = stopwatch.now_ns();
        if now_ns < due_ns {
            inside = hall.wait(inside, Duration::from_nanos(due_ns - now_ns));
            continue;
        }
        if let Some((index, intended_ns)) = schedule.next() {
            let delay_ns = Some(now_ns - intended_ns);
            inside.queue.put(Arrival { index, intended_ns, delay_ns }, rules);
            hall.changed.notify_all();
        }
    }
    inside.is_over = true;
    hall.changed.notify_all();
}

impl Drop for Real {
    fn drop(&mut self) {
        self.hall.enter().is_closed = true;
        self.hall.changed.notify_all();
        if let Some(sender) = self.sender.take() {
            // A panic of the thread was printed where it happened.
            drop(sender.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Workload;
    use super::*;
    use proto::wire;

    fn start(rate: f64, requests: Option<u64>) -> Workload {
        let load =
            wire::Load { request_rate: rate, seed: 1, max_queue: 1000, ..wire::Load::default() };
        Workload::start(&load, 4, requests, &Stopwatch::start()).unwrap()
    }

    #[test]
    fn every_request_comes_once_and_none_before_its_time() {
        let mut workload = start(2000.0, Some(100));
        let came: Vec<Arrival> = std::iter::from_fn(|| workload.wait(&|| false))
            .flat_map(|together| together.batch)
            .collect();
        assert!(came.iter().map(|one| one.index).eq(0..100));
        assert!(came.iter().all(|one| one.delay_ns.is_some()));
    }

    #[test]
    fn who_is_cancelled_waits_for_nobody_and_leaves() {
        // The first request would come in some weeks.
        let mut workload = start(1e-6, None);
        assert_eq!(workload.wait(&|| true), None);
    }
}
