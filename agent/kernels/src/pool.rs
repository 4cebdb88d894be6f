//! A thread pool for many short sections: a decoder step has about a hundred, of microseconds each.
//!
//! Workers spin briefly after a section, because the next one usually follows at once, and then
//! sleep. The calling thread takes part. Sections that are claimed in chunks do not wait for
//! workers that have not entered yet: on a busy host they may not be scheduled, and the other
//! threads process their chunks.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Polls for the next section before a worker sleeps, about 100 microseconds.
const SPINS: usize = 4000;
/// Epoch value: no section accepts workers.
const CLOSED: usize = usize::MAX;
/// Epoch value: the pool shuts down.
const SHUT_DOWN: usize = usize::MAX - 1;
/// An open epoch is the section's number times this, plus the workers that have entered.
const EPOCH: usize = 1 << 16;

/// The body of a section. Its argument is the thread's index.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// Prevents false sharing between counters that different threads write.
#[repr(align(128))]
#[derive(Debug, Default)]
struct CachePadded<T>(T);

/// What a worker reads to start a section, on one cache line.
struct Section {
    /// The open section and its entered workers, or [`CLOSED`] or [`SHUT_DOWN`].
    epoch: AtomicUsize,
    work: Mutex<Option<Work<'static>>>,
}

struct Shared {
    section: CachePadded<Section>,
    /// Workers that have finished the section they entered.
    finished: CachePadded<AtomicUsize>,
    asleep: CachePadded<AtomicUsize>,
    /// The first panic of a worker in the section.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleep_lock: Mutex<()>,
    wake: Condvar,
}

pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Serializes sections. Holds the number of the last one.
    last_section: Mutex<usize>,
    /// Claimed elements of each thread's own part.
    claimed: Vec<CachePadded<AtomicUsize>>,
}

/// The workers that a section waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitFor {
    All,
    /// Those that entered before the calling thread finished.
    Entered,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spins, then yields between polls.
fn wait_until(done: impl Fn() -> bool) {
    let mut spins = 0_usize;
    while !done() {
        spins += 1;
        if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
}

impl Pool {
    /// Starts `threads - 1` workers. The caller of a section is thread 0.
    pub(crate) fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            section: CachePadded(Section {
                epoch: AtomicUsize::new(CLOSED),
                work: Mutex::new(None),
            }),
            finished: CachePadded::default(),
            asleep: CachePadded::default(),
            panic: Mutex::new(None),
            sleep_lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let workers = (1..threads)
            .map(|thread| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("compute-{thread}"))
                    .spawn(move || shared.run_worker(thread))
                    .expect("the system can start a few threads")
            })
            .collect();
        let claimed = (0..threads).map(|_| CachePadded::default()).collect();
        Self { shared, workers, last_section: Mutex::new(0), claimed }
    }

    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `work` once on every thread and waits for all of them. Its panics are resumed here.
    pub(crate) fn run(&self, work: Work<'_>) {
        let last_section = locked(&self.last_section);
        self.section(WaitFor::All, work, last_section);
    }

    /// Runs `work` on this thread and at most once on every worker that enters in time. The work
    /// must be complete when this thread and all workers that entered have returned.
    pub(crate) fn run_present(&self, work: Work<'_>) {
        let last_section = locked(&self.last_section);
        self.section(WaitFor::Entered, work, last_section);
    }

    /// Runs `work` over `0..count` in chunks of `chunk`, each exactly once, with the thread's
    /// index. A thread starts with the same part in every call, which its core's cache may still
    /// hold, and then takes chunks from the other parts.
    pub(crate) fn share(
        &self,
        count: usize,
        chunk: usize,
        work: &(dyn Fn(usize, Range<usize>) + Sync),
    ) {
        let last_section = locked(&self.last_section);
        let threads = self.threads();
        for claimed in &self.claimed {
            claimed.0.store(0, Ordering::Relaxed);
        }
        let claim = |thread: usize| {
            for owner in (thread..threads).chain(0..thread) {
                let part = share(count, threads, owner);
                loop {
                    let start =
                        part.start + self.claimed[owner].0.fetch_add(chunk, Ordering::Relaxed);
                    if start >= part.end {
                        break;
                    }
                    work(thread, start..part.end.min(start + chunk));
                }
            }
        };
        self.section(WaitFor::Entered, &claim, last_section);
    }

    fn section(&self, wait_for: WaitFor, work: Work<'_>, mut last_section: MutexGuard<'_, usize>) {
        if self.workers.is_empty() {
            return work(0);
        }
        let shared = &self.shared;
        let Section { epoch, work: slot } = &shared.section.0;
        // SAFETY: only the lifetime changes. Workers take the reference after they entered, and the epoch is
        // closed below; nothing returns or unwinds before all entered workers have finished.
        let work_static = unsafe { std::mem::transmute::<Work<'_>, Work<'static>>(work) };
        *locked(slot) = Some(work_static);
        shared.finished.0.store(0, Ordering::Relaxed);
        *last_section += 1;
        shared.publish(*last_section * EPOCH);
        let own = catch_unwind(AssertUnwindSafe(|| work(0)));
        let finished = |count: usize| move || shared.finished.0.load(Ordering::Acquire) == count;
        if wait_for == WaitFor::All {
            wait_until(finished(self.workers.len()));
        }
        let entered = epoch.swap(CLOSED, Ordering::AcqRel) % EPOCH;
        wait_until(finished(entered));
        *locked(slot) = None;
        let of_worker = locked(&shared.panic).take();
        drop(last_section);
        if let Some(panic) = own.err().or(of_worker) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.publish(SHUT_DOWN);
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its sections, so there is none to propagate.
            let _ended = worker.join();
        }
    }
}

