//! Rows of any format -> checked dialogues.

use super::Dialogue;
use super::columns::Columns;
use super::error::Error;
use super::position::Position;
use model::ids::{self, SampleId};
use std::collections::HashMap;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Text(String),
    /// As in the file.
    Number(String),
    /// The name of another type.
    Other(&'static str),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Other(kind) => kind,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) position: Position,
    pub(super) id: Value,
    pub(super) dialogue: Value,
    pub(super) summary: Value,
}

/// The dialogues, and remarks on missing summaries. Checks types, unique ids and empty dialogues.
pub(super) fn check(
    file: &str,
    columns: &Columns,
    rows: Vec<Row>,
) -> Result<(Vec<Dialogue>, Vec<String>), Error> {
    let mut seen: HashMap<SampleId, Position> = HashMap::with_capacity(rows.len());
    let mut dialogues = Vec::with_capacity(rows.len());
    let mut without_summary = 0_usize;
    for row in rows {
        let position = row.position;
        let id = id(file, position, &columns.id, row.id)?;
        if let Some(first) = seen.insert(id.clone(), position) {
            let (file, id) = (file.to_owned(), id.to_string());
            return Err(Error::DuplicateId { file, id, first, second: position });
        }
        let dialogue = text(file, position, &columns.dialogue, row.dialogue)?;
        let Some(dialogue) = dialogue.filter(|text| !text.trim().is_empty()) else {
            let (file, column) = (file.to_owned(), columns.dialogue.clone());
            return Err(Error::EmptyDialogue { file, position, column });
        };
        let summary = text(file, position, &columns.summary, row.summary)?
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

fn id(file: &str, position: Position, column: &str, value: Value) -> Result<SampleId, Error> {
    let (file, column) = (file.to_owned(), column.to_owned());
    match value {
        Value::Text(text) | Value::Number(text) => SampleId::try_from(text)
            .map_err(|source: ids::Error| Error::Id { file, position, column, source }),
        other => {
            let (expected, found) = ("a string or a number", other.kind());
            Err(Error::WrongType { file, position, column, expected, found })
        }
    }
}

/// Normalizes line breaks to `\n`.
fn text(
    file: &str,
    position: Position,
    column: &str,
    value: Value,
) -> Result<Option<String>, Error> {
    match value {
        Value::Null => Ok(None),
        Value::Text(text) if text.contains("\r\n") => Ok(Some(text.replace("\r\n", "\n"))),
        Value::Text(text) => Ok(Some(text)),
        other => Err(Error::WrongType {
            file: file.to_owned(),
            position,
            column: column.to_owned(),
            expected: "a string",
            found: other.kind(),
        }),
    }
}
