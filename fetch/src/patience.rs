//! How often and after which pauses something that failed is tried again.

use crate::{Error, Fetcher, News};
use rand::RngExt;
use std::time::Duration;

/// The pause after the first failure; it doubles.
const FIRST: Duration = Duration::from_millis(250);
/// No pause of our own is longer.
const LONGEST: Duration = Duration::from_secs(20);
/// No pause that a server asks for is kept where it is longer.
const LONGEST_ASKED: Duration = Duration::from_mins(5);
/// So many failures in a row, without a byte between them, are enough.
const TRIES: u32 = 6;

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It may pass.
    Passing {
        /// In a few words.
        reason: String,
        /// As the server asks.
        after: Option<Duration>,
    },
    /// It won't.
    Final(Error),
}

impl Trouble {
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Self::Passing { reason: reason.into(), after: None }
    }
}

/// Failures of one thing in a row.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failures: u32,
}

impl Patience {
    /// Something came: what follows is judged anew.
    pub(crate) fn renew(&mut self) {
        self.failures = 0;
    }

    /// Waits until it is worth another try.
    pub(crate) async fn wait(
        &mut self,
        fetcher: &Fetcher,
        what: &str,
        trouble: Trouble,
    ) -> Result<(), Error> {
        let (reason, after) = match trouble {
            Trouble::Final(error) => return Err(error),
            Trouble::Passing { reason, after } => (reason, after),
        };
        self.failures += 1;
        if self.failures >= TRIES {
            return Err(Error::GaveUp { what: what.to_owned(), tries: TRIES, reason });
        }
        if let Some(asked) = after.filter(|asked| *asked > LONGEST_ASKED) {
            let hint = if fetcher.settings.hub_token.is_some() {
                ""
            } else {
                " (the hub is more patient with those who set HF_TOKEN)"
            };
            let what = what.to_owned();
            return Err(Error::TooBusy { what, seconds: asked.as_secs(), hint });
        }
        let pause = after.unwrap_or_else(|| {
            let whole = (FIRST * 2_u32.pow(self.failures - 1)).min(LONGEST);
            let mut random =
                fetcher.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            whole.mul_f64(random.random_range(0.5..=1.0))
        });
        fetcher.tell(&News::Trouble { what, reason: &reason, pause });
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

impl Fetcher {
    /// Does `work` until it works, fails for good, or patience ends.
    pub(crate) async fn persist<T>(
        &self,
        what: &str,
        work: impl AsyncFn() -> Result<T, Trouble>,
    ) -> Result<T, Error> {
        let mut patience = Patience::default();
        loop {
            match work().await {
                Ok(done) => return Ok(done),
                Err(trouble) => patience.wait(self, what, trouble).await?,
            }
        }
    }
}