impl Shared {
    /// Opens a section, or shuts the pool down.
    fn publish(&self, epoch: usize) {
        // Sequentially consistent with `sleep`: either the sleeper sees the epoch or this sees the
        // sleeper.
        self.section.0.epoch.store(epoch, Ordering::SeqCst);
        if self.asleep.0.load(Ordering::SeqCst) > 0 {
            let _lock = locked(&self.sleep_lock);
            self.wake.notify_all();
        }
    }

    fn run_worker(&self, thread: usize) {
        let mut seen = 0;
        while let Some(entered) = self.enter(seen) {
            seen = entered;
            let work = *locked(&self.section.0.work);
            let work = work.expect("an open section has work");
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(thread))) {
                locked(&self.panic).get_or_insert(panic);
            }
            self.finished.0.fetch_add(1, Ordering::Release);
        }
    }

    /// Enters the next open section after `seen` and returns its number, or `None` at shutdown.
    fn enter(&self, seen: usize) -> Option<usize> {
        let epoch = &self.section.0.epoch;
        let mut spins = 0;
        loop {
            let found = epoch.load(Ordering::Acquire);
            if found == SHUT_DOWN {
                return None;
            }
            if is_open(found, seen) {
                // Fails if another worker enters at the same time, or the section closes.
                let entered =
                    epoch.compare_exchange(found, found + 1, Ordering::Acquire, Ordering::Relaxed);
                if entered.is_ok() {
                    return Some(found / EPOCH);
                }
                continue;
            }
            std::hint::spin_loop();
            spins += 1;
            if spins == SPINS {
                self.sleep(seen);
                spins = 0;
            }
        }
    }

    /// Sleeps until woken, unless a section is already open. The section may be over on return: the
    /// caller polls again, because the next one is likely to follow.
    fn sleep(&self, seen: usize) {
        let lock = locked(&self.sleep_lock);
        self.asleep.0.fetch_add(1, Ordering::SeqCst);
        let found = self.section.0.epoch.load(Ordering::SeqCst);
        if found != SHUT_DOWN && !is_open(found, seen) {
            drop(self.wake.wait(lock).unwrap_or_else(PoisonError::into_inner));
        }
        self.asleep.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether a worker that last ran section `seen` may enter.
fn is_open(epoch: usize, seen: usize) -> bool {
    epoch < SHUT_DOWN && epoch / EPOCH != seen
}

/// Part `part` of `0..count` split into `parts`.
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
    fn every_chunk_is_done_once_whoever_comes() {
        let pool = Pool::new(4);
        for (count, chunk) in [(0, 1), (1, 1), (7, 2), (100, 3), (64, 64)] {
            for _ in 0..500 {
                let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                pool.share(count, chunk, &|thread, places| {
                    assert!(thread < 4);
                    for place in places {
                        done[place].fetch_add(1, Ordering::Relaxed);
                    }
                });
                assert!(done.into_iter().all(|done| done.into_inner() == 1), "{count} {chunk}");
            }
        }
    }

    #[test]
    fn a_thread_enters_a_section_once_at_most() {
        let pool = Pool::new(4);
        for _ in 0..2000 {
            let counts: [AtomicUsize; 4] = Default::default();
            pool.run_present(&|thread| {
                counts[thread].fetch_add(1, Ordering::Relaxed);
            });
            let counts = counts.map(AtomicUsize::into_inner);
            assert!(counts[0] == 1 && counts.iter().all(|count| *count <= 1), "{counts:?}");
        }
    }

    #[test]
    fn the_gate_is_open_in_a_section_only_and_to_those_who_have_not_been_there() {
        let pool = Pool::new(2);
        let epoch = || pool.shared.section.0.epoch.load(Ordering::SeqCst);
        assert_eq!(epoch(), CLOSED);
        pool.run_present(&|_| assert!(is_open(epoch(), 0) && !is_open(epoch(), 1)));
        assert_eq!(epoch(), CLOSED);
        pool.run(&|_| assert!(is_open(epoch(), 1) && !is_open(epoch(), 2)));
        assert_eq!(epoch(), CLOSED);
        assert!(!is_open(CLOSED, 0) && !is_open(SHUT_DOWN, 0));
    }

    #[test]
    fn a_panic_reaches_the_caller_and_leaves_the_pool_usable() {
        let pool = Pool::new(2);
        for guilty in 0..2 {
            let run = || pool.run(&|thread| assert_ne!(thread, guilty, "of thread {guilty}"));
            let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
            let words = panic.downcast_ref::<String>().unwrap();
            assert!(words.contains(&format!("of thread {guilty}")), "{words}");
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
