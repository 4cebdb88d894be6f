//! JSON Lines, or a JSON array of objects -> rows. The first character decides, not the extension:
//! pandas and `datasets` write JSON Lines to .json files.

use super::columns::Columns;
use super::error::Error;
use super::position::Position;
use super::rows::{Row, Table, Value};
use serde_json::{Map, Value as Json};
use std::collections::HashSet;

const LINES: &str = "expected one object per line, or an array of objects";
const ARRAY: &str = "expected an array of objects, or one object per line";

type Items = Vec<(Position, Map<String, Json>)>;

pub(super) fn rows(file: &str, text: &str, columns: &Columns) -> Result<Table, Error> {
    let items = match text.trim_start().as_bytes().first() {
        None => return Err(Error::Empty { file: file.to_owned() }),
        Some(b'[') => array(file, text)?,
        Some(_) => lines(file, text)?,
    };
    if let [(_, only)] = &items[..]
        && !only.contains_key(&columns.dialogue)
        && only.values().any(Json::is_array)
    {
        let (file, expected) = (file.to_owned(), "an array of objects, or one object per line");
        return Err(Error::Shape { file, position: Position::File, expected, found: "an object" });
    }
    let Some((first, _)) = items.first() else {
        return Err(Error::Empty { file: file.to_owned() });
    };
    let names = names(&items);
    let at = columns.find(file, *first, &names)?;
    let row = |(position, mut object): (Position, Map<String, Json>)| {
        let mut take = |at: usize| field(&mut object, &names[at]);
        Row {
            position,
            id: at.id.map_or(Value::Null, &mut take),
            dialogue: take(at.dialogue),
            summary: at.summary.map_or(Value::Null, take),
        }
    };
    let rows = items.into_iter().map(row).collect();
    Ok(Table { rows, notes: Vec::new(), columns: names, has_ids: at.id.is_some() })
}

/// Blank lines are skipped.
fn lines(file: &str, text: &str) -> Result<Items, Error> {
    let mut items = Items::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let position = Position::Line(number);
        match serde_json::from_str(line) {
            Ok(value) => items.push((position, object(file, position, value)?)),
            // An object on several lines.
            Err(source) if items.is_empty() && source.is_eof() => return documents(file, text),
            Err(source) => return Err(invalid(file, position, LINES, source)),
        }
    }
    Ok(items)
}

/// Objects one after the other, each on any number of lines.
fn documents(file: &str, text: &str) -> Result<Items, Error> {
    let mut items = Items::new();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Json>();
    let (mut line, mut counted) = (1, 0);
    loop {
        let rest = &text[values.byte_offset()..];
        let start = text.len() - rest.trim_start().len();
        line += text[counted..start].bytes().filter(|byte| *byte == b'\n').count() as u64;
        counted = start;
        let Some(value) = values.next() else { return Ok(items) };
        let position = Position::Line(line);
        let value = value.map_err(|source| {
            let position = Position::Line(source.line() as u64);
            invalid(file, position, LINES, source)
        })?;
        items.push((position, object(file, position, value)?));
    }
}

fn array(file: &str, text: &str) -> Result<Items, Error> {
    let values: Vec<Json> = serde_json::from_str(text).map_err(|source| {
        let position = Position::Line(source.line() as u64);
        invalid(file, position, ARRAY, source)
    })?;
    let item = |(number, value)| {
        let position = Position::Item(number);
        Ok((position, object(file, position, value)?))
    };
    (1..).zip(values).map(item).collect()
}

fn invalid(file: &str, position: Position, hint: &'static str, source: serde_json::Error) -> Error {
    Error::Json { file: file.to_owned(), position, hint, source }
}

fn object(file: &str, position: Position, value: Json) -> Result<Map<String, Json>, Error> {
    let Json::Object(object) = value else {
        let (file, expected) = (file.to_owned(), "an object with columns as keys");
        return Err(Error::Shape { file, position, expected, found: kind(&value) });
    };
    Ok(object)
}

/// The keys of all objects, in the order of their first appearance: writers omit a key whose value
/// is missing.
fn names(items: &Items) -> Vec<String> {
    let mut seen = HashSet::new();
    let keys = items.iter().flat_map(|(_, object)| object.keys());
    keys.filter(|key| seen.insert(*key)).cloned().collect()
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
