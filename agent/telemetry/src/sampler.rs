//! The sampler thread: reads the instruments every period and at every change of phase, and emits a
//! window each time.
//!
//! The runner waits for the reading at a change of phase, so that no window spans two phases and no
//! reading coincides with the first batch; the wait is bounded in case an instrument hangs. The
//! thread sleeps while nothing is measured. Windows are buffered in a bounded channel; excess ones
//! are dropped and counted.
//!
//! A panic of the thread is resumed on the runner's, at the next change of phase or
//! [`Sampler::check`]: a shard without its telemetry isn't a whole one.

use super::{InstrumentSet, Trigger};
use model::engine::EngineFacts;
use model::panic::words;
use model::telemetry::{Absence, Phase, Readings, Window};
use std::fmt;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use stopwatch::Stopwatch;
use tokio::sync::mpsc;

/// Buffered windows: four minutes at the default period.
const CAPACITY: usize = 1024;
/// Maximum wait for the reading at a change of phase.
const PHASE_TIMEOUT: Duration = Duration::from_millis(500);
/// Duration of the idle power measurement.
const IDLE_SPAN: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    Window(Box<Window>),
    /// Became unmeasurable.
    Absent(Absence),
}

#[derive(Debug, Clone)]
pub struct PhaseStart {
    pub phase: Phase,
    /// Shard and attempt. `None` while idle.
    pub of: Option<(u64, u64)>,
    /// The inference device: `cpu`, `cuda:0`.
    pub device: String,
    /// The clock of the shard's samples.
    pub clock: Stopwatch,
    /// What the phase adds to the readings of the instruments.
    pub server: Option<Arc<dyn ReadingSource>>,
}

/// Readings that something else takes, such as those of an endpoint's server.
pub trait ReadingSource: fmt::Debug + Send + Sync {
    /// Adds the latest readings, if they are recent. Never blocks for long.
    fn read(&self, into: &mut Readings);
}

enum Command {
    Period(Duration),
    StartPhase(Option<PhaseStart>, SyncSender<Readings>),
}

/// What the sampler reads: an [`InstrumentSet`], or a script in tests.
pub trait InstrumentReader: Send + 'static {
    /// Whether the energy of inference on a device can be read.
    fn has_energy(&self, device: &str) -> bool;

    fn select_device(&mut self, device: &str);

    /// What became unmeasurable since the last call.
    fn take_absences(&mut self) -> Vec<Absence>;

    /// Amounts are relative to the last reading.
    fn read(&mut self, clock: &Stopwatch, trigger: Trigger) -> Readings;
}

impl InstrumentReader for InstrumentSet {
    fn has_energy(&self, device: &str) -> bool {
        self.has_energy(device)
    }

    fn select_device(&mut self, device: &str) {
        self.select_device(device);
    }

    fn take_absences(&mut self) -> Vec<Absence> {
        self.take_absences()
    }

    fn read(&mut self, clock: &Stopwatch, trigger: Trigger) -> Readings {
        self.read(clock, trigger)
    }
}

/// A handle to the sampler's thread. Dropping it stops the thread.
#[derive(Debug)]
pub struct Sampler {
    commands: Option<Sender<Command>>,
    /// None once its panic was resumed.
    thread: Mutex<Option<JoinHandle<()>>>,
    energy: Energy,
}

/// Devices whose energy can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Energy {
    cpu: bool,
    gpu: bool,
}

#[derive(Debug)]
pub struct Observations {
    observed: mpsc::Receiver<Observation>,
    dropped: Arc<AtomicU64>,
}

impl Observations {
    /// All buffered observations.
    pub fn take(&mut self) -> Vec<Observation> {
        std::iter::from_fn(|| self.observed.try_recv().ok()).collect()
    }

    /// Windows dropped since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

impl Sampler {
    pub fn start(
        instruments: impl InstrumentReader,
    ) -> Result<(Self, Observations), std::io::Error> {
        let energy =
            Energy { cpu: instruments.has_energy("cpu"), gpu: instruments.has_energy("cuda") };
        let (commands, inbox) = channel();
        let (sender, observed) = mpsc::channel(CAPACITY);
        let dropped = Arc::new(AtomicU64::new(0));
        let sampler_thread = SamplerThread {
            instruments,
            // Periods are control time, whatever the clock of the samples.
            cadence: Stopwatch::start(),
            period: Duration::from_millis(model::telemetry::DEFAULT_PERIOD_MS.into()),
            current: None,
            out: sender,
            dropped: Arc::clone(&dropped),
        };
        let thread = std::thread::Builder::new()
            .name("sampler".to_owned())
            .spawn(move || sampler_thread.run(&inbox))?;
        let thread = Mutex::new(Some(thread));
        let sampler = Self { commands: Some(commands), thread, energy };
        Ok((sampler, Observations { observed, dropped }))
    }

