//! Files of the Hugging Face hub and of S3, brought to this machine's disk and checked by sha256.
//!
//! A library of both programs that knows nothing of either: an address and the names of files go in, a folder
//! that holds them comes out. What is there already is used again; what was cut off is gone on with; what has
//! another hash than its source says is refused. Nothing is printed here: [`News`] go to whoever connected.

#![forbid(unsafe_code)]

pub mod aws;
mod cache;
mod error;
pub mod hub;
mod news;
mod patience;
pub mod s3;
mod settings;
mod transfer;
mod unpacked;

pub use error::{Error, Looked};
pub use news::{News, Reporter};
pub use settings::{Secret, Settings};

use cache::Cache;
use rand::rngs::SysRng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The ways to the hub and to S3, with the caches behind them. One for a process.
#[derive(Debug)]
pub struct Fetcher {
    settings: Settings,
    cache: Cache,
    http: reqwest::Client,
    s3: tokio::sync::OnceCell<s3::Client>,
    /// What branches stood for when this process first asked: they don't move under a campaign.
    commits: Mutex<std::collections::BTreeMap<hub::Repository, String>>,
    reporter: Reporter,
    random: Mutex<ChaCha8Rng>,
    stop: watch::Sender<bool>,
}

/// Files that lie together in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Holds them under their names.
    pub folder: PathBuf,
    /// The commit that they are of; null for S3.
    pub commit: Option<String>,
    /// In the order asked for.
    pub files: Vec<Stored>,
}

/// One file on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name at its source, below the repository or prefix.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Of its bytes, as they were read.
    pub sha256: String,
    /// How many bytes it has.
    pub bytes: u64,
}

impl Fetcher {
    /// Makes the ways ready; nothing is asked for yet.
    ///
    /// # Errors
    /// Where the system gives no randomness or no TLS.
    pub fn new(settings: Settings, reporter: Reporter) -> Result<Self, Error> {
        let mut seed = [0; 32];
        rand::TryRng::try_fill_bytes(&mut SysRng, &mut seed)
            .map_err(|error| Error::System { reason: error.to_string() })?;
        Ok(Self {
            http: hub::http_client()?,
            cache: Cache::new(&settings.cache, settings.cache_limit_bytes),
            commits: Mutex::default(),
            s3: tokio::sync::OnceCell::new(),
            reporter,
            random: Mutex::new(ChaCha8Rng::from_seed(seed)),
            stop: watch::Sender::new(false),
            settings,
        })
    }

    /// Breaks off what is under way here, and all that is asked for later: the process is ending.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Runs `work` to its end on this thread, or until [`Fetcher::stop`]. Not for async callers.
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

    fn tell(&self, news: &News<'_>) {
        (self.reporter.0)(news);
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A handle that many parts of a program hold.
pub type Shared = Arc<Fetcher>;
