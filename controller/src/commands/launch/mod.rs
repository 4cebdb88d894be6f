//! `controller launch sagemaker`: matrix -> requests -> processing jobs that are stopped on every way out.

mod stop;

use super::read_matrix;
use crate::cli;
use crate::progress::Verbosity;
use anyhow::{Context, bail};
use fetch::aws::Access;
use fetch::s3::Address;
use launch::sagemaker::answer;
use launch::sagemaker::api::{self, Client, Job, State};
use launch::sagemaker::jobs::{self, News, Stopped};
use launch::sagemaker::ledger::Launch;
use launch::sagemaker::request::{IDENTITY_FILES, Request, Wanted, requests};
use matrix::Overrides;
use ops::clock::Clock;
use ops::program::Exit;
use ops::terminal;
use rand::TryRng;
use rand::rngs::SysRng;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Jobs are looked at once in so many first waits.
const WAITS_BETWEEN_LOOKS: u32 = 15;

pub(super) async fn run(options: &cli::LaunchSagemaker) -> anyhow::Result<Exit> {
    if options.stop {
        return Box::pin(stop::run(options)).await;
    }
    let (Some(matrix), Some(wanted)) = (&options.matrix, wanted(options)) else {
        bail!("missing arguments: a matrix, --role-arn, --controller and --identity are required");
    };
    let matrix = read_matrix(matrix, &Overrides::default())?.matrix;
    let id = launch_id()?;
    let requests = requests(&matrix, &wanted, &id)?;
    if options.dry_run {
        let bodies: Vec<&Value> = requests.iter().map(|request| &request.body).collect();
        terminal::result(&serde_json::to_string_pretty(&bodies)?)?;
        terminal::note(&format!(
            "{}, each for at most {}; nothing was sent (use --yes to send)",
            counted(requests.len()),
            hours(wanted.max_runtime)
        ));
        return Ok(Exit::Ok);
    }
    check_identity(&wanted.identity).await?;
    let access = Access::find(api::SERVICE, options.region.as_deref()).await?;
    let launch = Launch {
        id,
        begun_at: Clock::System.now(),
        region: access.region().to_owned(),
        endpoint: access.endpoint().to_owned(),
        jobs: requests.iter().map(|request| request.name.clone()).collect(),
        max_runtime_s: wanted.max_runtime.as_secs(),
    };
    let client = Arc::new(client(access, options)?);
    Box::pin(send(&client, requests, &launch, options)).await
}

fn wanted(options: &cli::LaunchSagemaker) -> Option<Wanted> {
    Some(Wanted {
        image: options.image_uri.clone(),
        gpu_image: options.gpu_image_uri.clone(),
        role: options.role_arn.clone()?,
        controller: options.controller.clone()?,
        identity: options.identity.clone()?,
        subnets: options.subnets.clone(),
        security_groups: options.security_groups.clone(),
        max_runtime: options.max_runtime,
        volume_gb: options.volume_gb,
        environment: options.env.iter().map(cli::Pair::parts).collect(),
        tags: options.tag.iter().map(cli::Pair::parts).collect(),
    })
}

/// A way to SageMaker that waits as the options say.
fn client(access: Access, options: &cli::LaunchSagemaker) -> Result<Client, api::Error> {
    Client::new(access, Clock::System, Duration::from_millis(options.pace_ms))
}

/// The files that every agent needs are there before anything costs.
async fn check_identity(folder: &Address) -> anyhow::Result<()> {
    let fetcher = super::fetcher(Verbosity::Quiet)?;
    for file in IDENTITY_FILES {
        let address = folder.below(file);
        fetcher.s3_object(&address).await.with_context(|| {
            format!(
                "agents will find no {file} in --identity: make a token with controller agents add sagemaker \
                 --output token, and put it and ca.pem there (aws s3 cp {file} {address})"
            )
        })?;
    }
    Ok(())
}

