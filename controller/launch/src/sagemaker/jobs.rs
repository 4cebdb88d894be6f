//! Starts jobs, watches them to their end, and stops them.
//!
//! Nothing here gives up a job: what was begun is told to whoever calls, who stops all of it on every way out.

use super::answer;
use super::api::{Client, Error, Job, State};
use super::request::Request;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What happens on the way.
#[derive(Debug)]
pub enum News<'a> {
    /// A job was created.
    Created {
        /// Its name.
        name: &'a str,
        /// Its instance type.
        target: &'a str,
    },
    /// A job stands elsewhere.
    Moved {
        /// Its name.
        name: &'a str,
        /// Where.
        job: &'a Job,
    },
    /// It isn't known how a job is; it is looked at again.
    Unknown(&'a Error),
}

/// Takes what happens on the way.
pub type Tell = dyn Fn(&News<'_>) + Send + Sync;

/// Creates jobs one after the other. Ends early, and well, where `stop` says so: between two requests, since a request
/// that is broken off may have been done.
///
/// # Errors
/// The first that isn't created. Those before it are there; it may be, too, where no answer came.
pub async fn start(
    client: &Client,
    requests: &[Request],
    tell: &Tell,
    stop: &watch::Receiver<bool>,
) -> Result<(), Error> {
    for request in requests {
        if *stop.borrow() {
            return Ok(());
        }
        client.create(request).await?;
        tell(&News::Created { name: &request.name, target: request.target.as_str() });
    }
    Ok(())
}

/// Looks at jobs `every` so often until all are over; returns how each ended, or null where `stop` came first.
///
/// # Errors
/// Where SageMaker refuses to say; that it can't be reached is told and waited out.
pub async fn watch(
    client: &Client,
    names: &[String],
    every: Duration,
    tell: &Tell,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Vec<Job>>, Error> {
    let gone = || Job { state: State::Stopped, reason: "SageMaker doesn't know it".to_owned() };
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
                    tell(&News::Unknown(&error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if known.as_ref().is_none_or(|known| known.state != job.state) {
                tell(&News::Moved { name, job: &job });
            }
            *known = Some(job);
        }
        let over = jobs.iter().flatten().filter(|job| job.state.is_over());
        if over.count() == jobs.len() {
            return Ok(Some(jobs.into_iter().flatten().collect()));
        }
        tokio::select! {
            // Whoever could say so being gone says so, too.
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// What became of stopping one job.
#[derive(Debug)]
pub struct Stopped {
    /// Its name.
    pub name: String,
    /// Whether there was something to end; or why it may go on.
    pub outcome: Result<bool, Error>,
}

/// Stops all of them at once, and returns when each is or can't be.
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
