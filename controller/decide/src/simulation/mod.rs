//! A discrete-event simulation of a fleet: requests, batch times and a scaling policy -> latencies, failures and
//! paid hours.
//!
//! Instances are equal, but for those of a [`Base`]. Each has a queue, and takes up to `max_size` requests from it when it is free and the queue is
//! full enough or the oldest request has waited for `max_delay_s`, as `agent serve` and the load generator do. Times
//! are seconds since the start.

mod engine;
mod latencies;
mod outcome;
mod scaling;
mod serverless;
#[cfg(test)]
mod tests;

pub use engine::{TimesByType, simulate, simulate_types};
pub use latencies::Latencies;
pub use outcome::{Hour, Outcome};
pub use scaling::{Hpa, Policy, SageMakerTracking};
pub use serverless::{Serverless, simulate_serverless};

use rand_chacha::ChaCha8Rng;
use traffic::Request;

/// Requests that are processed together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batch {
    pub size: usize,
    /// The mean length of their prompts in tokens; `None` if one is unknown.
    pub prompt_tokens: Option<f64>,
    /// Since the instance ended its last batch or became ready, in seconds; 0 if the batch follows at once.
    pub pause_s: f64,
}

impl Batch {
    fn of<'a>(requests: impl ExactSizeIterator<Item = &'a Request>, pause_s: f64) -> Self {
        let size = requests.len();
        let add = |sum: f64, one: &Request| Some(sum + f64::from(one.prompt_tokens?));
        let sum = { requests }.try_fold(0.0, add);
        Self { size, prompt_tokens: sum.map(|sum| sum / size as f64), pause_s }
    }
}

/// The time that a batch takes.
pub trait BatchTime {
    /// In seconds.
    fn seconds(&self, batch: Batch, rng: &mut ChaCha8Rng) -> f64;
}

impl<F: Fn(usize, &mut ChaCha8Rng) -> f64> BatchTime for F {
    fn seconds(&self, batch: Batch, rng: &mut ChaCha8Rng) -> f64 {
        self(batch.size, rng)
    }
}

/// Which requests are processed together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batching {
    /// At least 1.
    pub max_size: usize,
    pub max_delay_s: f64,
}

/// Which instance a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    Random,
    /// To the instance with the fewest requests, the first of several.
    LeastOutstanding,
    /// One queue for all instances, as the formulas of M/M/c have it.
    OneQueue,
}

/// What happens to requests that arrive while no instance is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutInstance {
    /// They wait, as in front of a proxy that holds them; the first one starts an instance if there is none.
    Wait,
    /// They fail, as at a SageMaker endpoint whose inference components have no copy.
    Fail,
}

/// What a starting instance needs.
#[derive(Debug, Clone, PartialEq)]
pub struct StartUp {
    /// Not billed.
    pub provisioning_s: f64,
    /// Billed.
    pub load_s: f64,
}

impl StartUp {
    pub fn total_s(&self) -> f64 {
        self.provisioning_s + self.load_s
    }
}

/// Interruptions of spot instances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// Of one instance.
    pub interruptions_per_hour: f64,
    /// An interrupted instance gets no further requests for this time, then ends with those that it still has.
    pub notice_s: f64,
}

/// Instances of another type that always run and are used first.
///
/// A request goes to the base instance with the fewest requests, if these are fewer than `spill_at`; else to an instance
/// that the policy scales, as the routing has it; and if none of those is ready, to the base instance after all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Base {
    pub instances: usize,
    pub batching: Batching,
    /// At least 1.
    pub spill_at: usize,
    /// Requests per second that all of them are to carry: a pod autoscaler scales by those beyond.
    pub rate: f64,
}

/// A fleet and its rules. The policy and the numbers of instances are those of the type that is scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    pub batching: Batching,
    pub routing: Routing,
    /// Requests that wait in front of one instance; more are rejected.
    pub max_queue: usize,
    pub min_instances: usize,
    pub max_instances: usize,
    /// With which an autoscaler begins.
    pub first_instances: usize,
    pub start_up: StartUp,
    pub policy: Policy,
    pub without_instance: WithoutInstance,
    /// `None`: all instances are of the type that is scaled.
    pub base: Option<Base>,
    /// `None`: on-demand instances.
    pub spot: Option<Spot>,
    /// A request is good if it is answered within this time.
    pub limit_s: f64,
    /// Requests that arrive and hours that are paid after it are not counted.
    pub span_s: f64,
}

impl Fleet {
    /// Instances that are ready from the start and whose number stays, with queues, latencies and a time without limits.
    pub fn fixed(instances: usize, batching: Batching) -> Self {
        Self {
            batching,
            routing: Routing::LeastOutstanding,
            max_queue: usize::MAX,
            min_instances: instances,
            max_instances: instances,
            first_instances: instances,
            start_up: StartUp { provisioning_s: 0.0, load_s: 0.0 },
            policy: Policy::Fixed(instances),
            without_instance: WithoutInstance::Wait,
            base: None,
            spot: None,
            limit_s: f64::INFINITY,
            span_s: 1e9,
        }
    }
}
