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

pub use columns::Columns;
pub use error::Error;
pub use position::Position;
pub use sample::{outside, sample};
pub use source::{Format, Source};

use fetch::Fetcher;
use model::ids::SampleId;
use ops::{input_file, text};
use rows::Checked;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
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

/// A row that can't be measured: it has no dialogue, or a value of another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    pub file: String,
    pub position: Position,
    /// `None` if it has none.
    pub id: Option<String>,
    pub reason: String,
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_ref().map_or_else(String::new, |id| format!(" (id {id})"));
        write!(f, "{}{id}, {}", self.position, self.reason)
    }
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
    /// At most half of the rows.
    pub set_aside: Vec<SetAside>,
    /// Remarks on the format, the ids and the references.
    pub notes: Vec<String>,
}

impl Dataset {
    fn empty(source: &Source) -> Self {
        Self {
            name: source.to_string(),
            sha256: String::new(),
            revision: None,
            dialogues: Vec::new(),
            set_aside: Vec::new(),
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
        let rows_before = dataset.dialogues.len() + dataset.set_aside.len();
        let part = parse(&file.name, load(&file.path)?, format, columns, rows_before)?;
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
        dataset.set_aside.extend(part.set_aside);
        let is_new = |note: &String| !dataset.notes.contains(note);
        let notes: Vec<String> = part.notes.into_iter().filter(is_new).collect();
        dataset.notes.extend(notes);
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
            parse(&source.to_string(), builtin::DIALOGUES.to_vec(), Format::JsonLines, columns, 0)
        }
        Source::File { path, format } => {
            parse(&path.display().to_string(), load(path)?, *format, columns, 0)
        }
        Source::Hub { .. } | Source::S3(_) => Err(Error::NotLocal { address: source.to_string() }),
    }
}

fn load(path: &Path) -> Result<Vec<u8>, Error> {
    input_file::read(path)
        .map_err(|source| Error::Unreadable { file: path.display().to_string(), source })
}

/// `rows_before` is the number of rows in earlier files of the dataset.
fn parse(
    file: &str,
    bytes: Vec<u8>,
    format: Format,
    columns: &Columns,
    rows_before: usize,
) -> Result<Dataset, Error> {
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let text =
        || text::decode(&bytes).map_err(|source| Error::Text { file: file.to_owned(), source });
    let table = match format {
        Format::JsonLines | Format::Json => json::rows(file, &text()?, columns)?,
        Format::Csv => csv::rows(file, &text()?, columns)?,
        Format::Parquet => parquet::rows(file, bytes, columns)?,
    };
    let Checked { dialogues, set_aside, notes } = rows::check(file, columns, table, rows_before)?;
    Ok(Dataset { name: file.to_owned(), sha256, revision: None, dialogues, set_aside, notes })
}

#[cfg(test)]
mod tests;
