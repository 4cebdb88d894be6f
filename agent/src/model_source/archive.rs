//! Files of a `tar.gz`, such as a `model.tar.gz` of SageMaker's.
//!
//! An archive comes from elsewhere and is not trusted: names that leave it, links, devices, too many entries
//! and too many bytes are refused, whether anyone needs them or not.

use flate2::read::MultiGzDecoder;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, EntryType};

/// How many entries are taken: a model with all checkpoints of its training has far fewer.
const MOST_ENTRIES: usize = 10_000;
/// How much more than the archive's own bytes may come out of it. Fresh adapters hold many zeros.
const MOST_RATIO: u64 = 100;
/// Any archive may unpack to this much.
const ALWAYS_BYTES: u64 = 16 << 20;

/// An archive that can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be read.
    #[error("can't read {place}")]
    Read {
        /// The archive.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// Not a gzip file.
    #[error("{place} is not a tar.gz archive: give a folder, or a model.tar.gz")]
    NotGzip {
        /// The archive.
        place: String,
    },
    /// A name that would leave the folder it is unpacked in.
    #[error("{place} is refused: its entry {entry:?} is an absolute path or leaves the archive")]
    Outside {
        /// The archive.
        place: String,
        /// The entry's name.
        entry: PathBuf,
    },
    /// A link or a device.
    #[error("{place} is refused: its entry {entry:?} is neither a file nor a folder")]
    Special {
        /// The archive.
        place: String,
        /// The entry's name.
        entry: PathBuf,
    },
    /// The same name again.
    #[error("{place} is refused: it holds {entry:?} twice")]
    Twice {
        /// The archive.
        place: String,
        /// The entry's name.
        entry: PathBuf,
    },
    /// More entries than anyone needs.
    #[error("{place} is refused: it holds more than {most} entries")]
    TooMany {
        /// The archive.
        place: String,
        /// How many are taken.
        most: usize,
    },
    /// More bytes than its size lets expect.
    #[error("{place} is refused: its {packed} bytes unpack to more than {most}")]
    TooLarge {
        /// The archive.
        place: String,
        /// Its size.
        packed: u64,
        /// How many bytes are unpacked from an archive of this size.
        most: u64,
    },
}

/// Whether a name is that of an archive.
pub(super) fn is_archive(name: &str) -> bool {
    [".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

/// Hands each wanted file of the archive at `path` to `take`, with its name in it. No archive may unpack to more
/// than `most_bytes`.
pub(super) fn each(
    path: &Path,
    most_bytes: u64,
    is_wanted: impl Fn(&Path) -> bool,
    take: impl FnMut(PathBuf, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Error> {
    let place = || path.display().to_string();
    let read = |source| Error::Read { place: place(), source };
    let file = File::open(path).map_err(read)?;
    let packed = file.metadata().map_err(read)?.len();
    let most = packed.saturating_mul(MOST_RATIO).clamp(ALWAYS_BYTES, most_bytes);
    let mut unpacked = MultiGzDecoder::new(file).take(most);
    match walk(path, &mut unpacked, is_wanted, take) {
        // Where the limit was reached, whatever went wrong went wrong because of it.
        _ if unpacked.limit() == 0 => Err(Error::TooLarge { place: place(), packed, most }),
        Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::InvalidInput => {
            Err(Error::NotGzip { place: place() })
        }
        walked => walked,
    }
}

fn walk(
    path: &Path,
    unpacked: &mut impl Read,
    is_wanted: impl Fn(&Path) -> bool,
    mut take: impl FnMut(PathBuf, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Error> {
    let place = || path.display().to_string();
    let read = |source| Error::Read { place: place(), source };
    let mut seen = BTreeSet::new();
    let mut archive = Archive::new(unpacked);
    for (count, entry) in archive.entries().map_err(read)?.enumerate() {
        let mut entry = entry.map_err(read)?;
        if count >= MOST_ENTRIES {
            return Err(Error::TooMany { place: place(), most: MOST_ENTRIES });
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
            return Err(Error::Twice { place: place(), entry: name });
        }
        take(inside, &mut entry).map_err(read)?;
    }
    Ok(())
}

/// The path without `./`, if it stays inside.
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