/// Creates the jobs and waits for their end. Whatever happens, nothing is left running that could be stopped.
async fn send(
    client: &Arc<Client>,
    requests: Vec<Request>,
    launch: &Launch,
    options: &cli::LaunchSagemaker,
) -> anyhow::Result<Exit> {
    // From here on no signal ends this process before its jobs are stopped.
    let mut signals = Signals::listen()?;
    launch.keep(&options.data_dir)?;
    let (stop, stopped) = watch::channel(false);
    let every = Duration::from_millis(options.pace_ms) * WAITS_BETWEEN_LOOKS;
    // A task of its own, so that a bug in it stops the jobs, too.
    let work = tokio::spawn(start_and_watch(Arc::clone(client), requests, every, stopped));
    let mut work = std::pin::pin!(work);
    let (ended, signal) = tokio::select! {
        ended = &mut work => (ended, None),
        name = signals.next() => {
            terminal::note(&format!("{name}: stopping all jobs"));
            stop.send_replace(true);
            (work.await, Some(name))
        }
    };
    if let (Ok(Ok(Some(jobs))), None) = (&ended, signal) {
        launch.forget(&options.data_dir);
        return Ok(told(&launch.jobs, jobs)?);
    }
    let stopped = jobs::stop(client, &launch.jobs).await;
    let is_open = matches!(
        &ended,
        Ok(Err(api::Error::Answer(answer::Error::GaveUp { action: answer::Action::Create, .. })))
    );
    let all = settle(launch, &stopped, &options.data_dir, is_open);
    match ended {
        Ok(Ok(_)) => {
            all?;
            Ok(Exit::Incomplete)
        }
        Ok(Err(error)) => {
            if let Err(left) = all {
                terminal::warning(&left);
            }
            Err(error.into())
        }
        Err(bug) => std::panic::resume_unwind(bug.into_panic()),
    }
}

async fn start_and_watch(
    client: Arc<Client>,
    requests: Vec<Request>,
    every: Duration,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<Vec<Job>>, api::Error> {
    jobs::start(&client, &requests, &tell, &stop).await?;
    let names: Vec<String> = requests.into_iter().map(|request| request.name).collect();
    jobs::watch(&client, &names, every, &tell, &mut stop).await
}

fn tell(news: &News<'_>) {
    terminal::note(&match news {
        News::Created { name, target } => format!("{name}: created, on {target}"),
        News::Moved { name, job } => format!("{name}: {}", words(job)),
        News::Unknown(error) => format!("job status unknown: {error}"),
    });
}

fn words(job: &Job) -> String {
    let state = match job.state {
        State::InProgress => "in progress",
        State::Completed => "completed",
        State::Failed => "failed",
        State::Stopping => "stopping",
        State::Stopped => "stopped",
    };
    if job.reason.is_empty() { state.to_owned() } else { format!("{state}: {}", job.reason) }
}

/// Says how the jobs ended.
fn told(names: &[String], jobs: &[Job]) -> Result<Exit, terminal::Error> {
    let lines = names.iter().zip(jobs).map(|(name, job)| format!("{name}: {}", words(job)));
    terminal::result(&lines.collect::<Vec<_>>().join("\n"))?;
    if jobs.iter().all(|job| job.state == State::Completed) {
        return Ok(Exit::Ok);
    }
    terminal::note(
        "not all agents were drained by the controller: their output is in the CloudWatch log group \
         /aws/sagemaker/ProcessingJobs",
    );
    Ok(Exit::Incomplete)
}

/// Says what was stopped, and forgets the launch where nothing of it can run any more. A job that is `open` may appear
/// yet: its creation was never answered.
fn settle(
    launch: &Launch,
    stopped: &[Stopped],
    data_dir: &Path,
    is_open: bool,
) -> anyhow::Result<()> {
    let mut left = Vec::new();
    for Stopped { name, outcome } in stopped {
        match outcome {
            Ok(true) => terminal::note(&format!("{name}: stopped")),
            Ok(false) => {}
            Err(error) => left.push(format!("{name}: {error}")),
        }
    }
    let deadline = hours(Duration::from_secs(launch.max_runtime_s));
    if !left.is_empty() {
        bail!(
            "these jobs may go on, and SageMaker itself ends each {deadline} after its start: try again with \
             controller launch sagemaker --stop --data-dir {}\n  {}",
            data_dir.display(),
            left.join("\n  ")
        );
    }
    if is_open {
        terminal::note(&format!(
            "SageMaker never answered to the last request: look again in a minute with controller launch sagemaker \
             --stop --data-dir {}; it would end {deadline} after its start",
            data_dir.display()
        ));
        return Ok(());
    }
    launch.forget(data_dir);
    Ok(())
}

/// What asks this process to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("failed to install signal handlers");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

/// Ten hexadecimal digits by chance: names of jobs are unique in an account and region, for ever.
fn launch_id() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 5];
    SysRng.try_fill_bytes(&mut bytes).context("failed to read random bytes")?;
    Ok(hex::encode(&bytes))
}

fn counted(jobs: usize) -> String {
    if jobs == 1 { "1 job".to_owned() } else { format!("{jobs} jobs") }
}

/// Such as `4 h` or `90 min`.
fn hours(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
