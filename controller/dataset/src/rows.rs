//! Rows of any format -> checked dialogues, and the rows set aside.

use super::columns::Columns;
use super::error::{Error, MAX_SET_ASIDE_PERCENT, similar};
use super::position::Position;
use super::{Dialogue, SetAside};
use model::ids::SampleId;
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

/// The rows of a file.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    /// Remarks on the format.
    pub(super) notes: Vec<String>,
    /// The names of all columns.
    pub(super) columns: Vec<String>,
    /// Otherwise the row numbers are the ids.
    pub(super) has_ids: bool,
}

#[derive(Debug)]
pub(super) struct Checked {
    pub(super) dialogues: Vec<Dialogue>,
    pub(super) set_aside: Vec<SetAside>,
    pub(super) notes: Vec<String>,
}

/// Sets unusable rows aside, and requires unique ids. Rows without an id column are numbered from
/// `rows_before` + 1.
pub(super) fn check(
    file: &str,
    columns: &Columns,
    table: Table,
    rows_before: usize,
) -> Result<Checked, Error> {
    let Table { rows, mut notes, columns: found, has_ids } = table;
    let count = rows.len();
    if !has_ids {
        notes.push(numbered(columns, &found));
    }
    let mut seen: HashMap<SampleId, Position> = HashMap::with_capacity(count);
    let mut dialogues = Vec::with_capacity(count);
    let mut set_aside = Vec::new();
    for (number, mut row) in (rows_before + 1..).zip(rows) {
        let position = row.position;
        if !has_ids {
            row.id = Value::Number(number.to_string());
        }
        let id = match &row.id {
            Value::Text(id) | Value::Number(id) if !id.is_empty() => Some(id.clone()),
            _ => None,
        };
        match dialogue(columns, row) {
            Ok(dialogue) => {
                if let Some(first) = seen.insert(dialogue.id.clone(), position) {
                    let (file, id) = (file.to_owned(), dialogue.id.to_string());
                    return Err(Error::DuplicateId { file, id, first, second: position });
                }
                dialogues.push(dialogue);
            }
            Err(reason) => {
                set_aside.push(SetAside { file: file.to_owned(), position, id, reason });
            }
        }
    }
    if let Some(first) = set_aside.first()
        && set_aside.len() * 100 > count * MAX_SET_ASIDE_PERCENT
    {
        let (file, set_aside, first) = (file.to_owned(), set_aside.len(), first.to_string());
        return Err(Error::TooManySetAside { file, set_aside, rows: count, first });
    }
    if dialogues.is_empty() {
        return Err(Error::Empty { file: file.to_owned() });
    }
    match dialogues.iter().filter(|dialogue| dialogue.summary.is_none()).count() {
        0 => {}
        n if n == dialogues.len() => {
            notes.push("no reference summaries: quality is null".to_owned());
        }
        n => notes.push(format!("{n} of {} dialogues have no reference summary", dialogues.len())),
    }
    Ok(Checked { dialogues, set_aside, notes })
}

fn numbered(columns: &Columns, found: &[String]) -> String {
    let note = format!("no column `{}`: ids are row numbers, from 1", columns.id);
    match similar(&columns.id, found) {
        Some(similar) => format!("{note}; set dataset.columns.id to use `{similar}`"),
        None => note,
    }
}

/// The dialogue of a row, or why the row is unusable.
fn dialogue(columns: &Columns, row: Row) -> Result<Dialogue, String> {
    let dialogue = text(&columns.dialogue, row.dialogue)?
        .ok_or_else(|| format!("column `{}`: the dialogue is empty", columns.dialogue))?;
    let id = id(&columns.id, row.id)?;
    Ok(Dialogue { id, dialogue, summary: text(&columns.summary, row.summary)? })
}

fn id(column: &str, value: Value) -> Result<SampleId, String> {
    match value {
        Value::Text(text) | Value::Number(text) => {
            SampleId::try_from(text).map_err(|error| format!("column `{column}`: {error}"))
        }
        other => Err(wrong_type(column, "a string or a number", &other)),
    }
}

/// `None` if it is missing or blank. Normalizes line breaks to `\n`.
fn text(column: &str, value: Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Text(text) if text.trim().is_empty() => Ok(None),
        Value::Text(text) if text.contains("\r\n") => Ok(Some(text.replace("\r\n", "\n"))),
        Value::Text(text) => Ok(Some(text)),
        other => Err(wrong_type(column, "a string", &other)),
    }
}

fn wrong_type(column: &str, expected: &str, found: &Value) -> String {
    format!("column `{column}`: expected {expected}, found {}", found.kind())
}
