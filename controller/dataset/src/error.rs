//! What can be wrong with data, each with its place and the way out.

use super::rows::Place;
use model::ids;
use std::io;

/// Why dialogues can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source is neither a known word nor a file with a known ending.
    #[error(
        "can't tell what kind of data \"{text}\" is: name a .jsonl, .json, .csv or .parquet file, hf://owner/name, s3://bucket/key or builtin:dialogues"
    )]
    UnknownSource {
        /// As the matrix has it.
        text: String,
    },
    /// A `builtin:` word that doesn't exist.
    #[error(
        "there is no \"{text}\": builtin:dialogues is the only data that comes with the program"
    )]
    UnknownBuiltin {
        /// As the matrix has it.
        text: String,
    },
    /// It can't be fetched.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// Asked for as if it were on this machine.
    #[error("{address} is not on this machine")]
    Elsewhere {
        /// As the matrix has it.
        address: String,
    },
    /// Nothing there is data.
    #[error("{place} has no .csv, .parquet, .jsonl or .json file")]
    NoDataFiles {
        /// A repository, or a bucket with a prefix.
        place: String,
    },
    /// It has several splits, and none was named.
    #[error("{place} has several splits: set dataset.split to one of {}", splits.join(", "))]
    WhichSplit {
        /// As above.
        place: String,
        /// Those that are there.
        splits: Vec<String>,
    },
    /// The named split isn't there.
    #[error("{place} has no split \"{split}\"{}: or name one file of it", if splits.is_empty() {
        String::new()
    } else {
        format!(": set dataset.split to one of {}", splits.join(", "))
    })]
    NoSplit {
        /// As above.
        place: String,
        /// As the matrix has it.
        split: String,
        /// Those that are there.
        splits: Vec<String>,
    },
    /// Several files could be meant.
    #[error("{place} has several files that could be meant: name one, as in {place}/{}; found: {}", files[0], files.join(", "))]
    WhichFile {
        /// As above.
        place: String,
        /// Those.
        files: Vec<String>,
    },
    /// One id in two files of a split.
    #[error("the id \"{id}\" stands in {first} and again in {second}: ids must be unique")]
    IdInTwoFiles {
        /// The id.
        id: String,
        /// Where it stands first.
        first: String,
        /// Where it stands again.
        second: String,
    },
    /// Missing, forbidden, a folder.
    #[error(
        "can't read the data file {file}: check its path (a relative one starts at the matrix) and its permissions"
    )]
    Unreadable {
        /// Its path.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Not one dialogue.
    #[error("{file} holds no dialogues: give a file with at least one")]
    Empty {
        /// Its path.
        file: String,
    },
    /// Latin-1, UTF-16, a binary file.
    #[error(
        "{file} is not UTF-8 at byte {at} (line {line}): convert it, for example with `iconv -t utf-8`"
    )]
    NotUtf8 {
        /// Its path.
        file: String,
        /// Offset of the first wrong byte.
        at: usize,
        /// The line that holds it, from 1.
        line: usize,
    },
    /// A line or a file that isn't JSON.
    #[error("{file}, {place}: broken JSON: {hint}")]
    Json {
        /// Its path.
        file: String,
        /// Where, as far as is known.
        place: Place,
        /// The way out.
        hint: &'static str,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// JSON of another shape than rows with columns.
    #[error("{file}, {place}: expected {expected}, found {found}")]
    Shape {
        /// Its path.
        file: String,
        /// Where.
        place: Place,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A record with more or fewer fields than the header.
    #[error(
        "{file}, {place}: {found} fields, but the header has {expected}: quote fields that hold commas or line breaks"
    )]
    Fields {
        /// Its path.
        file: String,
        /// Which record.
        place: Place,
        /// Of the header.
        expected: u64,
        /// Of the record.
        found: u64,
    },
    /// A quoted field that never ends would swallow the rest of the file.
    #[error(
        "{file}, {place}: the quote that opens here is never closed: close it, or double quotes inside a field"
    )]
    OpenQuote {
        /// Its path.
        file: String,
        /// Where it opens.
        place: Place,
    },
    /// The CSV parser gave up for another reason.
    #[error("{file} can't be read as CSV: check that it is one")]
    Csv {
        /// Its path.
        file: String,
        /// What the parser said.
        source: ::csv::Error,
    },
    /// Broken, cut off, or packed in a way that isn't read here.
    #[error(
        "{file} can't be read as Parquet: check that it is whole, and write it with snappy or no compression"
    )]
    Parquet {
        /// Its path.
        file: String,
        /// What the reader said.
        source: ::parquet::errors::ParquetError,
    },
    /// A column that the matrix or its defaults name isn't there.
    #[error("{file}, {place}: no column \"{column}\" for the {role}{}; found: {}: set dataset.columns.{role}", suggestion(column, found), found.join(", "))]
    MissingColumn {
        /// Its path.
        file: String,
        /// The header, or the row that lacks it.
        place: Place,
        /// What it is needed for: `id`, `dialogue`, `summary`.
        role: &'static str,
        /// Its name.
        column: String,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// Two columns of one name.
    #[error("{file} has two columns \"{column}\": rename one of them")]
    DuplicateColumn {
        /// Its path.
        file: String,
        /// Their name.
        column: String,
    },
    /// A number where text belongs, a list, null.
    #[error("{file}, {place}, column \"{column}\": expected {expected}, found {found}")]
    WrongType {
        /// Its path.
        file: String,
        /// Which row.
        place: Place,
        /// Which column.
        column: String,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// Nothing to summarize.
    #[error(
        "{file}, {place}, column \"{column}\": the dialogue is empty: fill it or remove the row"
    )]
    EmptyDialogue {
        /// Its path.
        file: String,
        /// Which row.
        place: Place,
        /// Which column.
        column: String,
    },
    /// An id that can't be one.
    #[error(
        "{file}, {place}, column \"{column}\": the id can't be used: give each dialogue a short unique one"
    )]
    Id {
        /// Its path.
        file: String,
        /// Which row.
        place: Place,
        /// Which column.
        column: String,
        /// Why.
        source: ids::Error,
    },
    /// Two dialogues of one id.
    #[error(
        "{file}: the id \"{id}\" stands at {first} and again at {second}: ids must be unique, so rename or remove one"
    )]
    DuplicateId {
        /// Its path.
        file: String,
        /// The id.
        id: String,
        /// Where it stands first.
        first: Place,
        /// Where it stands again.
        second: Place,
    },
}

/// The name that looks most like `column`, if one does.
fn suggestion(column: &str, found: &[String]) -> String {
    let likeness =
        |name: &str| strsim::jaro_winkler(&column.to_lowercase(), &name.trim().to_lowercase());
    found
        .iter()
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, name)| format!(" (did you mean \"{name}\"?)"))
}
