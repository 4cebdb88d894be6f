//! One file from its source to its place: gone on with where it was cut off, hashed on the way, put in place
//! whole or not at all, by one process at a time.

use crate::patience::{Patience, Trouble};
use crate::{Error, Fetcher, News, hexadecimal};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How often a file that comes slowly is told of.
const NEWS_EVERY: Duration = Duration::from_secs(2);
/// How much is hashed at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// A file that is wanted, and what its source says of it.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// With its place, for people.
    pub(crate) name: String,
    /// Where it is to lie.
    pub(crate) target: PathBuf,
    /// Who holds this brings it.
    pub(crate) lock: PathBuf,
    /// Its length, where the source says.
    pub(crate) bytes: Option<u64>,
    /// Its sha256, where the source says.
    pub(crate) sha256: Option<String>,
    /// What moves the cache, for errors.
    pub(crate) variable: &'static str,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Brought {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// An answer whose body starts at `from`.
pub(crate) struct Opened {
    pub(crate) from: u64,
    pub(crate) body: Body,
}

/// Bytes on their way.
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

/// The innermost of an error's causes: the one that says what happened.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// What is here of a file that is still coming.
struct Partial {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Sha256,
}

impl Partial {
    /// Takes up what an earlier try left.
    fn open(target: &Path) -> io::Result<Self> {
        let path = beside(target, "incomplete");
        let mut file = File::options().create(true).read(true).append(true).open(&path)?;
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

    /// Puts it into its place.
    fn finish(self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, target)
    }
}

/// `name` -> `name.ending`; names may hold dots.
fn beside(path: &Path, ending: &str) -> PathBuf {
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

/// The sha256 and length of a file.
pub(crate) fn sha256_of(path: &Path) -> io::Result<Brought> {
    let (hash, bytes) = hash_of(&mut File::open(path)?)?;
    Ok(Brought { bytes, sha256: hexadecimal(&hash.finalize()) })
}

/// How often a lock that another process holds is tried.
const LOCK_EVERY: Duration = Duration::from_millis(100);

/// Waits until no other process holds `path`, and holds it. `waits` is called once, where it has to wait.
pub(crate) async fn hold(path: &Path, waits: impl FnOnce()) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    let mut waits = Some(waits);
    loop {
        // Not `lock`, which nothing could break off.
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
    /// Brings a file to its place, unless another process did meanwhile: then that one's is taken.
    /// `open` answers with the bytes from an offset on.
    pub(crate) async fn bring(
        &self,
        wanted: &Wanted,
        open: impl AsyncFn(u64) -> Result<Opened, Trouble>,
    ) -> Result<Brought, Error> {
        let cache = |source| Error::Cache {
            path: wanted.target.display().to_string(),
            variable: wanted.variable,
            source,
        };
        if let Some(folder) = wanted.target.parent() {
            std::fs::create_dir_all(folder).map_err(cache)?;
        }
        let waits = || self.tell(&News::Waiting { file: &wanted.name });
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
            let sha256 = hexadecimal(&partial.hash.clone().finalize());
            let brought = Brought { bytes: partial.length, sha256 };
            match check(wanted, brought) {
                Ok(brought) => {
                    partial.finish(&wanted.target).map_err(cache)?;
                    self.tell(&News::Here { file: &wanted.name, bytes: brought.bytes });
                    return Ok(brought);
                }
                // What an earlier process left may be to blame: one more try, from the first byte.
                Err(Error::Hash { .. }) if has_leftovers => {
                    has_leftovers = false;
                    partial.start_over().map_err(cache)?;
                }
                Err(error) => {
                    // Nothing of it is kept.
                    drop(std::fs::remove_file(&partial.path));
                    return Err(error);
                }
            }
        }
    }

    /// Adds bytes until all are there.
    async fn fill(
        &self,
        wanted: &Wanted,
        partial: &mut Partial,
        open: &impl AsyncFn(u64) -> Result<Opened, Trouble>,
    ) -> Result<(), Error> {
        let mut flow = Flow { patience: Patience::default(), furthest: 0, told: Instant::now() };
        self.tell(&News::Moving { file: &wanted.name, done: partial.length, total: wanted.bytes });
        while wanted.bytes != Some(partial.length) {
            let poured = match open(partial.length).await {
                Ok(opened) => self.pour(wanted, partial, opened, &mut flow).await,
                Err(trouble) => Err(trouble),
            };
            match poured {
                Ok(()) => return Ok(()),
                Err(trouble) => flow.patience.wait(self, &wanted.name, trouble).await?,
            }
        }
        Ok(())
    }

    /// Adds the bytes of one answer.
    async fn pour(
        &self,
        wanted: &Wanted,
        partial: &mut Partial,
        mut opened: Opened,
        flow: &mut Flow,
    ) -> Result<(), Trouble> {
        let path = || wanted.target.display().to_string();
        let cache = |source| {
            Trouble::Final(Error::Cache { path: path(), variable: wanted.variable, source })
        };
        if opened.from != partial.length {
            // The server began anew.
            partial.start_over().map_err(cache)?;
        }
        loop {
            let chunk = match opened.body.next().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(reason) => {
                    let words = format!("cut off after {} bytes ({reason})", partial.length);
                    if wanted.bytes == Some(partial.length) {
                        // All came, and its checksum says that it isn't it.
                        partial.start_over().map_err(cache)?;
                    }
                    return Err(Trouble::passing(words));
                }
            };
            partial.add(&chunk).map_err(cache)?;
            if partial.length > flow.furthest {
                flow.furthest = partial.length;
                flow.patience.renew();
            }
            if let Some(expected) = wanted.bytes.filter(|bytes| partial.length > *bytes) {
                drop(std::fs::remove_file(&partial.path));
                let file = wanted.name.clone();
                return Err(Trouble::Final(Error::TooLong { file, expected }));
            }
            if flow.told.elapsed() >= NEWS_EVERY {
                flow.told = Instant::now();
                let (file, done) = (wanted.name.as_str(), partial.length);
                self.tell(&News::Moving { file, done, total: wanted.bytes });
            }
        }
        match wanted.bytes {
            Some(bytes) if partial.length < bytes => {
                Err(Trouble::passing(format!("cut off after {} of {bytes} bytes", partial.length)))
            }
            _ => Ok(()),
        }
    }
}

/// How a file comes along.
struct Flow {
    patience: Patience,
    /// The most bytes that were ever here: only more of them renew patience.
    furthest: u64,
    told: Instant,
}

/// Whether the file is what its source says.
fn check(wanted: &Wanted, brought: Brought) -> Result<Brought, Error> {
    match &wanted.sha256 {
        Some(expected) if *expected != brought.sha256 => Err(Error::Hash {
            file: wanted.name.clone(),
            expected: expected.clone(),
            found: brought.sha256,
        }),
        _ => Ok(brought),
    }
}
