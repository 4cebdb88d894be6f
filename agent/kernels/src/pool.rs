//! A few threads for many short sections: a decoder step has about a hundred, of microseconds each.
//!
//! Workers spin for a moment after a section, since the next one is near, and sleep when none comes.
//! The calling thread is one of the threads. Where work is claimed in chunks, nobody waits for a worker that has
//! not come yet: on a busy host it may be another process's turn, and the others do its chunks meanwhile.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How often a worker looks for the next section before it sleeps: some 100 microseconds.
const SPINS: usize = 4000;
/// A gate that nobody may enter by.
const CLOSED: usize = usize::MAX;
/// A gate that will not open again.
const ENDED: usize = usize::MAX - 1;
/// An open gate is the section's number times this, and how many workers have entered.
const SECTION: usize = 1 << 16;

/// What a section runs on its threads, with the thread's number.
type Section<'a> = &'a (dyn Fn(usize) + Sync);

/// Keeps counters that different threads write to from sharing a cache line.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Apart<T>(T);

/// What a worker needs to begin a section, on one cache line.
struct Door {
    /// The section that is open and how many workers have entered, or [`CLOSED`] or [`ENDED`].
    gate: AtomicUsize,
    work: Mutex<Option<Section<'static>>>,
}

struct Shared {
    door: Apart<Door>,
    /// Workers that entered the section and have ended it.
    left: Apart<AtomicUsize>,
    /// Workers that sleep.
    asleep: Apart<AtomicUsize>,
    failed: AtomicBool,
    bed: Mutex<()>,
    bell: Condvar,
}

/// Threads that run sections together.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One section at a time. Holds the number of the last one.
    turn: Mutex<usize>,
    /// How much of each thread's own part is claimed.
    claimed: Vec<Apart<AtomicUsize>>,
}

/// Whom a section waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// Every worker, however late it comes.
    All,
    /// Those that came before the calling thread had ended its own work.
    Present,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spins for a moment, then lets others have the core between two looks.
fn wait_until(done: impl Fn() -> bool) {
    let mut spins = 0_usize;
    while !done() {
        spins += 1;
        if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
}

impl Pool {
    /// Starts `threads - 1` workers; the caller of a section is the first thread.
    pub(crate) fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            door: Apart(Door { gate: AtomicUsize::new(CLOSED), work: Mutex::new(None) }),
            left: Apart::default(),
            asleep: Apart::default(),
            failed: AtomicBool::new(false),
            bed: Mutex::new(()),
            bell: Condvar::new(),
        });
        let workers = (1..threads)
            .map(|thread| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("t5-{thread}"))
                    .spawn(move || shared.serve(thread))
                    .expect("the system has room for a few threads")
            })
            .collect();
        let claimed = (0..threads).map(|_| Apart::default()).collect();
        Self { shared, workers, turn: Mutex::new(0), claimed }
    }

    /// How many threads there are.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `work` once on every thread, with the numbers from 0, and returns when all have ended.
    ///
    /// # Panics
    /// Where `work` does on any thread.
    pub(crate) fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        let turn = locked(&self.turn);
        self.section(Awaited::All, work, turn);
    }

    /// Runs `work` on this thread, and once at most on each of the others that comes in time. `work` must be
    /// done when this thread's call returns and those that came have returned as well.
    ///
    /// # Panics
    /// Where `work` does on any thread.
    pub(crate) fn run_present(&self, work: &(dyn Fn(usize) + Sync)) {
        let turn = locked(&self.turn);
        self.section(Awaited::Present, work, turn);
    }

    /// Runs `work` over `0..count` in chunks of `chunk`, each of them once, with the number of the thread.
    /// Every thread starts with a part that is the same at every call, so that a core meets what it has in its
    /// cache, and then takes from the parts of others.
    ///
    /// # Panics
    /// Where `work` does on any thread.
    pub(crate) fn share(
        &self,
        count: usize,
        chunk: usize,
        work: &(dyn Fn(usize, Range<usize>) + Sync),
    ) {
        let turn = locked(&self.turn);
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
        self.section(Awaited::Present, &claim, turn);
    }

    fn section(
        &self,
        awaited: Awaited,
        work: &(dyn Fn(usize) + Sync),
        mut turn: MutexGuard<'_, usize>,
    ) {
        if self.workers.is_empty() {
            return work(0);
        }
        let shared = &self.shared;
        let Door { gate, work: place } = &shared.door.0;
        // SAFETY: only the lifetime changes. Workers take the reference after they entered by the gate, which
        // is closed below; nothing returns or unwinds before all that entered have left.
        let section = unsafe { std::mem::transmute::<Section<'_>, Section<'static>>(work) };
        *locked(place) = Some(section);
        shared.left.0.store(0, Ordering::Relaxed);
        *turn += 1;
        shared.turn_gate(*turn * SECTION);
        let own = catch_unwind(AssertUnwindSafe(|| work(0)));
        let left = |count: usize| move || shared.left.0.load(Ordering::Acquire) == count;
        if awaited == Awaited::All {
            wait_until(left(self.workers.len()));
        }
        let entered = gate.swap(CLOSED, Ordering::AcqRel) % SECTION;
        wait_until(left(entered));
        *locked(place) = None;
        let failed = shared.failed.swap(false, Ordering::Relaxed);
        drop(turn);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!failed, "a worker panicked in this section");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.turn_gate(ENDED);
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its sections, so there is none to pass on.
            let _ended = worker.join();
        }
    }
}

