//! The process-wide connection to the hub and S3.

use super::Error;
use fetch::{Fetcher, Reporter, Settings};
use std::sync::OnceLock;

static FETCHER: OnceLock<Fetcher> = OnceLock::new();
static TELL: OnceLock<fn(&str)> = OnceLock::new();

pub fn report_downloads_to(tell: fn(&str)) {
    // A second call has no effect.
    let _ = TELL.set(tell);
}

/// Aborts downloads and prevents new ones when the process ends.
pub fn disconnect() {
    if let Some(fetcher) = FETCHER.get() {
        fetcher.stop();
    }
}

/// Created at first use from the environment.
pub(super) fn connection() -> Result<&'static Fetcher, Error> {
    if let Some(fetcher) = FETCHER.get() {
        return Ok(fetcher);
    }
    let reporter = Reporter::new(|news| {
        if let Some(tell) = TELL.get() {
            tell(&news.to_string());
        }
    });
    let fetcher = Fetcher::new(Settings::read(&ops::environment::variable)?, reporter)?;
    Ok(FETCHER.get_or_init(|| fetcher))
}
