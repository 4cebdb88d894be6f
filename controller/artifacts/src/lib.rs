//! What a campaign wrote, to S3 and back. Nothing there is ever overwritten.
//!
//! An edge: bytes go out under names, and come back checked. What stands in them is the report's concern.

#![forbid(unsafe_code)]

mod place;
mod read_back;

pub use place::{Artifact, Placed, place};
pub use read_back::{ReadBack, read_back};

use std::path::PathBuf;

/// Why artifacts aren't there, or can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// S3 doesn't want them, or doesn't have them.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// Every name that could be used is taken by something else.
    #[error("{prefix} holds {tried} other results of this campaign: choose another prefix")]
    Crowded {
        /// Where it was tried.
        prefix: String,
        /// How many names.
        tried: u32,
    },
    /// It came, and can't be read here.
    #[error("can't read {}", path.display())]
    Read {
        /// Where it lies in the cache.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not results of this release.
    #[error("{address} is not a results.json that this release can read")]
    NotResults {
        /// Its address.
        address: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Results of a newer release.
    #[error(
        "{address} has schema version {found}, and this release reads {known}: use the release that wrote it"
    )]
    Version {
        /// Its address.
        address: String,
        /// Of the file.
        found: u32,
        /// Of this release.
        known: u32,
    },
    /// The samples aren't those that the results were computed from.
    #[error(
        "{address} doesn't belong to its results: they name sha256 {expected}, and it has {found}"
    )]
    OtherSamples {
        /// Of the Parquet file.
        address: String,
        /// As results.json says.
        expected: String,
        /// Of its bytes.
        found: String,
    },
    /// The samples are the right file with the wrong number of rows, or no Parquet.
    #[error("{address} doesn't hold the {expected} samples that its results name")]
    Rows {
        /// Of the Parquet file.
        address: String,
        /// As results.json says.
        expected: u64,
    },
}
