//! The sampler: reads the instruments on a thread of its own, every period and whenever the agent goes from one
//! phase to the next, and hands on a window each time.
//!
//! At a change of phase the runner waits for the reading, so that no window straddles two phases and no reading
//! that the sampler must take runs beside the first batch. It waits a short time only: an instrument that hangs
//! holds nobody up. While nothing is measured the sampler sleeps. Windows wait in a bounded channel; one that finds
//! no room is dropped and counted.

use super::{Occasion, Panel};
use model::engine::EngineFacts;
use model::telemetry::{Absence, Phase, Readings, Window};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use stopwatch::Stopwatch;
use tokio::sync::mpsc;

/// Windows that may wait: four minutes of them at the default period.
const CAPACITY: usize = 1024;
/// How long a change of phase waits for its reading.
const PATIENCE: Duration = Duration::from_millis(500);
/// For how long the machine's idle power is measured.
const IDLE_SPAN: Duration = Duration::from_secs(3);

/// What the sampler hands on.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// What was read.
    Window(Box<Window>),
    /// What stopped being measurable.
    Absent(Absence),
}

/// What the agent does from now on.
#[derive(Debug, Clone)]
pub struct Mark {
    /// What.
    pub phase: Phase,
    /// For which shard and attempt; none while idle.
    pub of: Option<(u64, u64)>,
    /// Where the engine infers: `cpu`, `cuda:0`.
    pub device: String,
    /// The clock of the shard's samples.
    pub clock: Stopwatch,
}

enum Order {
    Period(Duration),
    Mark(Option<Mark>, SyncSender<Readings>),
}

/// A handle to the sampler's thread. Dropping it ends the thread.
#[derive(Debug)]
pub struct Sampler {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    energy: Energy,
}

/// Of which devices the energy can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Energy {
    cpu: bool,
    gpu: bool,
}

/// Where its windows come out.
#[derive(Debug)]
pub struct Observations {
    observed: mpsc::Receiver<Observed>,
    dropped: Arc<AtomicU64>,
}

impl Observations {
    /// Those that wait.
    pub fn take(&mut self) -> Vec<Observed> {
        std::iter::from_fn(|| self.observed.try_recv().ok()).collect()
    }

    /// How many windows found no room since this was last asked.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

impl Sampler {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(panel: Panel) -> Result<(Self, Observations), std::io::Error> {
        let energy = Energy { cpu: panel.has_energy("cpu"), gpu: panel.has_energy("cuda") };
        let (orders, inbox) = channel();
        let (sender, observed) = mpsc::channel(CAPACITY);
        let dropped = Arc::new(AtomicU64::new(0));
        let desk = Desk {
            panel,
            // The slow instruments' pace and the period are control time, whatever clock the samples have.
            pace: Stopwatch::start(),
            period: Duration::from_millis(model::telemetry::DEFAULT_PERIOD_MS.into()),
            current: None,
            out: sender,
            dropped: Arc::clone(&dropped),
        };
        let thread = std::thread::Builder::new()
            .name("sampler".to_owned())
            .spawn(move || desk.run(&inbox))?;
        let sampler = Self { orders: Some(orders), thread: Some(thread), energy };
        Ok((sampler, Observations { observed, dropped }))
    }

    /// One that observes nothing.
    pub fn none() -> Self {
        Self { orders: None, thread: None, energy: Energy::default() }
    }

    /// How often the instruments are read from now on; zero leaves it as it is.
    pub fn set_period(&self, period: Duration) {
        if !period.is_zero() {
            self.order(Order::Period(period));
        }
    }

    /// Ends the window and begins the next phase. Gives what was read in between; nothing where that took too long.
    pub fn mark(&self, mark: Mark) -> Readings {
        self.turn(Some(mark))
    }

    /// Ends the window; nothing is read until the next phase.
    pub fn pause(&self) {
        self.turn(None);
    }

    /// Observes the machine while nothing is loaded, where its energy can be read. `device` is the one that will
    /// infer.
    pub fn measure_idle(&self, device: &str, clock: &Stopwatch) {
        let has_energy = match device {
            "cpu" => self.energy.cpu,
            EngineFacts::ENDPOINT => false,
            _ => self.energy.gpu,
        };
        if !has_energy {
            return;
        }
        let (device, clock) = (device.to_owned(), clock.clone());
        self.mark(Mark { phase: Phase::Idle, of: None, device, clock });
        self.rest(IDLE_SPAN);
        self.pause();
    }

    /// Waits while the sampler goes on.
    pub fn rest(&self, span: Duration) {
        let (_never, rest) = sync_channel::<()>(0);
        // Nobody sends: this is the wait.
        let _waited = rest.recv_timeout(span);
    }

    fn turn(&self, mark: Option<Mark>) -> Readings {
        let (done, read) = sync_channel(1);
        self.order(Order::Mark(mark, done));
        read.recv_timeout(PATIENCE).unwrap_or_default()
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends only when this handle is dropped, or by a bug that its panic has told.
            drop(orders.send(order));
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed where it happened.
            drop(thread.join());
        }
    }
}

