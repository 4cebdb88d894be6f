//! JSON: an object per line, or an array of objects.

use super::columns::Columns;
use super::error::Error;
use super::rows::{Place, Row, Value};
use serde_json::{Map, Value as Json};

/// Reads a file of one object per line; blank lines are passed over.
pub(super) fn lines(file: &str, text: &str, columns: &Columns) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let place = Place::Line(number);
        let value = serde_json::from_str(line).map_err(|source| Error::Json {
            file: file.to_owned(),
            place,
            hint: "each line must be one whole object; an array over several lines belongs into a .json file",
            source,
        })?;
        rows.push(row(file, place, value, columns)?);
    }
    Ok(rows)
}

/// Reads a file that is one array of objects.
pub(super) fn array(file: &str, text: &str, columns: &Columns) -> Result<Vec<Row>, Error> {
    if text.trim().is_empty() {
        return Err(Error::Empty { file: file.to_owned() });
    }
    let value: Json = serde_json::from_str(text).map_err(|source| Error::Json {
        file: file.to_owned(),
        place: Place::Line(source.line() as u64),
        hint: "the file must be one array of objects; objects on lines of their own belong into a .jsonl file",
        source,
    })?;
    let Json::Array(items) = value else {
        let (file, expected) = (file.to_owned(), "an array of objects");
        return Err(Error::Shape { file, place: Place::File, expected, found: kind(&value) });
    };
    (1..).zip(items).map(|(number, item)| row(file, Place::Item(number), item, columns)).collect()
}

fn row(file: &str, place: Place, value: Json, columns: &Columns) -> Result<Row, Error> {
    let Json::Object(mut object) = value else {
        let (file, expected) = (file.to_owned(), "an object with columns as keys");
        return Err(Error::Shape { file, place, expected, found: kind(&value) });
    };
    let names: Vec<String> = object.keys().cloned().collect();
    let at = columns.find(file, place, &names)?;
    let mut take = |at: usize| field(&mut object, &names[at]);
    Ok(Row {
        place,
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
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
