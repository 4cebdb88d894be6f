//! `agent join`: connects host facts, sampler, runner and controller client.

use crate::controller_client::{self, Ending, Identity, Inbox, Token, TokenSource};
use crate::driver_memory::DriverMemory;
use crate::engines::{self, http::Permissions};
use crate::instance_type::Sources;
use crate::metrics::Metrics;
use crate::model_source;
use crate::options::{EndpointOptions, InstrumentOptions};
use crate::runner::{Engines, MachineLock, Runner};
use anyhow::Context;
use clap::Args;
use engine::Engine;
use host::Host;
use model::engine::{EngineFacts, EngineSpec};
use model::failure::Failure;
use model::generation::Generation;
use model::text::is_unprintable;
use ops::metrics::Address;
use ops::traces::{Program, Traces};
use ops::{environment, program::Exit, terminal};
use rand::{TryRng, rngs::SysRng};
use seq2seq::device::Device;
use std::{future::Future, io::Read, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};
use telemetry::{InstrumentSet, OpenedGpu, ReadingSource, Sampler};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agent join --controller http://127.0.0.1:7437 --target two-threads --threads 2 --token-file token
  agent join --controller http://127.0.0.1:7437 --token-file token     the target is the instance type
  agent join --controller https://bench.example:7437 --ca ca.pem --cert agent.pem --key agent.key
  agent join --controller https://bench.example:7437 --ca ca.pem --token-file token
  agent join --controller ... --endpoint-env ENDPOINT_TOKEN            a matrix may send it")]
pub struct Options {
    /// Controller URL, as printed by the controller
    #[arg(long, value_name = "URL")]
    pub controller: String,
    /// Target this agent represents [default: this machine's instance type]
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
    /// Instance type of this machine [default: detected from SageMaker files or EC2 metadata]
    #[arg(long, value_name = "NAME")]
    pub instance_type: Option<String>,
    /// Device: cpu, or an NVIDIA GPU: cuda:0, cuda:GPU-UUID or cuda:MIG-UUID
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Inference threads [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// File with the campaign's token; - reads a line from standard input and stops the agent when
    /// that closes
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// CA that signed the controller's certificate, for https://
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// This agent's certificate, from `controller certs`
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Serve Prometheus metrics on a loopback port or ADDRESS:PORT [default: off]
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<Address>,
    /// Minutes to keep trying to reach the controller
    #[arg(long = "patience", value_name = "MINUTES", default_value_t = 24 * 60)]
    pub reconnect_minutes: u64,
    /// Instance metadata service to query instead of EC2's
    #[arg(long, value_name = "URL", env = "AWS_EC2_METADATA_SERVICE_ENDPOINT", hide = true)]
    pub metadata_url: Option<String>,
    #[command(flatten)]
    endpoints: EndpointOptions,
    #[command(flatten)]
    pub instruments: InstrumentOptions,
    /// Pretend to be a machine of this name, for load tests; its samples are marked
    #[arg(long, value_name = "NAME", hide = true)]
    pub simulate_host: Option<String>,
}

struct Local {
    device: Device,
    threads: usize,
    permissions: Permissions,
}

impl Engines for Local {
    fn inspect(
        &self,
        spec: &EngineSpec,
        asked: &[&Generation],
    ) -> Vec<Result<EngineFacts, Failure>> {
        match engines::inspect(spec, asked, &self.device, &self.permissions) {
            Ok(found) => found.into_iter().map(|facts| facts.map_err(Into::into)).collect(),
            Err(error) => vec![Err(error.into()); asked.len()],
        }
    }

    fn load(&self, spec: &EngineSpec) -> Result<Box<dyn Engine>, Failure> {
        engines::load(spec, &self.device, self.threads, &self.permissions).map_err(Into::into)
    }

