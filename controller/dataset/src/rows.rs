//! What the readers of all formats give, and the checks that are the same for all of them.

use super::Dialogue;
use super::columns::Columns;
use super::error::Error;
use model::ids::{self, SampleId};
use std::collections::HashMap;
use std::fmt;

/// Where something stands in a file; everything counts from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// The names of a table's columns.
    Header,
    /// A line of text.
    Line(u64),
    /// An item of a JSON array.
    Item(u64),
    /// A CSV record and the line that it starts on.
    Record {
        /// Not counting the header.
        number: u64,
        /// Records may hold line breaks.
        line: u64,
    },
    /// A row of a Parquet file.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("the file"),
            Self::Header => f.write_str("the header"),
            Self::Line(line) => write!(f, "line {line}"),
            Self::Item(item) => write!(f, "item {item}"),
            Self::Record { number, line } => write!(f, "record {number} (line {line})"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// One field, as far as dialogues care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Text(String),
    /// As the file writes it.
    Number(String),
    /// Anything else, by its name.
    Other(&'static str),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text(_) => "text",
            Self::Number(_) => "a number",
            Self::Other(kind) => kind,
        }
    }
}

/// The fields of one row that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) id: Value,
    pub(super) dialogue: Value,
    pub(super) summary: Value,
}

/// Makes dialogues of rows: ids are unique, dialogues aren't empty, types are right. Notes say what was
/// changed or is missing.
pub(super) fn check(
    file: &str,
    columns: &Columns,
    rows: Vec<Row>,
) -> Result<(Vec<Dialogue>, Vec<String>), Error> {
    let mut seen: HashMap<SampleId, Place> = HashMap::with_capacity(rows.len());
    let mut dialogues = Vec::with_capacity(rows.len());
    let mut without_summary = 0_usize;
    for row in rows {
        let place = row.place;
        let id = id(file, place, &columns.id, row.id)?;
        if let Some(first) = seen.insert(id.clone(), place) {
            let (file, id) = (file.to_owned(), id.to_string());
            return Err(Error::DuplicateId { file, id, first, second: place });
        }
        let dialogue = text(file, place, &columns.dialogue, row.dialogue)?;
        let Some(dialogue) = dialogue.filter(|text| !text.trim().is_empty()) else {
            let (file, column) = (file.to_owned(), columns.dialogue.clone());
            return Err(Error::EmptyDialogue { file, place, column });
        };
        let summary = text(file, place, &columns.summary, row.summary)?
            .filter(|text| !text.trim().is_empty());
        without_summary += usize::from(summary.is_none());
        dialogues.push(Dialogue { id, dialogue, summary });
    }
    if dialogues.is_empty() {
        return Err(Error::Empty { file: file.to_owned() });
    }
    let notes = match without_summary {
        0 => vec![],
        n if n == dialogues.len() => vec!["no reference summaries: quality is null".to_owned()],
        n => vec![format!("{n} of {} dialogues have no reference summary", dialogues.len())],
    };
    Ok((dialogues, notes))
}

fn id(file: &str, place: Place, column: &str, value: Value) -> Result<SampleId, Error> {
    let (file, column) = (file.to_owned(), column.to_owned());
    match value {
        Value::Text(text) | Value::Number(text) => SampleId::try_from(text)
            .map_err(|source: ids::Error| Error::Id { file, place, column, source }),
        other => {
            let (expected, found) = ("text or a number", other.kind());
            Err(Error::WrongType { file, place, column, expected, found })
        }
    }
}

/// Text with `\n` for line breaks; null stays null.
fn text(file: &str, place: Place, column: &str, value: Value) -> Result<Option<String>, Error> {
    match value {
        Value::Null => Ok(None),
        Value::Text(text) if text.contains("\r\n") => Ok(Some(text.replace("\r\n", "\n"))),
        Value::Text(text) => Ok(Some(text)),
        other => Err(Error::WrongType {
            file: file.to_owned(),
            place,
            column: column.to_owned(),
            expected: "text",
            found: other.kind(),
        }),
    }
}
