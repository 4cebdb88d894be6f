//! The one retry policy for requests to the hub and to S3.
//!
//! The AWS SDK's own retries are off: they aren't reported while someone waits, ignore `Retry-After`, and can't resume
//! a body.

use crate::{Error, Fetcher, Progress};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// Consecutive failures, without a byte received between them, that end a transfer.
const ATTEMPTS: u32 = 6;
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(125))
    .with_max_times(ATTEMPTS as usize - 1)
    .with_jitter();
/// The longest `Retry-After` that is obeyed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

#[derive(Debug)]
pub(crate) enum Failure {
    /// A later attempt may succeed.
    Transient {
        reason: String,
        retry_after: Option<Duration>,
    },
    Final(Error),
}

impl Failure {
    pub(crate) fn transient(reason: impl Into<String>) -> Self {
        Self::Transient { reason: reason.into(), retry_after: None }
    }
}

#[derive(Debug)]
pub(crate) struct Retries(ExponentialBackoff);

impl Default for Retries {
    fn default() -> Self {
        Self(PAUSES.build())
    }
}

impl Retries {
    /// Forgets earlier failures, because bytes arrived.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Sleeps until the next attempt, or fails if there is none.
    pub(crate) async fn wait(
        &mut self,
        fetcher: &Fetcher,
        what: &str,
        failure: Failure,
    ) -> Result<(), Error> {
        let (reason, retry_after) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Transient { reason, retry_after } => (reason, retry_after),
        };
        let Some(pause) = self.0.next() else {
            return Err(Error::GaveUp { what: what.to_owned(), attempts: ATTEMPTS, reason });
        };
        if let Some(asked) = retry_after.filter(|asked| *asked > LONGEST_RETRY_AFTER) {
            let hint = if fetcher.settings.hub_token.is_some() {
                ""
            } else {
                " (the hub allows more requests if HF_TOKEN is set)"
            };
            let what = what.to_owned();
            return Err(Error::TooBusy { what, seconds: asked.as_secs(), hint });
        }
        let pause = retry_after.unwrap_or(pause);
        fetcher.report(&Progress::Retry { what, reason: &reason, pause });
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

impl Fetcher {
    /// Repeats `request` until it succeeds, fails for good, or has failed too often.
    pub(crate) async fn retry<T>(
        &self,
        what: &str,
        request: impl AsyncFn() -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let mut retries = Retries::default();
        loop {
            match request().await {
                Ok(done) => return Ok(done),
                Err(failure) => retries.wait(self, what, failure).await?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reporter, Settings};
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::time::Instant;

    fn fetcher() -> Fetcher {
        Fetcher::new(Settings::read(&|_| None).unwrap(), Reporter::silent()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_keeps_failing_is_given_up() {
        let attempts = AtomicU32::new(0);
        let failed = fetcher()
            .retry("x", async || {
                attempts.fetch_add(1, Ordering::Relaxed);
                Err::<(), _>(Failure::transient("503"))
            })
            .await;
        assert_eq!(failed.unwrap_err().to_string(), "x: gave up after 6 attempts: 503");
        assert_eq!(attempts.into_inner(), ATTEMPTS);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_replaces_the_pause_up_to_a_limit() {
        let busy = |seconds| Failure::Transient {
            reason: "429".to_owned(),
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let start = Instant::now();
        Retries::default().wait(&fetcher(), "x", busy(30)).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(30));
        let error = Retries::default().wait(&fetcher(), "x", busy(7200)).await.unwrap_err();
        assert!(error.to_string().contains("7200 s"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn received_bytes_reset_the_count() {
        let (fetcher, mut retries) = (fetcher(), Retries::default());
        for _ in 0..3 * ATTEMPTS {
            retries.wait(&fetcher, "x", Failure::transient("cut off")).await.unwrap();
            retries.reset();
        }
    }
}