    fn device_readings(&self) -> Option<Arc<dyn ReadingSource>> {
        DriverMemory::of(&self.device).map(|memory| Arc::new(memory) as Arc<dyn ReadingSource>)
    }
}

pub fn run(options: &Options) -> anyhow::Result<Exit> {
    super::block_on(serve(options))
}

async fn serve(options: &Options) -> anyhow::Result<Exit> {
    let program = Program { name: "fleetmark-agent", version: env!("CARGO_PKG_VERSION") };
    let traces = Traces::start(program, &environment::variable)?;
    let ended = serve_traced(options, &traces).await;
    traces.close().await;
    ended
}

async fn serve_traced(options: &Options, traces: &Traces) -> anyhow::Result<Exit> {
    let threads = super::threads(options.threads);
    let device = Device::open(&options.device)?;
    let (token, parent) = token(options)?;
    let identity = Identity {
        token,
        ca: options.ca.clone(),
        certificate: options.cert.clone().zip(options.key.clone()),
    };
    let (reports_in, reports) = tokio::sync::mpsc::unbounded_channel();
    let host = host(options).await;
    let gpu = device
        .gpu()
        .map(|gpu| OpenedGpu { device: device.name().to_owned(), uuid: gpu.uuid.clone() });
    let panel = InstrumentSet::find(options.instruments.sources(gpu));
    let instruments = panel.instruments.clone();
    let (sampler, observations) = Sampler::start(panel).context("failed to start a thread")?;
    let permissions = options.endpoints.permissions();
    let engines = Local { device: device.clone(), threads, permissions };
    let runner = Runner::start(engines, reports_in, MachineLock::on(&host.boot_id), sampler)
        .context("failed to start a thread")?;
    let mut inbox = Inbox { reports, observations };
    let service = controller_client::Options {
        controller: options.controller.clone(),
        target: options.target.clone().unwrap_or_default(),
        identity,
        agent_id: agent_id(&host)?,
        threads: u32::try_from(threads).unwrap_or(u32::MAX),
        devices: vec![controller_client::Device {
            name: device.name().to_owned(),
            dtypes: device.dtypes().to_vec(),
            gpu_name: device.gpu().map(|gpu| gpu.name.clone()).unwrap_or_default(),
        }],
        instruments,
        reconnect_time: Duration::from_mins(options.reconnect_minutes),
        traces: traces.clone(),
    };
    let metrics = Metrics::default();
    // Dropping it ends the task.
    let mut served = tokio::task::JoinSet::new();
    if let Some(Address(address)) = options.metrics {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot serve metrics on {address}: choose another port with --metrics")
        })?;
        served.spawn(metrics.clone().serve(listener));
    }
    terminal::note(&format!(
        "joining {} with {threads} threads on {}",
        options.controller,
        device.name()
    ));
    let ending = controller_client::join(
        &service,
        &host,
        &runner,
        &mut inbox,
        &metrics,
        stop_signal(&parent)?,
    )
    .await;
    // Lets the runner's thread end.
    model_source::disconnect();
    match ending {
        Ok(Ending::Drained(reason)) => {
            terminal::note(&format!("drained by the controller: {reason}"));
        }
        Ok(Ending::Stopped) => terminal::note("stopped"),
        // Not the user's error: a controller restarts its local agent.
        Err(error @ controller_client::Error::RunnerPanicked) => {
            terminal::note(&format!("error: {error}"));
            return Ok(Exit::Bug);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Ok)
}

async fn host(options: &Options) -> Host {
    let mut host = match &options.simulate_host {
        Some(name) => Host::simulated(name),
        None => Host::read(),
    };
    let sources = Sources { metadata_url: options.metadata_url.clone(), ..Sources::default() };
    host.facts.instance_type = match &options.instance_type {
        Some(name) => Some(name.clone()),
        None if host.facts.is_simulated => None,
        None => sources.find().await,
    };
    host
}

pub(super) enum ParentLiveness {
    None,
    StandardInput,
}

fn token(options: &Options) -> anyhow::Result<(TokenSource, ParentLiveness)> {
    match options.token_file.as_deref() {
        None => Ok((TokenSource::None, ParentLiveness::None)),
        Some(path) if path.as_os_str() == "-" => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).context("no token on standard input")?;
            Ok((TokenSource::Given(Token::new(&line)), ParentLiveness::StandardInput))
        }
        Some(path) => Ok((TokenSource::File(path.to_owned()), ParentLiveness::None)),
    }
}

/// Resolves on SIGTERM, SIGINT, or when the parent closes standard input.
pub(super) fn stop_signal(
    parent: &ParentLiveness,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let on = |kind| signal(kind).context("failed to install signal handlers");
    let (mut terminate, mut interrupt) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let (holder, released) = tokio::sync::oneshot::channel::<()>();
    let holder = match parent {
        ParentLiveness::None => Some(holder),
        ParentLiveness::StandardInput => {
            // Reading standard input cannot be awaited. The thread ends with the process.
            std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
                let mut rest = [0_u8; 64];
                while matches!(std::io::stdin().read(&mut rest), Ok(read) if read > 0) {}
                drop(holder);
            })?;
            None
        }
    };
    Ok(async move {
        let _never_released = holder;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = released => {}
        }
    })
}

fn agent_id(host: &Host) -> anyhow::Result<String> {
    let mut bytes = [0_u8; 8];
    SysRng.try_fill_bytes(&mut bytes).context("no system randomness")?;
    let name: String = host.facts.name.chars().filter(|c| !is_unprintable(*c)).take(64).collect();
    Ok(format!("{name}-{:016x}", u64::from_le_bytes(bytes)))
}
