//! Downloads one file: resumes where an earlier attempt ended, hashes the bytes on the way, and renames the file into
//! place when its hash is right. One process at a time, under a lock.

use crate::retry::{Failure, Retries};
use crate::{Error, Fetcher, Progress};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use ops::{atomic_file, error_chain::root_cause, input_file};
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// The interval of [`Progress::Fetching`].
const REPORT_EVERY: Duration = Duration::from_secs(2);
const CHUNK_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Download {
    /// Shown to people, with the repository or bucket.
    pub(crate) name: String,
    pub(crate) target: PathBuf,
    pub(crate) lock: PathBuf,
    /// If the source sends its length.
    pub(crate) bytes: Option<u64>,
    /// If the source sends its hash.
    pub(crate) sha256: Option<String>,
    /// The variable that moves the cache, for errors.
    pub(crate) variable: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hashed {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// A response whose body starts at offset `from`.
pub(crate) struct Opened {
    pub(crate) from: u64,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    Http(reqwest::Response),
    S3(ByteStream),
}

impl Body {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Http(response) => response.chunk().await.map_err(|error| root_cause(&error)),
            Self::S3(stream) => stream.try_next().await.map_err(|error| root_cause(&error)),
        }
    }
}

struct Partial {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Sha256,
}

impl Partial {
    /// Continues what an earlier attempt left.
    fn open(target: &Path) -> io::Result<Self> {
        let path = with_ending(target, "incomplete");
        let mut file = atomic_file::append(&path)?;
        let (hash, length) = hash_of(&mut file)?;
        Ok(Self { path, file, length, hash })
    }

    fn add(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all(chunk)?;
        self.hash.update(chunk);
        self.length += chunk.len() as u64;
        Ok(())
    }

    fn start_over(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.hash = Sha256::new();
        self.length = 0;
        Ok(())
    }

    fn finish(self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, target)
    }
}

/// `name` -> `name.ending`; names may hold dots.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

fn hash_of(file: &mut File) -> io::Result<(Sha256, u64)> {
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok((hash, length)),
            read => {
                hash.update(&chunk[..read]);
                length += read as u64;
            }
        }
    }
}

pub(crate) fn sha256_of(path: &Path) -> io::Result<Hashed> {
    let (hash, bytes) = hash_of(&mut input_file::open(path)?)?;
    Ok(Hashed { bytes, sha256: hex::encode(hash.finalize()) })
}

const LOCK_EVERY: Duration = Duration::from_millis(100);

/// Takes the lock file `path`; `waits` is called once if another process holds it.
pub(crate) async fn hold(path: &Path, waits: impl FnOnce()) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    let mut waits = Some(waits);
    loop {
        // Not `lock`, which can't be cancelled.
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                if let Some(waits) = waits.take() {
                    waits();
                }
                tokio::time::sleep(LOCK_EVERY).await;
            }
        }
    }
}

impl Fetcher {
    /// Downloads a file, or takes the one that another process put in place meanwhile. `open` requests the bytes from
    /// an offset on.
    pub(crate) async fn download(
        &self,
        wanted: &Download,
        open: impl AsyncFn(u64) -> Result<Opened, Failure>,
    ) -> Result<Hashed, Error> {
        let cache = |source| Error::Cache {
            path: wanted.target.display().to_string(),
            variable: wanted.variable,
            source,
        };
        if let Some(folder) = wanted.target.parent() {
            std::fs::create_dir_all(folder).map_err(cache)?;
        }
        let waits = || self.report(&Progress::Waiting { file: &wanted.name });
        let _held = hold(&wanted.lock, waits).await.map_err(cache)?;
        if wanted.target.exists() {
            return check(wanted, sha256_of(&wanted.target).map_err(cache)?);
        }
        let mut partial = Partial::open(&wanted.target).map_err(cache)?;
        if wanted.bytes.is_some_and(|bytes| partial.length > bytes) {
            partial.start_over().map_err(cache)?;
        }
        let mut has_leftovers = partial.length > 0;
        loop {
            self.fill(wanted, &mut partial, &open).await?;
            let sha256 = hex::encode(partial.hash.clone().finalize());
            let hashed = Hashed { bytes: partial.length, sha256 };
            match check(wanted, hashed) {
                Ok(hashed) => {
                    partial.finish(&wanted.target).map_err(cache)?;
                    self.report(&Progress::Fetched { file: &wanted.name, bytes: hashed.bytes });
                    return Ok(hashed);
                }
                // The fault may be in what an earlier process left: try once more, from the first byte.
                Err(Error::Hash { .. }) if has_leftovers => {
                    has_leftovers = false;
                    partial.start_over().map_err(cache)?;
                }
                Err(error) => {
                    drop(std::fs::remove_file(&partial.path));
                    return Err(error);
                }
            }
        }
    }