impl Shared {
    /// Opens the gate to a section, or ends everything.
    fn turn_gate(&self, to: usize) {
        // Sequentially consistent with `sleep`: either the sleeper sees the gate or we see the sleeper.
        self.door.0.gate.store(to, Ordering::SeqCst);
        if self.asleep.0.load(Ordering::SeqCst) > 0 {
            let _bed = locked(&self.bed);
            self.bell.notify_all();
        }
    }

    fn serve(&self, thread: usize) {
        let mut seen = 0;
        while let Some(entered) = self.enter(seen) {
            seen = entered;
            let work = *locked(&self.door.0.work);
            let work = work.expect("the gate is open only while there is work");
            if catch_unwind(AssertUnwindSafe(|| work(thread))).is_err() {
                self.failed.store(true, Ordering::Relaxed);
            }
            self.left.0.fetch_add(1, Ordering::Release);
        }
    }

    /// Enters the next section that is open and isn't `seen`, and gives its number; null at the end.
    fn enter(&self, seen: usize) -> Option<usize> {
        let gate = &self.door.0.gate;
        let mut spins = 0;
        loop {
            let found = gate.load(Ordering::Acquire);
            if found == ENDED {
                return None;
            }
            if is_open(found, seen) {
                // Fails where another worker enters at the same time, or the gate is closed.
                let entered =
                    gate.compare_exchange(found, found + 1, Ordering::Acquire, Ordering::Relaxed);
                if entered.is_ok() {
                    return Some(found / SECTION);
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

    /// Sleeps until the bell rings, unless there is something to do already. The section may be over by then:
    /// the caller looks again for a while, since the next one is near.
    fn sleep(&self, seen: usize) {
        let bed = locked(&self.bed);
        self.asleep.0.fetch_add(1, Ordering::SeqCst);
        let found = self.door.0.gate.load(Ordering::SeqCst);
        if found != ENDED && !is_open(found, seen) {
            drop(self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner));
        }
        self.asleep.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether a worker that has been in the section `seen` may enter.
fn is_open(gate: usize, seen: usize) -> bool {
    gate < ENDED && gate / SECTION != seen
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
        let gate = || pool.shared.door.0.gate.load(Ordering::SeqCst);
        assert_eq!(gate(), CLOSED);
        pool.run_present(&|_| assert!(is_open(gate(), 0) && !is_open(gate(), 1)));
        assert_eq!(gate(), CLOSED);
        pool.run(&|_| assert!(is_open(gate(), 1) && !is_open(gate(), 2)));
        assert_eq!(gate(), CLOSED);
        assert!(!is_open(CLOSED, 0) && !is_open(ENDED, 0));
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
