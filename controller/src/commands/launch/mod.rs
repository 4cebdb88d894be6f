//! `controller launch sagemaker`: matrix -> requests -> processing jobs, which are stopped on any exit.

mod stop;

use super::read_matrix;
use crate::{cli, progress::Verbosity};
use anyhow::{Context, bail};
use fetch::{aws::Access, s3::Address};
use launch::sagemaker::api::{self, Client, Job, State};
use launch::sagemaker::jobs::{self, Event, Stopped};
use launch::sagemaker::request::{IDENTITY_FILES, Options, Request, requests};
use launch::sagemaker::{answer, launch_record::LaunchRecord};
use matrix::Overrides;
use ops::{clock::Clock, program::Exit, terminal};
use rand::{TryRng, rngs::SysRng};
use serde_json::Value;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The polling interval, in multiples of the pace.
const PACES_PER_POLL: u32 = 15;

pub(super) async fn run(options: &cli::LaunchSagemaker) -> anyhow::Result<Exit> {
    if options.stop {
        return Box::pin(stop::run(options)).await;
    }
    let (Some(matrix), Some(launch)) = (&options.matrix, launch_options(options)) else {
        bail!("missing arguments: a matrix, --role-arn, --controller and --identity are required");
    };
    let matrix = read_matrix(matrix, &Overrides::default())?.matrix;
    let id = launch_id()?;
    let requests = requests(&matrix, &launch, &id)?;
    if options.dry_run {
        let bodies: Vec<&Value> = requests.iter().map(|request| &request.body).collect();
        terminal::json(&serde_json::to_string_pretty(&bodies)?)?;
        terminal::note(&format!(
            "{}, each for at most {}; nothing was sent (use --yes to send)",
            counted(requests.len()),
            hours(launch.max_runtime)
        ));
        return Ok(Exit::Ok);
    }
    check_identity(&launch.identity).await?;
    let access = Access::find(api::SERVICE, options.region.as_deref()).await?;
    let record = LaunchRecord {
        id,
        started_at: Clock::System.now(),
        region: access.region().to_owned(),
        endpoint: access.endpoint().to_owned(),
        jobs: requests.iter().map(|request| request.name.clone()).collect(),
        max_runtime_s: launch.max_runtime.as_secs(),
    };
    let client = Arc::new(client(access, options)?);
    Box::pin(send(&client, requests, &record, options)).await
}

fn launch_options(options: &cli::LaunchSagemaker) -> Option<Options> {
    Some(Options {
        image: options.image_uri.clone(),
        role: options.role_arn.clone()?,
        controller: options.controller.clone()?,
        identity: options.identity.clone()?,
        subnets: options.subnets.clone(),
        security_groups: options.security_groups.clone(),
        max_runtime: options.max_runtime,
        volume_gb: options.volume_gb,
        environment: options.env.iter().map(cli::Pair::parts).collect(),
        allows_plain_http: options.allow_plain_http,
        tags: options.tag.iter().map(cli::Pair::parts).collect(),
    })
}

fn client(access: Access, options: &cli::LaunchSagemaker) -> Result<Client, api::Error> {
    Client::new(access, Clock::System, Duration::from_millis(options.pace_ms))
}

/// Checks that the files of the agents exist, before anything is billed.
async fn check_identity(folder: &Address) -> anyhow::Result<()> {
    let fetcher = super::fetcher(Verbosity::Quiet)?;
    for file in IDENTITY_FILES {
        let address = folder.below(file);
        fetcher.s3_object(&address).await.with_context(|| {
            format!(
                "no {file} in --identity: create a token with controller agents add sagemaker --output token, and \
                 upload it and ca.pem (aws s3 cp {file} {address})"
            )
        })?;
    }
    Ok(())
}

/// Creates the jobs and waits for their end. Stops all jobs on failure or on a signal.
async fn send(
    client: &Arc<Client>,
    requests: Vec<Request>,
    record: &LaunchRecord,
    options: &cli::LaunchSagemaker,
) -> anyhow::Result<Exit> {
    // From here on, signals stop the jobs before the process exits.
    let mut signals = Signals::listen()?;
    record.write(&options.data_dir)?;
    let (stop, stopped) = watch::channel(false);
    let interval = Duration::from_millis(options.pace_ms) * PACES_PER_POLL;
    // A separate task, so that the jobs are also stopped after a panic in it.
    let work = tokio::spawn(start_and_watch(Arc::clone(client), requests, interval, stopped));
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
        record.remove(&options.data_dir);
        return Ok(report(&record.jobs, jobs)?);
    }
    let stopped = jobs::stop(client, &record.jobs).await;
    let unconfirmed = if matches!(
        &ended,
        Ok(Err(api::Error::Answer(answer::Error::GaveUp { action: answer::Action::Create, .. })))
    ) {
        Unconfirmed::LastJob
    } else {
        Unconfirmed::None
    };
    let all = report_stopped(record, &stopped, &options.data_dir, unconfirmed);
    match ended {
        Ok(Ok(_)) => all.map(|()| Exit::Incomplete),
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
    interval: Duration,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<Vec<Job>>, api::Error> {
    jobs::start(&client, &requests, &print, &stop).await?;
    let names: Vec<String> = requests.into_iter().map(|request| request.name).collect();
    jobs::watch(&client, &names, interval, &print, &mut stop).await
}

fn print(event: &Event<'_>) {
    terminal::note(&match event {
        Event::Created { name, target } => format!("{name}: created, on {target}"),
        Event::StateChanged { name, job } => format!("{name}: {}", words(job)),
        Event::Unknown(error) => format!("job status unknown: {error}"),
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

fn report(names: &[String], jobs: &[Job]) -> Result<Exit, terminal::Error> {
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

/// Whether the last creation may still be executed, since it got no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unconfirmed {
    None,
    LastJob,
}

/// Prints which jobs were stopped, and removes the record if none can be running.
fn report_stopped(
    record: &LaunchRecord,
    stopped: &[Stopped],
    data_dir: &Path,
    unconfirmed: Unconfirmed,
) -> anyhow::Result<()> {
    let mut left = Vec::new();
    for Stopped { name, outcome } in stopped {
        match outcome {
            Ok(true) => terminal::note(&format!("{name}: stopped")),
            Ok(false) => {}
            Err(error) => left.push(format!("{name}: {error}")),
        }
    }
    let deadline = hours(Duration::from_secs(record.max_runtime_s));
    if !left.is_empty() {
        bail!(
            "these jobs may still be running; SageMaker ends each {deadline} after its start: try again with \
             controller launch sagemaker --stop --data-dir {}\n  {}",
            data_dir.display(),
            left.join("\n  ")
        );
    }
    if unconfirmed == Unconfirmed::LastJob {
        terminal::note(&format!(
            "no response to the last request: check in a minute with controller launch sagemaker --stop \
             --data-dir {}; SageMaker ends the job {deadline} after its start",
            data_dir.display()
        ));
        return Ok(());
    }
    record.remove(data_dir);
    Ok(())
}

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

/// Ten random hexadecimal digits: job names must never repeat in an account and region.
fn launch_id() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 5];
    SysRng.try_fill_bytes(&mut bytes).context("failed to read random bytes")?;
    Ok(hex::encode(bytes))
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
