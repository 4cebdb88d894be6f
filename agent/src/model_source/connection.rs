//! The process's one way to the hub and to S3.

use super::Error;
use crate::config;
use remote::{Remote, Reporter, Settings};
use std::sync::OnceLock;

static REMOTE: OnceLock<Remote> = OnceLock::new();
static TELL: OnceLock<fn(&str)> = OnceLock::new();

/// News of what is fetched go to `tell`, a line at a time.
pub fn tell_news_to(tell: fn(&str)) {
    // A process has one terminal: a second call changes nothing.
    let _ = TELL.set(tell);
}

/// Breaks off what is being fetched, and lets nothing else be: the process is ending.
pub fn disconnect() {
    if let Some(remote) = REMOTE.get() {
        remote.stop();
    }
}

/// The way, made at first use by what the environment says.
pub(super) fn connection() -> Result<&'static Remote, Error> {
    if let Some(remote) = REMOTE.get() {
        return Ok(remote);
    }
    let reporter = Reporter::new(|news| {
        if let Some(tell) = TELL.get() {
            tell(&news.to_string());
        }
    });
    let remote = Remote::new(settings()?, reporter)?;
    Ok(REMOTE.get_or_init(|| remote))
}

fn settings() -> Result<Settings, Error> {
    Ok(Settings::read(&config::variable)?)
}
