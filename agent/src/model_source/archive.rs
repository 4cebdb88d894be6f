//! Reads `tar.gz` archives, such as SageMaker's `model.tar.gz`.
//!
//! Archives are untrusted: paths that leave the archive, links, devices, too many entries and too
//! many bytes are rejected, even for entries that nobody reads.

use flate2::read::MultiGzDecoder;
use ops::{input_file, placeholder::Placeholder};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use tar::{Archive, EntryType};

/// A model with all of its training checkpoints has far fewer.
pub(super) const MAX_ENTRIES: usize = 10_000;
/// Maximum compression ratio. Fresh adapters contain many zeros.
const MAX_RATIO: u64 = 100;
/// Headers of one entry: paths are far shorter.
const MAX_HEADER_BYTES: u64 = 1 << 20;
/// Content is padded to a multiple of it.
const BLOCK_BYTES: u64 = 512;
/// Any archive may unpack to this size.
const ALWAYS_BYTES: u64 = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {place}")]
    Read { place: String, source: io::Error },
    #[error("{place} is not a tar.gz archive: expected a folder or a model.tar.gz")]
    NotGzip { place: String },
    #[error("{place} {placeholder}")]
    Placeholder { place: String, placeholder: Placeholder },
    #[error("{place} is rejected: entry {entry:?} is an absolute path or leaves the archive")]
    Outside { place: String, entry: PathBuf },
    #[error("{place} is rejected: entry {entry:?} is neither a file nor a folder")]
    Special { place: String, entry: PathBuf },
    #[error("{place} is rejected: duplicate entry {entry:?}")]
    Duplicate { place: String, entry: PathBuf },
    #[error("{place} is rejected: more than {most} entries")]
    TooMany { place: String, most: usize },
    #[error("{place} is rejected: its {packed} bytes unpack to more than {most}")]
    TooLarge { place: String, packed: u64, most: u64 },
}

pub(super) fn is_archive(name: &str) -> bool {
    [".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

/// Passes each wanted file to `take`, with its path inside. Unpacks at most `most_bytes`. `name` is
/// the archive, in errors.
pub(super) fn each(
    path: &Path,
    name: &str,
    most_bytes: u64,
    is_wanted: impl Fn(&Path) -> bool,
    take: impl FnMut(PathBuf, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Error> {
    let place = || name.to_owned();
    let read = |source| Error::Read { place: place(), source };
    let file = input_file::open(path).map_err(read)?;
    let packed = file.metadata().map_err(read)?.len();
    let most = packed.saturating_mul(MAX_RATIO).clamp(ALWAYS_BYTES, most_bytes);
    let mut unpacked = MultiGzDecoder::new(file).take(most);
    match walk(name, &mut unpacked, is_wanted, take) {
        // If the limit was reached, it caused whatever error followed.
        _ if unpacked.limit() == 0 => Err(Error::TooLarge { place: place(), packed, most }),
        Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::InvalidInput => {
            Err(match Placeholder::of_file(path).map_err(read)? {
                Some(placeholder) => Error::Placeholder { place: place(), placeholder },
                None => Error::NotGzip { place: place() },
            })
        }
        walked => walked,
    }
}

fn walk(
    name: &str,
    unpacked: &mut impl Read,
    is_wanted: impl Fn(&Path) -> bool,
    mut take: impl FnMut(PathBuf, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Error> {
    let place = || name.to_owned();
    let read = |source| Error::Read { place: place(), source };
    let mut seen = BTreeSet::new();
    let left = Rc::new(Cell::new(0));
    let mut archive = Archive::new(Budget { unpacked, left: Rc::clone(&left) });
    let mut entries = archive.entries().map_err(read)?;
    for count in 0.. {
        // The rest of the content of the entry before is skipped, and headers follow.
        left.set(left.get().saturating_add(MAX_HEADER_BYTES));
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(read)?;
        left.set(entry.size().saturating_add(BLOCK_BYTES));
        if count >= MAX_ENTRIES {
            return Err(Error::TooMany { place: place(), most: MAX_ENTRIES });
        }
        let name = entry.path().map_err(read)?.into_owned();
        let Some(inside) = inside(&name) else {
            return Err(Error::Outside { place: place(), entry: name });
        };
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            _ => return Err(Error::Special { place: place(), entry: name }),
        }
        if !is_wanted(&inside) {
            continue;
        }
        if !seen.insert(inside.clone()) {
            return Err(Error::Duplicate { place: place(), entry: name });
        }
        take(inside, &mut entry).map_err(read)?;
    }
    Ok(())
}

/// Bytes that may be read before the next entry: the parser holds its headers, such as a long name, in memory.
struct Budget<R> {
    unpacked: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Budget<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(into.len());
        if most == 0 && !into.is_empty() {
            return Err(io::Error::other("a header is too long"));
        }
        let read = self.unpacked.read(&mut into[..most])?;
        self.left.set(self.left.get() - read as u64);
        Ok(read)
    }
}

/// The path without `./`. `None` if it leaves the archive.
fn inside(name: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => inside.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(inside)
}