    pub fn none() -> Self {
        Self { commands: None, thread: Mutex::new(None), energy: Energy::default() }
    }

    /// Sets the sampling period; zero leaves it unchanged.
    pub fn set_period(&self, period: Duration) {
        if !period.is_zero() {
            self.send(Command::Period(period));
        }
    }

    /// Ends the window and starts the next phase. Returns the readings in between, or none if the
    /// reading took too long. Panics as [`Sampler::check`] does.
    pub fn start_phase(&self, mark: PhaseStart) -> Readings {
        self.change_phase(Some(mark))
    }

    /// Ends the window and stops reading until the next phase. Panics as [`Sampler::check`] does.
    pub fn pause(&self) {
        self.change_phase(None);
    }

    /// Samples the idle machine if its energy can be read. `device`: the one used for inference.
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
        let (phase, of, server) = (Phase::Idle, None, None);
        self.start_phase(PhaseStart { phase, of, device, clock, server });
        self.wait(IDLE_SPAN);
        self.pause();
    }

    /// Blocks while the sampler runs.
    pub fn wait(&self, span: Duration) {
        let (_never, wait) = sync_channel::<()>(0);
        // Nothing is ever sent: this is the wait.
        let _waited = wait.recv_timeout(span);
    }

    fn change_phase(&self, mark: Option<PhaseStart>) -> Readings {
        let (done, read) = sync_channel(1);
        self.send(Command::StartPhase(mark, done));
        match read.recv_timeout(PHASE_TIMEOUT) {
            Ok(readings) => readings,
            Err(RecvTimeoutError::Timeout) => Readings::default(),
            Err(RecvTimeoutError::Disconnected) => {
                self.resume_panic();
                Readings::default()
            }
        }
    }

    /// Panics with the words of the thread's panic, if it had one.
    pub fn check(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let has_ended = thread.as_ref().is_some_and(JoinHandle::is_finished);
        drop(thread);
        if has_ended {
            self.resume_panic();
        }
    }

    /// Waits for the end of the thread, which doesn't answer any more.
    fn resume_panic(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(panic)) = thread.map(JoinHandle::join) {
            // It was printed where it happened.
            resume_unwind(Box::new(format!("the telemetry sampler panicked: {}", words(&*panic))));
        }
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // The thread ends only when this handle is dropped, or by a panic, which is found.
            drop(commands.send(command));
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.commands = None;
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // The thread's panic was printed where it happened.
            drop(thread.join());
        }
    }
}

struct SamplerThread<I> {
    instruments: I,
    cadence: Stopwatch,
    period: Duration,
    current: Option<Current>,
    out: mpsc::Sender<Observation>,
    dropped: Arc<AtomicU64>,
}

struct Current {
    mark: PhaseStart,
    start_ns: u64,
}

