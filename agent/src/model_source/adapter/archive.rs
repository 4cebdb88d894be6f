//! An adapter in a `model.tar.gz`, as SageMaker writes it. Nothing is unpacked to disk.
//!
//! An archive comes from elsewhere and is not trusted: names that leave it, links, devices, too many entries
//! and too many bytes are refused, whether the adapter needs them or not.

use super::{Adapter, CONFIG, Error, PICKLE, WEIGHTS, choose};
use crate::model_source::Blob;
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, EntryType};

/// How many entries are taken: an adapter with all checkpoints of its training has far fewer.
const MOST_ENTRIES: usize = 10_000;
/// How much more than the archive's own bytes may come out of it. Fresh adapters hold many zeros.
const MOST_RATIO: u64 = 100;
/// Any archive may unpack to this much.
const ALWAYS_BYTES: u64 = 16 << 20;
/// No archive may unpack to more.
const MOST_BYTES: u64 = 4 << 30;

pub(super) fn find(path: &Path) -> Result<Adapter, Error> {
    let place = || path.display().to_string();
    let read = |source| Error::Read { place: place(), source };
    let file = File::open(path).map_err(read)?;
    let packed = file.metadata().map_err(read)?.len();
    let most = packed.saturating_mul(MOST_RATIO).clamp(ALWAYS_BYTES, MOST_BYTES);
    let mut unpacked = MultiGzDecoder::new(file).take(most);
    let files = match collect(path, &mut unpacked) {
        // Where the limit was reached, whatever went wrong went wrong because of it.
        _ if unpacked.limit() == 0 => {
            return Err(Error::TooLarge { place: place(), packed, most });
        }
        Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::InvalidInput => {
            return Err(Error::NotGzip { place: place() });
        }
        files => files?,
    };
    pick(path, files)
}

/// The files that an adapter is made of, by their path in the archive.
fn collect(path: &Path, unpacked: &mut impl Read) -> Result<BTreeMap<PathBuf, Vec<u8>>, Error> {
    let place = || path.display().to_string();
    let read = |source| Error::Read { place: place(), source };
    let mut files = BTreeMap::new();
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
        let wanted = [CONFIG, WEIGHTS, PICKLE];
        if !inside.file_name().is_some_and(|name| wanted.iter().any(|wanted| name == *wanted)) {
            continue;
        }
        let mut bytes = Vec::new();
        if !inside.ends_with(PICKLE) {
            entry.read_to_end(&mut bytes).map_err(read)?;
        }
        if files.insert(inside, bytes).is_some() {
            return Err(Error::Twice { place: place(), entry: name });
        }
    }
    Ok(files)
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

fn pick(path: &Path, mut files: BTreeMap<PathBuf, Vec<u8>>) -> Result<Adapter, Error> {
    let folders = files
        .keys()
        .filter(|file| file.ends_with(CONFIG))
        .map(|file| file.parent().unwrap_or(Path::new("")).to_owned())
        .collect();
    let folder = choose(path, folders)?;
    let place = path.display().to_string();
    let mut held = |name: &str| {
        let bytes = files.remove(&folder.join(name))?;
        Some(Blob::held(&format!("{place}:{}", folder.join(name).display()), bytes))
    };
    match (held(CONFIG), held(WEIGHTS), held(PICKLE)) {
        (Some(config), Some(weights), _) => Ok(Adapter { config, weights }),
        (_, None, Some(_)) => Err(Error::Pickle { place }),
        _ => Err(Error::NoWeights { place, folder }),
    }
}
