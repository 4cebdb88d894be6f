//! Downloaded files of a remote dataset, and the errors of an ambiguous split.

use super::error::Error;
use super::split::Ambiguity;
use fetch::Stored;

#[derive(Debug)]
pub(super) struct Fetched {
    /// At least one; all of one format.
    pub(super) files: Vec<Stored>,
    /// The commit of a hub repository.
    pub(super) revision: Option<String>,
}

pub(super) fn split_error(place: String, split: Option<&str>, reason: Ambiguity) -> Error {
    match reason {
        Ambiguity::NoData => Error::NoDataFiles { place },
        Ambiguity::Unnamed(splits) => Error::WhichSplit { place, splits },
        Ambiguity::Missing(splits) => {
            Error::NoSplit { place, split: split.unwrap_or_default().to_owned(), splits }
        }
        Ambiguity::Several(files) => Error::WhichFile { place, files },
    }
}