impl<I: InstrumentReader> SamplerThread<I> {
    fn run(mut self, inbox: &Receiver<Command>) {
        let mut next_ns = 0_u64;
        loop {
            let command = if self.current.is_some() {
                let wait = next_ns.saturating_sub(self.cadence.now_ns());
                inbox.recv_timeout(Duration::from_nanos(wait))
            } else {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match command {
                Ok(Command::Period(period)) => self.period = period,
                Ok(Command::StartPhase(mark, done)) => {
                    let readings = self.change_phase(mark);
                    // The caller may have timed out.
                    drop(done.send(readings));
                    next_ns = self.cadence.now_ns() + self.period_ns();
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.close(Trigger::Tick);
                    // Ticks missed on a busy machine are not repeated.
                    next_ns = (next_ns + self.period_ns()).max(self.cadence.now_ns());
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn period_ns(&self) -> u64 {
        u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX)
    }

    fn change_phase(&mut self, mark: Option<PhaseStart>) -> Readings {
        if let Some(mark) = &mark {
            self.instruments.select_device(&mark.device);
        }
        let readings = self.close(Trigger::PhaseChange);
        self.current = mark.map(|mark| Current { start_ns: mark.clock.now_ns(), mark });
        readings
    }

    /// Reads the instruments, and emits the open window.
    fn close(&mut self, trigger: Trigger) -> Readings {
        let mut readings = self.instruments.read(&self.cadence, trigger);
        for absence in self.instruments.take_absences() {
            self.emit(Observation::Absent(absence));
        }
        if let Some(current) = &mut self.current {
            if let Some(server) = &current.mark.server {
                server.read(&mut readings);
            }
            let end_ns = current.mark.clock.now_ns();
            let window = Window {
                phase: current.mark.phase,
                of: current.mark.of,
                start_ns: current.start_ns,
                end_ns,
                readings: readings.clone(),
            };
            current.start_ns = end_ns;
            self.emit(Observation::Window(Box::new(window)));
        }
        readings
    }

    fn emit(&self, observed: Observation) {
        if self.out.try_send(observed).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InstrumentSources;
    use model::telemetry::Metric;

    fn mark(phase: Phase, clock: &Stopwatch) -> PhaseStart {
        let (device, clock) = ("cpu".to_owned(), clock.clone());
        PhaseStart { phase, of: Some((1, 2)), device, clock, server: None }
    }

    fn windows(observations: &mut Observations) -> Vec<Window> {
        let observed = observations.take().into_iter();
        observed
            .filter_map(
                |one| if let Observation::Window(window) = one { Some(*window) } else { None },
            )
            .collect()
    }

    #[test]
    fn every_change_of_phase_ends_a_window_on_the_clock_of_the_samples() {
        let (sampler, mut observations) =
            Sampler::start(InstrumentSet::find(InstrumentSources::default())).unwrap();
        sampler.set_period(Duration::from_hours(1));
        let played = Stopwatch::synthetic();
        sampler.start_phase(mark(Phase::Warming, &played));
        played.advance(5);
        sampler.start_phase(mark(Phase::Measuring, &played));
        played.advance(7);
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
        let (sampler, mut observations) =
            Sampler::start(InstrumentSet::find(InstrumentSources::default())).unwrap();
        sampler.set_period(Duration::from_millis(1));
        sampler.start_phase(mark(Phase::Measuring, &Stopwatch::start()));
        let mut found = Vec::new();
        while found.len() < 3 {
            found.extend(observations.observed.blocking_recv());
        }
        // A late tick makes one window longer and the next shorter; there is no gap.
        let [Observation::Window(one), Observation::Window(next), ..] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(one.start_ns < one.end_ns && one.end_ns == next.start_ns, "{one:?} {next:?}");
    }

    #[derive(Debug)]
    struct Seven;

    impl ReadingSource for Seven {
        fn read(&self, into: &mut Readings) {
            into.set(Metric::EndpointWaitingRequests, 7.0);
        }
    }

    #[test]
    fn windows_have_the_readings_of_their_phases_server() {
        let (sampler, mut observations) =
            Sampler::start(InstrumentSet::find(InstrumentSources::default())).unwrap();
        let played = Stopwatch::synthetic();
        let mark = mark(Phase::Measuring, &played);
        sampler.start_phase(PhaseStart { server: Some(Arc::new(Seven)), ..mark.clone() });
        sampler.start_phase(mark);
        sampler.pause();
        let found = windows(&mut observations);
        let waiting = |place: usize| found[place].readings.of(Metric::EndpointWaitingRequests);
        assert_eq!((waiting(0), waiting(1)), (Some(7.0), None));
    }

    #[test]
    fn observations_beyond_the_capacity_are_counted() {
        let (sampler, observations) =
            Sampler::start(InstrumentSet::find(InstrumentSources::default())).unwrap();
        let played = Stopwatch::synthetic();
        for _ in 0..=CAPACITY + 2 {
            sampler.start_phase(mark(Phase::Measuring, &played));
        }
        assert_eq!((observations.take_dropped(), observations.take_dropped()), (2, 0));
    }

    /// Panics at its first reading after a change of phase, or at the change.
    struct Breaks(Trigger);

    impl InstrumentReader for Breaks {
        fn has_energy(&self, _device: &str) -> bool {
            false
        }

        fn select_device(&mut self, _device: &str) {}

        fn take_absences(&mut self) -> Vec<Absence> {
            Vec::new()
        }

        fn read(&mut self, _clock: &Stopwatch, trigger: Trigger) -> Readings {
            assert_ne!(trigger, self.0, "the instrument broke");
            Readings::default()
        }
    }

    fn words_of(panics: impl FnOnce()) -> String {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics));
        words(&*caught.unwrap_err()).to_owned()
    }

    #[test]
    fn a_panic_is_resumed_at_the_change_of_phase_and_at_the_next_check() {
        let (sampler, _observations) = Sampler::start(Breaks(Trigger::PhaseChange)).unwrap();
        let mark = mark(Phase::Measuring, &Stopwatch::start());
        let words = words_of(|| {
            let _ = sampler.start_phase(mark.clone());
        });
        assert!(words.starts_with("the telemetry sampler panicked: "), "{words}");
        assert!(words.contains("the instrument broke"), "{words}");

        let (sampler, mut observations) = Sampler::start(Breaks(Trigger::Tick)).unwrap();
        sampler.check();
        sampler.set_period(Duration::from_millis(1));
        sampler.start_phase(mark);
        // Ends with the thread.
        assert_eq!(observations.observed.blocking_recv(), None);
        let words = words_of(|| sampler.pause());
        assert!(words.contains("the instrument broke"), "{words}");
    }

    #[test]
    fn one_that_observes_nothing_holds_nobody_up() {
        let sampler = Sampler::none();
        assert_eq!(
            sampler.start_phase(mark(Phase::Measuring, &Stopwatch::start())),
            Readings::default()
        );
        sampler.pause();
    }
}
