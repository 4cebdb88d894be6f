//! The agent's gRPC client: dials the controller, authenticates, passes orders to the runner and
//! sends its reports. When the stream breaks it gives up the shard and reconnects.
//!
//! It makes no decisions about measuring, and inference never runs here.

mod connection;
mod convert;
mod dial;
mod health_check;
mod identity;
mod rejection;
#[cfg(test)]
mod tests;
mod signing;
mod spans;

pub use health_check::check_controller;
pub use identity::{Identity, Token, TokenSource};

use crate::metrics::Metrics;
use crate::runner::{Report, Runner};
use backon::{BackoffBuilder, ExponentialBuilder};
use host::Host;
use model::{engine::Dtype, telemetry::Instruments};
use ops::{terminal, traces::Traces};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::time::Duration;
use telemetry::sampler::Observations;
use tokio::sync::mpsc::UnboundedReceiver;
use tonic::Code;

#[derive(Debug, Clone)]
pub struct Device {
    /// `cpu`, `cuda:0`.
    pub name: String,
    pub dtypes: Vec<Dtype>,
    /// Empty for the CPU.
    pub gpu_name: String,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub controller: String,
    /// Empty: the instance type of the machine.
    pub target: String,
    pub identity: Identity,
    /// Unique per process; each connection appends its number.
    pub agent_id: String,
    pub threads: u32,
    pub devices: Vec<Device>,
    pub instruments: Instruments,
    pub reconnect_time: Duration,
    pub traces: Traces,
}

#[derive(Debug)]
pub struct Inbox {
    pub reports: UnboundedReceiver<Report>,
    pub observations: Observations,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid --controller URL `{url}`: expected https://HOST:PORT")]
    Url { url: String },
    #[error("--controller {url}: plain HTTP is allowed on loopback only: use https://")]
    Plain { url: String },
    #[error("--controller {url}: --ca is required: pass the ca.pem from `controller certs init`")]
    Ca { url: String },
    #[error("cannot read {}", path.display())]
    Secret { path: std::path::PathBuf, source: io::Error },
    #[error("invalid files for --ca, --cert or --key")]
    Certificate(#[source] io::Error),
    #[error("the token contains invalid characters")]
    Token,
    /// A panic of the runner, which the controller was told.
    #[error("the runner panicked; this is a bug")]
    RunnerPanicked,
    #[error("the controller rejected this agent: {reason}")]
    Refused { reason: String },
    #[error("no response from the controller at {url} for {} s: {reason}", reconnect_time.as_secs())]
    Unreachable { url: String, reconnect_time: Duration, reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By the controller, with its reason.
    Drained(String),
    /// By a signal.
    Stopped,
}

enum Disconnect {
    Ended(Ending),
    Broken(String),
    RunnerPanicked,
    /// Like `Broken`, after a welcome: the backoff restarts.
    BrokenAfterWelcome(String),
    Refused(String),
}

/// Pauses between connection attempts: 50 to 100 ms at first, up to 5 to 10 s.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_secs(5))
    .without_max_times()
    .with_jitter();

/// How often a lost connection is told.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Serves one controller until drained, or until `stop` resolves.
pub async fn join(
    options: &Options,
    host: &Host,
    runner: &Runner,
    inbox: &mut Inbox,
    metrics: &Metrics,
    stop: impl Future<Output = ()>,
) -> Result<Ending, Error> {
    // Reports unusable files before dialing.
    dial::Dialer::new(&options.controller, &options.identity)?;
    let mut stop = std::pin::pin!(stop);
    // Seeded by the id, so that agents which lose the same controller reconnect at different times.
    let mut seed = DefaultHasher::new();
    options.agent_id.hash(&mut seed);
    let pauses = PAUSES.with_jitter_seed(seed.finish());
    let mut next_pauses = pauses.build();
    let mut unreachable_since = tokio::time::Instant::now();
    let mut told = None;
    for connection in 1_u64.. {
        // A separate identity per connection: the controller can't confuse late messages of an
        // older one.
        let agent_id = format!("{}.{connection}", options.agent_id);
        let options = &Options { agent_id, ..options.clone() };
        let reason = match connection::serve(options, host, runner, inbox, metrics, &mut stop).await
        {
            Disconnect::Ended(ending) => return Ok(ending),
            Disconnect::Refused(reason) => return Err(Error::Refused { reason }),
            Disconnect::RunnerPanicked => return Err(Error::RunnerPanicked),
            Disconnect::BrokenAfterWelcome(reason) => {
                told = None;
                next_pauses = pauses.build();
                unreachable_since = tokio::time::Instant::now();
                reason
            }
            Disconnect::Broken(reason) => reason,
        };
        if unreachable_since.elapsed() > options.reconnect_time {
            let (url, reconnect_time) = (options.controller.clone(), options.reconnect_time);
            return Err(Error::Unreachable { url, reconnect_time, reason });
        }
        if told.is_none_or(|told: tokio::time::Instant| told.elapsed() >= TELL_EVERY) {
            told = Some(tokio::time::Instant::now());
            let url = &options.controller;
            terminal::note(&format!(
                "no connection to the controller at {url}: {reason}; retrying"
            ));
        }
        let pause = next_pauses.next().unwrap_or_default();
        tracing::info!(reason, ?pause, "no connection to the controller; retrying");
        tokio::select! {
            () = &mut stop => return Ok(Ending::Stopped),
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(Ending::Stopped)
}

/// Whether retrying cannot succeed.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::InvalidArgument
            | Code::Unimplemented
    )
}
