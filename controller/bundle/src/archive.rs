//! Files <-> a tar archive in its one form: the names of [`NAMES`] in this order, no metadata, no bytes besides.

use super::Error;
use bytes::Bytes;
use std::io::{self, Write};
use tar::{Archive, Builder, EntryType, Header};

/// Bundles are read into memory.
pub const MAX_BYTES: u64 = 4 << 30;
/// A JSON file takes up to 16 times its size in memory.
pub(crate) const MAX_JSON_BYTES: usize = 256 << 20;

/// The signed statement, which comes first.
pub const ATTESTATION: &str = "attestation.dsse.json";
/// The key that verifies the signature.
pub const PUBLIC_KEY: &str = "public-key.pem";
pub const RESULTS: &str = "results.json";
pub const SAMPLES: &str = "results.samples.parquet";
pub const TELEMETRY: &str = "results.telemetry.parquet";
pub const TEXTS: &str = "texts.parquet";
pub const CAMPAIGN: &str = "campaign.json";
pub const MATRIX_TEXT: &str = "matrix.toml";
pub const MATRIX: &str = "matrix.json";
pub const PLAN: &str = "plan.json";
pub const PRICES: &str = "prices.json";
pub const DATASET: &str = "dataset.json";
pub const DIALOGUES: &str = "dialogues.json";
pub const AGENTS: &str = "agents.json";
pub const SEGMENTS: &str = "segments.json";
pub const EVENTS: &str = "events.json";
pub const LOAD_WINDOWS: &str = "load-windows.json";
/// Of agents, over their samples.
pub const SIGNATURES: &str = "signatures.json";
/// What agents signed in place of texts: [`HASH_BYTES`] for each counted sample of a signed attempt, in the order of
/// [`SAMPLES`].
pub const TEXT_HASHES: &str = "text-hashes.bin";
pub const HASH_BYTES: usize = 32;

/// All names, in the order of the archive.
const NAMES: &[&str] = &[
    ATTESTATION,
    PUBLIC_KEY,
    RESULTS,
    SAMPLES,
    TELEMETRY,
    TEXTS,
    CAMPAIGN,
    MATRIX_TEXT,
    MATRIX,
    PLAN,
    PRICES,
    DATASET,
    DIALOGUES,
    AGENTS,
    SEGMENTS,
    EVENTS,
    LOAD_WINDOWS,
    SIGNATURES,
    TEXT_HASHES,
];

/// A file of the archive. Its bytes are a slice of the archive's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: &'static str,
    pub bytes: Bytes,
}

/// Writes an archive; the entries are in the order of [`NAMES`].
pub fn write<W: Write>(entries: &[Entry], out: W) -> io::Result<W> {
    let mut archive = Builder::new(out);
    for Entry { name, bytes } in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_path(name)?;
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        archive.append(&header, &bytes[..])?;
    }
    archive.into_inner()
}

/// Reads an archive.
///
/// # Errors
/// Any byte that [`write`] would not have written is refused: paths, links, duplicates, metadata, padding.
pub fn read(bytes: &Bytes) -> Result<Vec<Entry>, Error> {
    let mut archive = Archive::new(&bytes[..]);
    let mut entries: Vec<Entry> = Vec::new();
    let mut names = NAMES.iter();
    // Raw entries: no header describes another one.
    for entry in archive.entries().map_err(Error::NoArchive)?.raw(true) {
        let is_first = entries.is_empty();
        let unreadable = |source| {
            if is_first { Error::NoArchive(source) } else { Error::Archive { source } }
        };
        let entry = entry.map_err(unreadable)?;
        let path = entry.path_bytes();
        let Some(name) = names.find(|name| name.as_bytes() == &*path) else {
            let name = String::from_utf8_lossy(&path).into_owned();
            return Err(if is_first { Error::NoBundle } else { Error::Name { name } });
        };
        if is_first && *name != ATTESTATION {
            return Err(Error::NoBundle);
        }
        let from = usize::try_from(entry.raw_file_position()).unwrap_or(usize::MAX);
        let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
        let end = from.checked_add(size).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(|| Error::Truncated { name: (*name).to_owned() })?;
        entries.push(Entry { name, bytes: bytes.slice(from..end) });
    }
    if entries.is_empty() {
        return Err(Error::NoBundle);
    }
    let same = Same { expected: bytes };
    match write(&entries, same) {
        Ok(Same { expected: [] }) => Ok(entries),
        Ok(_) | Err(_) => Err(Error::Form),
    }
}

/// Accepts exactly these bytes.
struct Same<'a> {
    expected: &'a [u8],
}

impl Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.expected = self.expected.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
