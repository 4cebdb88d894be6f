//! A campaign's records and results <-> one archive, whose statement is signed.
//!
//! Pure: bytes in, bytes out. Formats: tar, canonical JSON, Parquet, an in-toto statement in a DSSE envelope. What is
//! recomputed from a bundle is decided by the controller's commands.

#![forbid(unsafe_code)]

pub mod archive;
mod canonical;
mod check;
mod content;
mod differences;
mod envelope;
mod statement;

pub use check::Error as ContentError;
pub use content::Content;
pub use differences::{Compared, Difference, compare};
pub use envelope::{Envelope, PAYLOAD_TYPE};
pub use statement::{
    Counts, Hashes, PREDICATE_TYPE, Predicate, STATEMENT_TYPE, Statement, Subject, Versions,
};

use archive::{ATTESTATION, Entry, MAX_BYTES, MAX_JSON_BYTES, PUBLIC_KEY, SIGNATURES};
use bytes::Bytes;
use keys::{PublicKey, SigningKey};
use std::io::Write;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it is not an archive")]
    NoArchive(#[source] std::io::Error),
    #[error("it is an archive, but its first file is not {ATTESTATION}")]
    NoBundle,
    #[error("its archive is damaged")]
    Archive {
        #[source]
        source: std::io::Error,
    },
    #[error("the file `{name}` is unknown, there twice or out of order")]
    Name { name: String },
    #[error("{name} is cut off")]
    Truncated { name: String },
    #[error("the archive holds bytes besides its files, or other metadata")]
    Form,
    #[error("{name} is missing")]
    MissingFile { name: &'static str },
    #[error("{name} is not text")]
    Text { name: &'static str },
    #[error("{name} is not the JSON that was expected")]
    Json {
        name: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("{name} has more than {} MiB", MAX_JSON_BYTES >> 20)]
    LargeJson { name: &'static str },
    #[error("the bundle would have {bytes} bytes, and the limit is {MAX_BYTES}")]
    Large { bytes: u64 },
    #[error("{name} is JSON, but not in its canonical form")]
    NotCanonical { name: &'static str },
    #[error("{ATTESTATION} holds invalid base64")]
    Base64,
    #[error("{SIGNATURES} holds invalid base64 or hexadecimal digits")]
    Encoding,
    #[error("{ATTESTATION} has a payload of the type `{found}`, expected {PAYLOAD_TYPE}")]
    PayloadType { found: String },
    #[error(
        "the statement has the types `{kind}` and `{predicate}`, expected {STATEMENT_TYPE} and {PREDICATE_TYPE}"
    )]
    Types { kind: String, predicate: String },
    #[error("{ATTESTATION} must have one signature if {PUBLIC_KEY} is there, and none without")]
    Signatures,
    #[error("the signature is not of the key {key}")]
    Signature { key: String },
    #[error("{PUBLIC_KEY}: {source}")]
    PublicKey {
        #[source]
        source: keys::Error,
    },
    #[error("can't sign")]
    Sign(#[from] keys::Error),
    #[error("{name} has the sha256 {found}, but {expected} was signed")]
    Hash { name: String, expected: String, found: String },
    #[error("the statement names {expected}, and the archive holds {found}")]
    Subjects { expected: String, found: String },
    #[error("the statement is about the campaign `{stated}`, and the files are of `{found}`")]
    Campaign { stated: String, found: String },
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl Error {
    /// Whether the bytes are something else than a bundle.
    pub fn is_other_format(&self) -> bool {
        matches!(self, Self::NoArchive(_) | Self::NoBundle)
    }
}

/// Writes a bundle, signed where a key is given.
pub fn write<W: Write>(
    content: &Content,
    predicate: Predicate,
    key: Option<&SigningKey>,
    out: W,
) -> Result<std::io::Result<W>, Error> {
    let mut entries = Vec::new();
    entries.extend(key.map(|key| Entry { name: PUBLIC_KEY, bytes: Bytes::from(key.public_pem()) }));
    entries.extend(content.entries());
    check_sizes(&entries)?;
    let statement = Statement::new(&entries, predicate);
    let envelope = Envelope::new(&canonical::write(&statement), key)?;
    entries.insert(0, Entry { name: ATTESTATION, bytes: canonical::write(&envelope) });
    Ok(archive::write(&entries, out))
}

/// What is written can be read.
fn check_sizes(entries: &[Entry]) -> Result<(), Error> {
    let is_large =
        |entry: &&Entry| entry.name.ends_with(".json") && entry.bytes.len() > MAX_JSON_BYTES;
    if let Some(Entry { name, .. }) = entries.iter().find(is_large) {
        return Err(Error::LargeJson { name });
    }
    // With headers and padding.
    let bytes = entries.iter().map(|entry| entry.bytes.len() as u64 + 1024).sum();
    if bytes > MAX_BYTES - (1 << 20) {
        return Err(Error::Large { bytes });
    }
    Ok(())
}

/// A bundle whose form, hashes and signature hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    pub statement: Statement,
    /// The key of the signature; none if it isn't signed. It is in the bundle itself, and proves nothing unless it is
    /// trusted for another reason.
    pub signed_by: Option<PublicKey>,
    pub content: Content,
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// Any other byte than those that were signed.
    pub fn read(bytes: &Bytes) -> Result<Self, Error> {
        let entries = archive::read(bytes)?;
        check_sizes(&entries)?;
        let [attestation, files @ ..] = &entries[..] else { return Err(Error::NoBundle) };
        let envelope: Envelope = canonical::read(&attestation.bytes, ATTESTATION)?;
        let public_key = files.iter().find(|file| file.name == PUBLIC_KEY);
        let signed_by = public_key
            .map(|file| PublicKey::from_pem(&file.bytes))
            .transpose()
            .map_err(|source| Error::PublicKey { source })?;
        let payload = envelope.open(signed_by.as_ref())?;
        let statement: Statement = canonical::read(&payload.into(), ATTESTATION)?;
        check_statement(&statement, files)?;
        let content = Content::read(files)?;
        content.check()?;
        let (stated, found) = (&statement.predicate.campaign, content.campaign.id.as_str());
        if stated != found {
            let (stated, found) = (stated.clone(), found.to_owned());
            return Err(Error::Campaign { stated, found });
        }
        Ok(Self { statement, signed_by, content })
    }
}

/// The statement names each file with its hash, and no other.
fn check_statement(statement: &Statement, files: &[Entry]) -> Result<(), Error> {
    let Statement { kind, subject, predicate_type, .. } = statement;
    if kind != STATEMENT_TYPE || predicate_type != PREDICATE_TYPE {
        let (kind, predicate) = (kind.clone(), predicate_type.clone());
        return Err(Error::Types { kind, predicate });
    }
    let found: Vec<Subject> = files.iter().map(Subject::of).collect();
    if !found.iter().map(|file| &file.name).eq(subject.iter().map(|file| &file.name)) {
        let list = |subject: &[Subject]| {
            subject.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        return Err(Error::Subjects { expected: list(subject), found: list(&found) });
    }
    match subject.iter().zip(&found).find(|(expected, found)| expected != found) {
        None => Ok(()),
        Some((expected, found)) => Err(Error::Hash {
            name: found.name.clone(),
            expected: expected.digest.sha256.clone(),
            found: found.digest.sha256.clone(),
        }),
    }
}

#[cfg(test)]
mod tests;
