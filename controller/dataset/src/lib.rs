//! A [`Source`] (file, hub, S3 or built in) and its [`Columns`] -> a checked [`Dataset`], or an
//! [`Error`] with the file, the position in it and the remedy.
//!
//! An edge. [`sample()`] and [`outside`] choose dialogues by seed and are pure. Independent of
//! plans, agents and models.

#![forbid(unsafe_code)]

mod builtin;
mod columns;
mod csv;
mod error;
mod hub;
mod json;
mod parquet;
mod position;
mod remote_files;
mod rows;
mod s3;
mod sample;
mod source;
mod split;
mod text;

pub use columns::Columns;
pub use error::Error;
pub use position::Position;
pub use sample::{outside, sample};
pub use source::{Format, Source};

use fetch::Fetcher;
use model::ids::SampleId;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialogue {
    /// Unique in the dataset.
    pub id: SampleId,
    /// Lines of `Name: text`, separated by `\n`.
    pub dialogue: String,
    /// The reference summary; without it, quality is null.
    pub summary: Option<String>,
}

/// All dialogues of a source, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The source as in the matrix.
    pub name: String,
    /// Hash of the file; for several files, of the list of their hashes as printed by `sha256sum`.
    pub sha256: String,
    /// The commit of a hub repository.
    pub revision: Option<String>,
    /// At least one.
    pub dialogues: Vec<Dialogue>,
    /// Remarks for the report.
    pub notes: Vec<String>,
}

impl Dataset {
    fn empty(source: &Source) -> Self {
        Self {
            name: source.to_string(),
            sha256: String::new(),
            revision: None,
            dialogues: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// Reads all dialogues of `source`, downloading remote files. `split` selects files of a repository
/// or prefix.
///
pub async fn fetch(
    source: &Source,
    split: Option<&str>,
    columns: &Columns,
    fetcher: &Fetcher,
) -> Result<Dataset, Error> {
    let fetched = match source {
        Source::Builtin | Source::File { .. } => return read(source, columns),
        Source::Hub { address, .. } => Box::pin(hub::fetch(fetcher, address, split)).await?,
        Source::S3(address) => Box::pin(s3::fetch(fetcher, address, split)).await?,
    };
    let mut dataset = Dataset { revision: fetched.revision, ..Dataset::empty(source) };
    let mut seen = HashMap::new();
    let mut hashes = String::new();
    for file in &fetched.files {
        let format = source::format_of(&file.name)
            .ok_or_else(|| Error::UnknownSource { text: file.name.clone() })?;
        let part = parse(&file.name, load(&file.path)?, format, columns)?;
        for dialogue in &part.dialogues {
            if let Some(first) = seen.insert(dialogue.id.clone(), &file.name) {
                let (id, first, second) =
                    (dialogue.id.to_string(), first.clone(), file.name.clone());
                return Err(Error::IdInTwoFiles { id, first, second });
            }
        }
        hashes.extend([part.sha256.as_str(), "  ", file.name.as_str(), "\n"]);
        dataset.sha256 = part.sha256;
        dataset.dialogues.extend(part.dialogues);
        dataset.notes.extend(part.notes);
    }
    if fetched.files.len() > 1 {
        dataset.sha256 = hex::encode(Sha256::digest(hashes));
    }
    Ok(dataset)
}

/// Reads all dialogues of a local `source`.
///
pub fn read(source: &Source, columns: &Columns) -> Result<Dataset, Error> {
    match source {
        Source::Builtin => {
            parse(&source.to_string(), builtin::DIALOGUES.to_vec(), Format::JsonLines, columns)
        }
        Source::File { path, format } => {
            parse(&path.display().to_string(), load(path)?, *format, columns)
        }
        Source::Hub { .. } | Source::S3(_) => Err(Error::NotLocal { address: source.to_string() }),
    }
}

fn load(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path)
        .map_err(|source| Error::Unreadable { file: path.display().to_string(), source })
}

fn parse(file: &str, bytes: Vec<u8>, format: Format, columns: &Columns) -> Result<Dataset, Error> {
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let rows = match format {
        Format::JsonLines => json::lines(file, text::decode(file, &bytes)?, columns)?,
        Format::Json => json::array(file, text::decode(file, &bytes)?, columns)?,
        Format::Csv => csv::rows(file, text::decode(file, &bytes)?, columns)?,
        Format::Parquet => parquet::rows(file, bytes, columns)?,
    };
    let (dialogues, notes) = rows::check(file, columns, rows)?;
    Ok(Dataset { name: file.to_owned(), sha256, revision: None, dialogues, notes })
}

#[cfg(test)]
mod tests;
