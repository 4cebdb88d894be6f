//! CSV with a header -> rows. Quoted fields may contain commas, quotes and line breaks.

use super::columns::Columns;
use super::error::Error;
use super::position::Position;
use super::rows::{Row, Value};
use ::csv::{ErrorKind, ReaderBuilder, StringRecord};

pub(super) fn rows(file: &str, text: &str, columns: &Columns) -> Result<Vec<Row>, Error> {
    if text.trim().is_empty() {
        return Err(Error::Empty { file: file.to_owned() });
    }
    if let Some(line) = open_quote(text) {
        return Err(Error::OpenQuote { file: file.to_owned(), position: Position::Line(line) });
    }
    let mut reader = ReaderBuilder::new().from_reader(text.as_bytes());
    let header = reader.headers().map_err(|source| error(file, source))?;
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    let at = columns.find(file, Position::Header, &names)?;
    let value = |record: &StringRecord, at: usize| match record.get(at) {
        Some(text) => Value::Text(text.to_owned()),
        None => Value::Null,
    };
    reader
        .records()
        .map(|record| {
            let record = record.map_err(|source| error(file, source))?;
            Ok(Row {
                position: record.position().map_or(Position::File, position_of),
                id: value(&record, at.id),
                dialogue: value(&record, at.dialogue),
                summary: at.summary.map_or(Value::Null, |at| value(&record, at)),
            })
        })
        .collect()
}

/// The parser counts the header as record 0.
fn position_of(position: &::csv::Position) -> Position {
    Position::Record { number: position.record(), line: position.line() }
}

fn error(file: &str, source: ::csv::Error) -> Error {
    let file = file.to_owned();
    match source.kind() {
        ErrorKind::UnequalLengths { pos: Some(position), expected_len, len } => {
            let position = position_of(position);
            Error::Fields { file, position, expected: *expected_len, found: *len }
        }
        _ => Error::Csv { file, source },
    }
}

/// The line of an unclosed quote, which the parser would extend to the end of the file.
fn open_quote(text: &str) -> Option<u64> {
    let (mut line, mut opened, mut at_start) = (1, None, true);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        line += u64::from(byte == b'\n');
        match (opened, byte) {
            (None, b'"') if at_start => opened = Some(line),
            (Some(_), b'"') if bytes.next_if_eq(&b'"').is_none() => opened = None,
            _ => {}
        }
        at_start = opened.is_none() && matches!(byte, b',' | b'\n' | b'\r');
    }
    opened
}
