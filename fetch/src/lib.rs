//! An address on the Hugging Face hub or in S3 -> files on this disk, checked by SHA-256; and files -> objects in S3.
//!
//! Cached files are used again, interrupted transfers resume, and a file whose hash differs from its source's is
//! rejected. Knows neither program, and prints nothing: callers receive [`Progress`] through a [`Reporter`].
//! [`hub`] and [`s3`] make the requests; `transfer` downloads, hashes and moves a file into place under a lock;
//! `cache` keeps the limit; `retry` is the one policy for failed requests; [`aws`] finds credentials and signs.

#![forbid(unsafe_code)]

pub mod aws;
mod cache;
mod error;
pub mod hub;
mod progress;
mod retry;
pub mod s3;
mod settings;
mod transfer;
mod unpacked;

pub use error::{CredentialsError, Error};
pub use progress::{Progress, Reporter};
pub use settings::Settings;

use cache::Cache;
use std::path::PathBuf;
use std::sync::Mutex;
use tokio::sync::watch;

/// Clients of the hub and of S3 with their caches. A process has one.
#[derive(Debug)]
pub struct Fetcher {
    settings: Settings,
    cache: Cache,
    http: reqwest::Client,
    s3: tokio::sync::OnceCell<s3::Client>,
    /// The commit of each branch when this process first asked: a campaign doesn't change versions midway.
    commits: Mutex<std::collections::BTreeMap<hub::Repository, String>>,
    reporter: Reporter,
    stop: watch::Sender<bool>,
}

/// Files in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub folder: PathBuf,
    /// `None` for S3.
    pub commit: Option<String>,
    /// In the order of the request.
    pub files: Vec<Stored>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The path below the repository or prefix.
    pub name: String,
    pub path: PathBuf,
    /// In hexadecimal, computed from the bytes on this disk.
    pub sha256: String,
    pub bytes: u64,
}

impl Fetcher {
    /// Sends no request yet.
    pub fn new(settings: Settings, reporter: Reporter) -> Result<Self, Error> {
        Ok(Self {
            http: hub::http_client()?,
            cache: Cache::new(&settings.cache, settings.cache_limit_bytes),
            commits: Mutex::default(),
            s3: tokio::sync::OnceCell::new(),
            reporter,
            stop: watch::Sender::new(false),
            settings,
        })
    }

    /// Cancels running and later work of [`Fetcher::block_on`], since the process is ending.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Runs `work` on this thread until it ends or [`Fetcher::stop`] is called. Not for async callers.
    ///
    /// # Errors
    /// Those of `work`; [`Error::Stopped`].
    pub fn block_on<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::System { reason: error.to_string() })?;
        let mut stop = self.stop.subscribe();
        runtime.block_on(async {
            tokio::select! {
                done = work => done,
                _ = stop.wait_for(|stop| *stop) => Err(Error::Stopped),
            }
        })
    }

    fn report(&self, progress: &Progress<'_>) {
        (self.reporter.0)(progress);
    }
}
