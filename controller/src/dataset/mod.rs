//! Dialogues to be summarized: from a file or from what the program carries, checked once, as plain values.
//!
//! A [`Source`] and the names of its [`Columns`] come in; a [`Dataset`] goes out, or one [`Error`] that names
//! the file, the place in it and the way out. [`sample()`] and [`outside`] choose by seed and know nothing of
//! files. Nothing here knows of plans, agents or models.

mod builtin;
mod columns;
mod csv;
mod error;
mod json;
mod parquet;
mod rows;
mod sample;
mod source;
mod text;

pub use columns::Columns;
pub use error::Error;
pub use rows::Place;
pub use sample::{outside, sample};
pub use source::{Format, Source};

use proto::ids::SampleId;
use sha2::{Digest, Sha256};
use std::path::Path;

/// One chat, with a summary that a person would write, where the data has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialogue {
    /// Unique within its dataset.
    pub id: SampleId,
    /// Lines of `Name: text`; line breaks are `\n`, whatever the file had.
    pub dialogue: String,
    /// Null where the data has none: then quality is null.
    pub summary: Option<String>,
}

/// All dialogues of a source, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// As the matrix names it.
    pub name: String,
    /// Over the file's bytes.
    pub sha256: String,
    /// At least one.
    pub dialogues: Vec<Dialogue>,
    /// What a reader of the report should know about the data.
    pub notes: Vec<String>,
}

/// Reads all dialogues of `source`.
///
/// # Errors
/// [`Error`], at the first thing that is wrong.
pub fn read(source: &Source, columns: &Columns) -> Result<Dataset, Error> {
    match source {
        Source::Builtin => {
            parse(&source.to_string(), builtin::DIALOGUES.to_vec(), Format::JsonLines, columns)
        }
        Source::File { path, format } => {
            parse(&path.display().to_string(), load(path)?, *format, columns)
        }
        Source::Hub(address) | Source::S3(address) => {
            Err(Error::NotBuilt { address: address.clone() })
        }
    }
}

fn load(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path)
        .map_err(|source| Error::Unreadable { file: path.display().to_string(), source })
}

fn parse(file: &str, bytes: Vec<u8>, format: Format, columns: &Columns) -> Result<Dataset, Error> {
    let sha256 = hexadecimal(&Sha256::digest(&bytes));
    let rows = match format {
        Format::JsonLines => json::lines(file, text::decode(file, &bytes)?, columns)?,
        Format::Json => json::array(file, text::decode(file, &bytes)?, columns)?,
        Format::Csv => csv::rows(file, text::decode(file, &bytes)?, columns)?,
        Format::Parquet => parquet::rows(file, bytes, columns)?,
    };
    let (dialogues, notes) = rows::check(file, columns, rows)?;
    Ok(Dataset { name: file.to_owned(), sha256, dialogues, notes })
}

/// Bytes as hexadecimal digits, as hashes are written.
pub fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
