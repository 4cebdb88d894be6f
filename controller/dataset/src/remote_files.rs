//! What both kinds of remote datasets give, and what is said where it isn't clear which files are meant.

use super::error::Error;
use super::split::Unclear;
use fetch::Stored;

/// Files on this disk.
#[derive(Debug)]
pub(super) struct Fetched {
    /// At least one; all of one format.
    pub(super) files: Vec<Stored>,
    /// The commit that they are of.
    pub(super) revision: Option<String>,
}

/// The error for a choice that can't be made.
pub(super) fn unclear(place: String, split: Option<&str>, reason: Unclear) -> Error {
    match reason {
        Unclear::NoData => Error::NoDataFiles { place },
        Unclear::Unnamed(splits) => Error::WhichSplit { place, splits },
        Unclear::Missing(splits) => {
            Error::NoSplit { place, split: split.unwrap_or_default().to_owned(), splits }
        }
        Unclear::Several(files) => Error::WhichFile { place, files },
    }
}