    async fn fill(
        &self,
        wanted: &Download,
        partial: &mut Partial,
        open: &impl AsyncFn(u64) -> Result<Opened, Failure>,
    ) -> Result<(), Error> {
        let mut flow = Flow { retries: Retries::default(), furthest: 0, reported: Instant::now() };
        self.report(&Progress::Fetching {
            file: &wanted.name,
            bytes: partial.length,
            total: wanted.bytes,
        });
        while wanted.bytes != Some(partial.length) {
            let poured = match open(partial.length).await {
                Ok(opened) => self.pour(wanted, partial, opened, &mut flow).await,
                Err(failure) => Err(failure),
            };
            match poured {
                Ok(()) => return Ok(()),
                Err(failure) => flow.retries.wait(self, &wanted.name, failure).await?,
            }
        }
        Ok(())
    }

    async fn pour(
        &self,
        wanted: &Download,
        partial: &mut Partial,
        mut opened: Opened,
        flow: &mut Flow,
    ) -> Result<(), Failure> {
        let path = || wanted.target.display().to_string();
        let cache = |source| {
            Failure::Final(Error::Cache { path: path(), variable: wanted.variable, source })
        };
        if opened.from != partial.length {
            // The server ignored the range.
            partial.start_over().map_err(cache)?;
        }
        loop {
            let chunk = match opened.body.next().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(reason) => {
                    let reason = format!("cut off after {} bytes ({reason})", partial.length);
                    if wanted.bytes == Some(partial.length) {
                        // All bytes arrived, and S3's checksum of them is wrong.
                        partial.start_over().map_err(cache)?;
                    }
                    return Err(Failure::transient(reason));
                }
            };
            partial.add(&chunk).map_err(cache)?;
            if partial.length > flow.furthest {
                flow.furthest = partial.length;
                flow.retries.reset();
            }
            if let Some(expected) = wanted.bytes.filter(|bytes| partial.length > *bytes) {
                drop(std::fs::remove_file(&partial.path));
                let file = wanted.name.clone();
                return Err(Failure::Final(Error::TooLong { file, expected }));
            }
            if flow.reported.elapsed() >= REPORT_EVERY {
                flow.reported = Instant::now();
                let (file, bytes) = (wanted.name.as_str(), partial.length);
                self.report(&Progress::Fetching { file, bytes, total: wanted.bytes });
            }
        }
        match wanted.bytes {
            Some(bytes) if partial.length < bytes => Err(Failure::transient(format!(
                "cut off after {} of {bytes} bytes",
                partial.length
            ))),
            _ => Ok(()),
        }
    }
}

struct Flow {
    retries: Retries,
    /// The most bytes that ever arrived: only progress beyond them resets the retries.
    furthest: u64,
    reported: Instant,
}

/// Compares the file with its source's hash.
fn check(wanted: &Download, hashed: Hashed) -> Result<Hashed, Error> {
    match &wanted.sha256 {
        Some(expected) if *expected != hashed.sha256 => Err(Error::Hash {
            file: wanted.name.clone(),
            expected: expected.clone(),
            found: hashed.sha256,
        }),
        _ => Ok(hashed),
    }
}
