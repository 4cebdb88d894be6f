//! One leased shard at a time: loading, warming, measuring. Runs on a thread of its own, so that inference
//! never sits on the async runtime; orders come in and reports go out through channels.
//!
//! It knows engines and the stopwatch, and nothing of the network: a report that nobody reads yet waits in
//! its channel, so a slow controller never slows a measurement down.

#[cfg(feature = "leak")]
mod leak;
mod load;
mod shard;
#[cfg(test)]
mod tests;
mod turn;

pub use shard::{Measured, Offer};
pub use turn::Turn;

use engine::Engine;
use model::engine::{EngineFacts, EngineSpec};
use model::failure::Failure;
use model::generation::Generation;
use proto::wire::Activity;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use telemetry::Sampler;
use tokio::sync::mpsc::UnboundedSender;

/// Where engines come from.
pub trait Engines: Send + 'static {
    /// Looks at an engine's files without loading it.
    ///
    /// # Errors
    /// Why this agent can't do it, and what it can.
    fn inspect(&self, spec: &EngineSpec) -> Result<EngineFacts, Failure>;

    /// Loads an engine.
    ///
    /// # Errors
    /// Why it can't be loaded.
    fn load(&self, spec: &EngineSpec) -> Result<Box<dyn Engine>, Failure>;
}

/// What the runner is told.
#[derive(Debug)]
pub enum Order {
    /// Look at these engines; offers count into them.
    Inspect {
        /// In the controller's order.
        engines: Vec<EngineSpec>,
        /// Prompt and limits of all that follows.
        generation: Generation,
        /// How often the instruments are read while a shard is measured.
        telemetry: Duration,
    },
    /// Measure a shard.
    Measure(Offer),
}

/// What the runner says.
#[derive(Debug)]
pub enum Report {
    /// What it found for each engine.
    Inspected(Vec<Result<EngineFacts, Failure>>),
    /// What it does now.
    Activity(Activity, Option<(u64, u64)>),
    /// One batch of a shard.
    Batch(Box<Measured>),
    /// A shard is through.
    Finished {
        /// Which shard.
        shard: u64,
        /// Which attempt.
        attempt: u64,
        /// The number of its last batch message.
        last_sequence: u64,
        /// About the segment.
        segment: proto::wire::Segment,
    },
    /// A shard broke off.
    Failed {
        /// Which shard.
        shard: u64,
        /// Which attempt.
        attempt: u64,
        /// Why.
        failure: Failure,
    },
}

/// A handle to the runner's thread. Dropping it ends the thread after the batch that it is in.
#[derive(Debug)]
pub struct Runner {
    orders: Option<std::sync::mpsc::Sender<Order>>,
    cancelled: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Runner {
    /// Starts the thread. Reports go to `reports`; it measures when it is its turn on the machine, and the sampler
    /// is told of every phase.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        engines: impl Engines,
        reports: UnboundedSender<Report>,
        (turn, sampler): (Turn, Sampler),
    ) -> Result<Self, std::io::Error> {
        let (orders, inbox) = std::sync::mpsc::channel();
        let cancelled = Arc::new(AtomicU64::new(0));
        let mut desk = shard::Desk::new(engines, reports, Arc::clone(&cancelled), (turn, sampler));
        let thread = std::thread::Builder::new().name("runner".to_owned()).spawn(move || {
            let mut known: HashMap<EngineSpec, EngineFacts> = HashMap::new();
            while let Ok(order) = inbox.recv() {
                match order {
                    Order::Inspect { engines, generation, telemetry } => {
                        desk.inspect(engines, generation, telemetry, &mut known);
                    }
                    Order::Measure(offer) => desk.measure(&offer),
                }
            }
        })?;
        Ok(Self { orders: Some(orders), cancelled, thread: Some(thread) })
    }

    /// Gives an order; orders are done one after the other.
    pub fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends only when this handle is dropped, or by a bug that its panic has told.
            drop(orders.send(order));
        }
    }

    /// Breaks off every attempt up to `attempt`, after the batch that it is in, until the next `Inspect`.
    pub fn cancel(&self, attempt: u64) {
        self.cancelled.fetch_max(attempt, Ordering::Relaxed);
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.cancelled.store(u64::MAX, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed where it happened.
            drop(thread.join());
        }
    }
}
