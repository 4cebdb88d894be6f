//! Measures one leased shard at a time: load, warm up, measure. Runs on its own thread, so that
//! inference never blocks the async runtime; commands and reports pass through channels.
//!
//! It does not know the network: reports wait in their channel, so a slow controller never slows a
//! measurement.

mod batch_samples;
#[cfg(test)]
mod injections;
#[cfg(feature = "leak")]
mod leak;
mod load;
mod shard;
mod start;
#[cfg(test)]
mod tests;
mod machine_lock;

pub use machine_lock::MachineLock;

use crate::workload::Load;
use engine::{Engine, Request};
use model::engine::{AskedEngine, EngineFacts, EngineSpec};
use model::failure::{Failure, Kind, Retry};
use model::generation::Generation;
use model::ids::SampleId;
use model::load::LoadWindow;
use model::panic::words;
use model::sample::Sample;
use model::segment::SegmentFacts;
use start::Start;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use telemetry::{ReadingSource, Sampler};
use tokio::sync::mpsc::UnboundedSender;

#[derive(Debug, Clone, Default)]
pub struct Offer {
    pub shard: u64,
    pub attempt: u64,
    /// Index into the engines of the last [`Command::Inspect`].
    pub engine: u32,
    pub batch_size: u32,
    /// Decoded first, without being measured.
    pub warmup: Vec<Batch>,
    pub batches: Vec<Batch>,
    /// `None`: batches run back to back.
    pub load: Option<Load>,
    /// Whether it is measured from [`Runner::begin`] on, with other agents.
    pub is_together: bool,
}

#[derive(Debug, Clone)]
pub struct Batch {
    pub index: u32,
    pub requests: Vec<Request>,
}

/// The samples of one batch, or one window of a sustained load.
#[derive(Debug)]
pub struct Measured {
    pub shard: u64,
    pub attempt: u64,
    /// From 1.
    pub sequence: u64,
    pub batch: u32,
    pub samples: Vec<(SampleId, Sample)>,
    pub window: Option<LoadWindow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    Idle,
    /// Waits for another process that measures on the machine.
    Queued,
    Loading,
    Warming,
    /// Warmed up, and waits for [`Runner::begin`].
    Waiting,
    Measuring,
}

pub trait Engines: Send + 'static {
    /// Inspects an engine's files without loading it: its facts for each of `asked`.
    fn inspect(
        &self,
        spec: &EngineSpec,
        asked: &[&Generation],
    ) -> Vec<Result<EngineFacts, Failure>>;

    fn load(&self, spec: &EngineSpec) -> Result<Box<dyn Engine>, Failure>;

    /// Readings of the device on which engines compute, beside those of the instruments.
    fn device_readings(&self) -> Option<Arc<dyn ReadingSource>> {
        None
    }
}

#[derive(Debug)]
pub enum Command {
    /// Later shards refer to these engines by index.
    Inspect {
        engines: Vec<AskedEngine>,
        /// Sampling period while a shard is measured.
        telemetry: Duration,
    },
    Measure(Box<Offer>),
}

#[derive(Debug)]
pub enum Report {
    /// In the order of the command.
    Inspected(Vec<Result<EngineFacts, Failure>>),
    Activity(Activity, Option<(u64, u64)>),
    Batch(Box<Measured>),
    Finished {
        shard: u64,
        attempt: u64,
        /// Number of the last batch message.
        last_sequence: u64,
        segment: SegmentFacts,
    },
    Failed {
        shard: u64,
        attempt: u64,
        failure: Failure,
    },
}

/// A handle to the runner's thread. Dropping it stops the thread after the current batch.
#[derive(Debug)]
pub struct Runner {
    commands: Option<std::sync::mpsc::Sender<Command>>,
    cancelled: Arc<AtomicU64>,
    begun: Arc<Start>,
    thread: Option<JoinHandle<()>>,
}

impl Runner {
    pub fn start(
        engines: impl Engines,
        reports: UnboundedSender<Report>,
        machine_lock: MachineLock,
        sampler: Sampler,
    ) -> Result<Self, std::io::Error> {
        let (commands, inbox) = std::sync::mpsc::channel();
        let cancelled = Arc::new(AtomicU64::new(0));
        let begun = Arc::<Start>::default();
        let last_report = reports.clone();
        let mut shard_runner = shard::ShardRunner::new(
            engines,
            reports,
            shard::Signals { cancelled: Arc::clone(&cancelled), begun: Arc::clone(&begun) },
            machine_lock,
            sampler,
        );
        let thread = std::thread::Builder::new().name("runner".to_owned()).spawn(move || {
            let mut known = shard::Known::default();
            while let Ok(command) = inbox.recv() {
                let if_panicked = Panicked::of(&command);
                let work = AssertUnwindSafe(|| match command {
                    Command::Inspect { engines, telemetry } => {
                        shard_runner.inspect(engines, telemetry, &mut known);
                    }
                    Command::Measure(offer) => shard_runner.measure(&offer),
                });
                if let Err(panic) = catch_unwind(work) {
                    // The reports end here, which ends the agent.
                    drop(last_report.send(if_panicked.report(panic.as_ref())));
                    return;
                }
            }
        })?;
        Ok(Self { commands: Some(commands), cancelled, begun, thread: Some(thread) })
    }

    pub fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // The thread ends only when this handle is dropped, or by a panic that was reported.
            drop(commands.send(command));
        }
    }

    /// Cancels every attempt up to `attempt` after its current batch, until the next `Inspect`.
    pub fn cancel(&self, attempt: u64) {
        self.cancelled.fetch_max(attempt, Ordering::Relaxed);
    }

    /// All agents of an attempt that is measured together have warmed up.
    pub fn begin(&self, attempt: u64) {
        self.begun.set(attempt);
    }
}

/// What a command owes the controller if it panics.
enum Panicked {
    Inspecting { engines: usize },
    Measuring { shard: u64, attempt: u64 },
}

impl Panicked {
    fn of(command: &Command) -> Self {
        match command {
            Command::Inspect { engines, .. } => Self::Inspecting { engines: engines.len() },
            Command::Measure(offer) => {
                Self::Measuring { shard: offer.shard, attempt: offer.attempt }
            }
        }
    }

    fn report(self, panic: &(dyn Any + Send)) -> Report {
        let detail = format!("the agent panicked: {}", words(panic));
        let failure = Failure { retry: Retry::OtherAgent, kind: Kind::Internal, detail };
        match self {
            Self::Inspecting { engines } => Report::Inspected(vec![Err(failure); engines]),
            Self::Measuring { shard, attempt } => Report::Failed { shard, attempt, failure },
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.cancelled.store(u64::MAX, Ordering::Relaxed);
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // The thread's panic was printed where it happened.
            drop(thread.join());
        }
    }
}
