//! Starts jobs, watches them until they end, and stops them. The caller stops all jobs on any exit.

use super::api::{Client, Error, Job, State};
use super::{answer, request::Request};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};

/// After [`Event::Unknown`], when a state couldn't be read, the next poll tries again.
#[derive(Debug)]
pub enum Event<'a> {
    Created { name: &'a str, target: &'a str },
    StateChanged { name: &'a str, job: &'a Job },
    Unknown(&'a Error),
}

pub type Observer = dyn Fn(&Event<'_>) + Send + Sync;

/// Creates jobs one after another, until the first failure: that job may exist if no response arrived. Returns
/// early, without an error, when `stop` is set: only between two requests, since a cancelled request may have
/// been executed.
pub async fn start(
    client: &Client,
    requests: &[Request],
    observe: &Observer,
    stop: &watch::Receiver<bool>,
) -> Result<(), Error> {
    for request in requests {
        if *stop.borrow() {
            return Ok(());
        }
        client.create(request).await?;
        observe(&Event::Created { name: &request.name, target: request.target.as_str() });
    }
    Ok(())
}

/// Polls jobs at the `interval` until all have ended; an unreachable SageMaker is reported and polled again.
/// Returns their final states, or `None` if `stop` was set first.
pub async fn watch(
    client: &Client,
    names: &[String],
    interval: Duration,
    observe: &Observer,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Vec<Job>>, Error> {
    let gone = || Job { state: State::Stopped, reason: "job not found".to_owned() };
    let mut jobs: Vec<Option<Job>> = vec![None; names.len()];
    loop {
        for (name, known) in names.iter().zip(&mut jobs) {
            if *stop.borrow() {
                return Ok(None);
            }
            if known.as_ref().is_some_and(|job| job.state.is_over()) {
                continue;
            }
            let job = match client.describe(name).await {
                Ok(job) => job.unwrap_or_else(gone),
                Err(error @ Error::Answer(answer::Error::GaveUp { .. })) => {
                    observe(&Event::Unknown(&error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if known.as_ref().is_none_or(|known| known.state != job.state) {
                observe(&Event::StateChanged { name, job: &job });
            }
            *known = Some(job);
        }
        let over = jobs.iter().flatten().filter(|job| job.state.is_over());
        if over.count() == jobs.len() {
            return Ok(Some(jobs.into_iter().flatten().collect()));
        }
        tokio::select! {
            // A dropped sender also stops.
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
            () = tokio::time::sleep(interval) => {}
        }
    }
}

#[derive(Debug)]
pub struct Stopped {
    pub name: String,
    /// Whether the job was running; an error if it may still be running.
    pub outcome: Result<bool, Error>,
}

/// Stops jobs concurrently. Sorted by name.
pub async fn stop(client: &Arc<Client>, names: &[String]) -> Vec<Stopped> {
    let mut stopping = JoinSet::new();
    for name in names {
        let (client, name) = (Arc::clone(client), name.clone());
        stopping.spawn(async move {
            let outcome = client.stop(&name).await;
            Stopped { name, outcome }
        });
    }
    let mut stopped = stopping.join_all().await;
    stopped.sort_by(|a, b| a.name.cmp(&b.name));
    stopped
}