/// What the thread holds.
struct Desk {
    panel: Panel,
    pace: Stopwatch,
    period: Duration,
    current: Option<Current>,
    out: mpsc::Sender<Observed>,
    dropped: Arc<AtomicU64>,
}

/// The window that is open.
struct Current {
    mark: Mark,
    start_ns: u64,
}

impl Desk {
    fn run(mut self, inbox: &Receiver<Order>) {
        let mut next_ns = 0_u64;
        loop {
            let order = if self.current.is_some() {
                let wait = next_ns.saturating_sub(self.pace.now_ns());
                inbox.recv_timeout(Duration::from_nanos(wait))
            } else {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match order {
                Ok(Order::Period(period)) => self.period = period,
                Ok(Order::Mark(mark, done)) => {
                    let readings = self.turn(mark);
                    // Whoever waited may have lost patience.
                    drop(done.send(readings));
                    next_ns = self.pace.now_ns() + self.period_ns();
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.close(Occasion::Tick);
                    // Ticks that were missed on a busy machine are not made up for.
                    next_ns = (next_ns + self.period_ns()).max(self.pace.now_ns());
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn period_ns(&self) -> u64 {
        u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Goes to the next phase.
    fn turn(&mut self, mark: Option<Mark>) -> Readings {
        if let Some(mark) = &mark {
            self.panel.aim(&mark.device);
        }
        let readings = self.close(Occasion::Mark);
        self.current = mark.map(|mark| Current { start_ns: mark.clock.now_ns(), mark });
        readings
    }

    /// Reads, and hands on the window that ends, if one was open.
    fn close(&mut self, occasion: Occasion) -> Readings {
        let readings = self.panel.read(&self.pace, occasion);
        for absence in self.panel.take_absences() {
            self.hand_on(Observed::Absent(absence));
        }
        if let Some(current) = &mut self.current {
            let end_ns = current.mark.clock.now_ns();
            let window = Window {
                phase: current.mark.phase,
                of: current.mark.of,
                start_ns: current.start_ns,
                end_ns,
                readings: readings.clone(),
            };
            current.start_ns = end_ns;
            self.hand_on(Observed::Window(Box::new(window)));
        }
        readings
    }

    fn hand_on(&self, observed: Observed) {
        if self.out.try_send(observed).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Places;
    use model::telemetry::Metric;

    fn mark(phase: Phase, clock: &Stopwatch) -> Mark {
        Mark { phase, of: Some((1, 2)), device: "cpu".to_owned(), clock: clock.clone() }
    }

    fn windows(observations: &mut Observations) -> Vec<Window> {
        let observed = observations.take().into_iter();
        observed
            .filter_map(|one| if let Observed::Window(window) = one { Some(*window) } else { None })
            .collect()
    }

    #[test]
    fn every_change_of_phase_ends_a_window_on_the_clock_of_the_samples() {
        let (sampler, mut observations) = Sampler::start(Panel::find(Places::default())).unwrap();
        sampler.set_period(Duration::from_hours(1));
        let played = Stopwatch::played();
        sampler.mark(mark(Phase::Warming, &played));
        played.play(5);
        sampler.mark(mark(Phase::Measuring, &played));
        played.play(7);
        sampler.pause();
        let found = windows(&mut observations);
        let spans: Vec<_> = found.iter().map(|w| (w.phase, w.of, w.start_ns, w.end_ns)).collect();
        assert_eq!(
            spans,
            [(Phase::Warming, Some((1, 2)), 0, 5), (Phase::Measuring, Some((1, 2)), 5, 12)]
        );
        assert!(found[1].readings.of(Metric::SamplerCpuNs).unwrap() > 0.0);
    }

    #[test]
    fn a_period_ends_a_window_too() {
        let (sampler, mut observations) = Sampler::start(Panel::find(Places::default())).unwrap();
        sampler.set_period(Duration::from_millis(1));
        sampler.mark(mark(Phase::Measuring, &Stopwatch::start()));
        let mut found = Vec::new();
        while found.len() < 3 {
            found.extend(observations.observed.blocking_recv());
        }
        // A machine that is late makes one longer and the next one shorter; nothing lies between them.
        let [Observed::Window(one), Observed::Window(next), ..] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(one.start_ns < one.end_ns && one.end_ns == next.start_ns, "{one:?} {next:?}");
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let (sampler, observations) = Sampler::start(Panel::find(Places::default())).unwrap();
        let played = Stopwatch::played();
        for _ in 0..=CAPACITY + 2 {
            sampler.mark(mark(Phase::Measuring, &played));
        }
        assert_eq!((observations.take_dropped(), observations.take_dropped()), (2, 0));
    }

    #[test]
    fn one_that_observes_nothing_holds_nobody_up() {
        let sampler = Sampler::none();
        assert_eq!(sampler.mark(mark(Phase::Measuring, &Stopwatch::start())), Readings::default());
        sampler.pause();
    }
}
