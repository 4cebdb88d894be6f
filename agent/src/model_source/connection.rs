//! The process's one way to the hub and to S3.

use super::Error;
use fetch::{Fetcher, Reporter, Settings};
use std::sync::OnceLock;

static FETCHER: OnceLock<Fetcher> = OnceLock::new();
static TELL: OnceLock<fn(&str)> = OnceLock::new();

/// News of what is fetched go to `tell`, a line at a time.
pub fn tell_news_to(tell: fn(&str)) {
    // A process has one terminal: a second call changes nothing.
    let _ = TELL.set(tell);
}

/// Breaks off what is being fetched, and lets nothing else be: the process is ending.
pub fn disconnect() {
    if let Some(fetcher) = FETCHER.get() {
        fetcher.stop();
    }
}

/// The way, made at first use by what the environment says.
pub(super) fn connection() -> Result<&'static Fetcher, Error> {
    if let Some(fetcher) = FETCHER.get() {
        return Ok(fetcher);
    }
    let reporter = Reporter::new(|news| {
        if let Some(tell) = TELL.get() {
            tell(&news.to_string());
        }
    });
    let fetcher = Fetcher::new(settings()?, reporter)?;
    Ok(FETCHER.get_or_init(|| fetcher))
}

fn settings() -> Result<Settings, Error> {
    Ok(Settings::read(&ops::environment::variable)?)
}
