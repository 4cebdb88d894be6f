//! JSON Lines, or a JSON array of objects -> rows.

use super::columns::Columns;
use super::error::Error;
use super::position::Position;
use super::rows::{Row, Value};
use serde_json::{Map, Value as Json};

/// Reads JSON Lines; blank lines are skipped.
pub(super) fn lines(file: &str, text: &str, columns: &Columns) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let position = Position::Line(number);
        let value = serde_json::from_str(line).map_err(|source| Error::Json {
            file: file.to_owned(),
            position,
            hint: "expected one object per line; use .json for an array",
            source,
        })?;
        rows.push(row(file, position, value, columns)?);
    }
    Ok(rows)
}

pub(super) fn array(file: &str, text: &str, columns: &Columns) -> Result<Vec<Row>, Error> {
    if text.trim().is_empty() {
        return Err(Error::Empty { file: file.to_owned() });
    }
    let value: Json = serde_json::from_str(text).map_err(|source| Error::Json {
        file: file.to_owned(),
        position: Position::Line(source.line() as u64),
        hint: "expected one array of objects; use .jsonl for one object per line",
        source,
    })?;
    let Json::Array(items) = value else {
        let (file, expected) = (file.to_owned(), "an array of objects");
        return Err(Error::Shape { file, position: Position::File, expected, found: kind(&value) });
    };
    (1..)
        .zip(items)
        .map(|(number, item)| row(file, Position::Item(number), item, columns))
        .collect()
}

fn row(file: &str, position: Position, value: Json, columns: &Columns) -> Result<Row, Error> {
    let Json::Object(mut object) = value else {
        let (file, expected) = (file.to_owned(), "an object with columns as keys");
        return Err(Error::Shape { file, position, expected, found: kind(&value) });
    };
    let names: Vec<String> = object.keys().cloned().collect();
    let at = columns.find(file, position, &names)?;
    let mut take = |at: usize| field(&mut object, &names[at]);
    Ok(Row {
        position,
        id: take(at.id),
        dialogue: take(at.dialogue),
        summary: at.summary.map_or(Value::Null, take),
    })
}

fn field(object: &mut Map<String, Json>, name: &str) -> Value {
    match object.get_mut(name).map(Json::take) {
        None | Some(Json::Null) => Value::Null,
        Some(Json::String(text)) => Value::Text(text),
        Some(Json::Number(number)) => Value::Number(number.to_string()),
        Some(other) => Value::Other(kind(&other)),
    }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
