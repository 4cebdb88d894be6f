//! A few threads for many short sections: a decoder step has about a hundred, of microseconds each.
//!
//! Workers spin for a moment after a section, since the next one is near, and sleep when none comes.
//! The calling thread is one of the threads.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How often a worker looks for the next section before it sleeps: some 100 microseconds.
const SPINS: usize = 4000;

/// What a section runs on every thread, with the thread's number.
type Section<'a> = &'a (dyn Fn(usize) + Sync);

/// Keeps counters that different threads write to from sharing a cache line.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Apart<T>(T);

#[derive(Default)]
struct Shared {
    /// Counts sections; a change is the signal to start.
    section: Apart<AtomicUsize>,
    /// Workers that have not finished the section.
    busy: Apart<AtomicUsize>,
    /// Workers that sleep.
    asleep: Apart<AtomicUsize>,
    /// Set before the last signal.
    closing: AtomicBool,
    failed: AtomicBool,
    work: Mutex<Option<Section<'static>>>,
    bed: Mutex<()>,
    bell: Condvar,
}

/// Threads that run sections together.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One section at a time.
    turn: Mutex<()>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Starts `threads - 1` workers; the caller of [`Pool::run`] is the first thread.
    pub(crate) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let workers = (1..threads.max(1))
            .map(|thread| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("t5-{thread}"))
                    .spawn(move || shared.serve(thread))
                    .expect("the system has room for a few threads")
            })
            .collect();
        Self { shared, workers, turn: Mutex::new(()) }
    }

    /// How many threads run each section.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `work` once on every thread, with the numbers from 0, and returns when all have ended.
    ///
    /// # Panics
    /// Where `work` does on any thread.
    pub(crate) fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() {
            return work(0);
        }
        let turn = locked(&self.turn);
        // SAFETY: only the lifetime changes. The reference is taken back below, after every worker has
        // ended the section, and nothing returns or unwinds before that.
        let section = unsafe { std::mem::transmute::<Section<'_>, Section<'static>>(work) };
        *locked(&self.shared.work) = Some(section);
        self.shared.start(self.workers.len());
        let own = catch_unwind(AssertUnwindSafe(|| work(0)));
        let mut spins = 0_usize;
        while self.shared.busy.0.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        *locked(&self.shared.work) = None;
        let failed = self.shared.failed.swap(false, Ordering::Relaxed);
        drop(turn);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!failed, "a worker panicked in this section");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.start(0);
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its sections, so there is none to pass on.
            let _ended = worker.join();
        }
    }
}

impl Shared {
    fn start(&self, workers: usize) {
        self.busy.0.store(workers, Ordering::Relaxed);
        // Sequentially consistent with `wait`: either the sleeper sees the new section or we see the sleeper.
        self.section.0.fetch_add(1, Ordering::SeqCst);
        if self.asleep.0.load(Ordering::SeqCst) > 0 {
            let _bed = locked(&self.bed);
            self.bell.notify_all();
        }
    }

    fn serve(&self, thread: usize) {
        let mut seen = 0;
        loop {
            seen = self.wait(seen);
            if self.closing.load(Ordering::Relaxed) {
                return;
            }
            let work = *locked(&self.work);
            let work = work.expect("a section is signalled after its work is set");
            if catch_unwind(AssertUnwindSafe(|| work(thread))).is_err() {
                self.failed.store(true, Ordering::Relaxed);
            }
            self.busy.0.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for another section than `seen`.
    fn wait(&self, seen: usize) -> usize {
        for _ in 0..SPINS {
            let section = self.section.0.load(Ordering::Acquire);
            if section != seen {
                return section;
            }
            std::hint::spin_loop();
        }
        let mut bed = locked(&self.bed);
        self.asleep.0.fetch_add(1, Ordering::SeqCst);
        loop {
            let section = self.section.0.load(Ordering::SeqCst);
            if section != seen {
                self.asleep.0.fetch_sub(1, Ordering::SeqCst);
                return section;
            }
            bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The part of `0..count` that falls to one of `parts`.
pub(crate) fn share(count: usize, parts: usize, part: usize) -> std::ops::Range<usize> {
    count * part / parts..count * (part + 1) / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_runs_every_section_once() {
        let pool = Pool::new(3);
        let counts: [AtomicUsize; 3] = Default::default();
        for _ in 0..1000 {
            pool.run(&|thread| {
                counts[thread].fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(counts.map(AtomicUsize::into_inner), [1000; 3]);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_leaves_the_pool_usable() {
        let pool = Pool::new(2);
        for guilty in 0..2 {
            let run = || pool.run(&|thread| assert_ne!(thread, guilty));
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
        let ran = AtomicUsize::new(0);
        pool.run(&|_| {
            ran.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(ran.into_inner(), 2);
    }

    #[test]
    fn shares_cover_everything_once() {
        for (count, parts) in [(0, 3), (2, 3), (7, 2), (64, 5)] {
            let all: Vec<usize> = (0..parts).flat_map(|part| share(count, parts, part)).collect();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
    }
}
