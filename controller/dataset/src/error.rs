//! Problems of datasets.

use super::position::Position;
use ops::{placeholder::Placeholder, text};
use std::io;

/// A file with more unusable rows than this is refused: a column is probably the wrong one.
pub(super) const MAX_SET_ASIDE_PERCENT: usize = 50;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "unknown dataset source `{text}`: expected a .jsonl, .json, .csv, .tsv or .parquet file, hf://owner/name, s3://bucket/key or builtin:dialogues"
    )]
    UnknownSource { text: String },
    #[error("unknown dataset source `{text}`: builtin:dialogues is the only built-in dataset")]
    UnknownBuiltin { text: String },
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    #[error("{address} is not a local dataset")]
    NotLocal { address: String },
    #[error("{place} has no .csv, .parquet, .jsonl or .json file")]
    NoDataFiles {
        /// A repository, or a bucket with a prefix.
        place: String,
    },
    #[error("{place} has several splits: set dataset.split to one of {}", splits.join(", "))]
    WhichSplit { place: String, splits: Vec<String> },
    #[error("{place} has no split `{split}`{}, or name one of its files", if splits.is_empty() {
        String::new()
    } else {
        format!(": set dataset.split to one of {}", splits.join(", "))
    })]
    NoSplit {
        place: String,
        split: String,
        /// The existing ones.
        splits: Vec<String>,
    },
    #[error("{place} has several candidate files: name one, such as {place}/{}; found: {}", files[0], files.join(", "))]
    WhichFile { place: String, files: Vec<String> },
    #[error("duplicate id `{id}` in {first} and {second}: ids must be unique")]
    IdInTwoFiles { id: String, first: String, second: String },
    #[error(
        "can't read the data file {file}: check its permissions and its path, which is relative to the matrix"
    )]
    Unreadable { file: String, source: io::Error },
    #[error("{file} contains no dialogues: expected at least one")]
    Empty { file: String },
    #[error("{file} {source}")]
    Text { file: String, source: text::Error },
    #[error("{file} {placeholder}")]
    Placeholder { file: String, placeholder: Placeholder },
    #[error("{file}, {position}: invalid JSON: {hint}")]
    Json { file: String, position: Position, hint: &'static str, source: serde_json::Error },
    /// Valid JSON, but not rows with columns.
    #[error("{file}, {position}: expected {expected}, found {found}")]
    Shape { file: String, position: Position, expected: &'static str, found: &'static str },
    #[error(
        "{file}, {position}: {found} fields, but the header has {expected}: quote fields that contain separators or line breaks"
    )]
    Fields { file: String, position: Position, expected: u64, found: u64 },
    /// The CSV parser would read the rest of the file as one field.
    #[error("{file}, {position}: unclosed quote: close it, or double quotes inside a field")]
    OpenQuote { file: String, position: Position },
    #[error("{file} is not valid CSV")]
    Csv { file: String, source: ::csv::Error },
    #[error("can't read {file} as Parquet: the file must be complete and not compressed with LZO")]
    Parquet { file: String, source: ::parquet::errors::ParquetError },
    #[error("{file}, {position}: no column `{column}` for the {role}{}; found: {}: set dataset.columns.{role}", suggestion(column, found), found.join(", "))]
    MissingColumn {
        file: String,
        /// The header, or the row without the column.
        position: Position,
        /// `id`, `dialogue` or `summary`.
        role: &'static str,
        column: String,
        /// The existing columns.
        found: Vec<String>,
    },
    #[error("{file} has two columns `{column}`: rename one")]
    DuplicateColumn { file: String, column: String },
    #[error(
        "{file}: {set_aside} of {rows} rows are unusable, more than {MAX_SET_ASIDE_PERCENT}%; the first is {first}: correct them, or set dataset.columns to other columns"
    )]
    TooManySetAside {
        file: String,
        set_aside: usize,
        /// Of the file.
        rows: usize,
        /// Its position and the reason.
        first: String,
    },
    #[error("{file}: duplicate id `{id}` at {first} and {second}: rename or remove one")]
    DuplicateId { file: String, id: String, first: Position, second: Position },
}

fn suggestion(column: &str, found: &[String]) -> String {
    similar(column, found).map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

/// The most similar name, if one is similar enough for a typo.
pub(super) fn similar<'n>(column: &str, found: &'n [String]) -> Option<&'n str> {
    let similarity =
        |name: &str| strsim::jaro_winkler(&column.to_lowercase(), &name.trim().to_lowercase());
    found
        .iter()
        .map(|name| (similarity(name), name))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.as_str())
}
