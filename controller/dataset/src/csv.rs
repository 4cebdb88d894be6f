//! CSV with a header -> rows. Quoted fields may contain separators, quotes and line breaks.

use super::columns::Columns;
use super::error::Error;
use super::position::Position;
use super::rows::{Row, Table, Value};
use ::csv::{ErrorKind, ReaderBuilder, StringRecord};

/// What separates fields, most likely first, and the note if it isn't a comma.
const SEPARATORS: [(u8, Option<&str>); 4] = [
    (b',', None),
    (b';', Some("its columns are separated by semicolons")),
    (b'\t', Some("its columns are separated by tabs")),
    (b'|', Some("its columns are separated by vertical bars")),
];

pub(super) fn rows(file: &str, text: &str, columns: &Columns) -> Result<Table, Error> {
    let (separator, note) = separator(text, columns);
    let (text, lines_before) = without_declaration(text);
    if text.trim().is_empty() {
        return Err(Error::Empty { file: file.to_owned() });
    }
    if let Some(line) = open_quote(text, separator) {
        let position = Position::Line(line + lines_before);
        return Err(Error::OpenQuote { file: file.to_owned(), position });
    }
    let error = |source| error(file, lines_before, source);
    let mut reader = ReaderBuilder::new().delimiter(separator).from_reader(text.as_bytes());
    let names = names(reader.headers().map_err(error)?);
    let at = columns.find(file, Position::Header, &names)?;
    let value = |record: &StringRecord, at: usize| match record.get(at) {
        Some(text) => Value::Text(text.to_owned()),
        None => Value::Null,
    };
    let row = |record: Result<StringRecord, _>| {
        let record = record.map_err(error)?;
        let position = record.position();
        Ok(Row {
            position: position.map_or(Position::File, |at| position_of(at, lines_before)),
            id: at.id.map_or(Value::Null, |at| value(&record, at)),
            dialogue: value(&record, at.dialogue),
            summary: at.summary.map_or(Value::Null, |at| value(&record, at)),
        })
    };
    let rows = reader.records().map(row).collect::<Result<_, Error>>()?;
    let notes = note.map(str::to_owned).into_iter().collect();
    Ok(Table { rows, notes, columns: names, has_ids: at.id.is_some() })
}

/// The separator whose header has the dialogues; if none has, the one with the most columns.
fn separator(text: &str, columns: &Columns) -> (u8, Option<&'static str>) {
    let (text, _) = without_declaration(text);
    let header = |separator: u8| {
        let mut reader = ReaderBuilder::new().delimiter(separator).from_reader(text.as_bytes());
        reader.headers().map(names).unwrap_or_default()
    };
    let has_dialogues = |names: &[String]| names.contains(&columns.dialogue);
    let headers = SEPARATORS.map(|(separator, note)| (separator, note, header(separator)));
    // The last maximum wins.
    let chosen = headers.into_iter().rev().max_by_key(|(.., names)| {
        let is_split = names.len() > 1;
        (has_dialogues(names) && is_split, has_dialogues(names), names.len())
    });
    chosen.map_or(SEPARATORS[0], |(separator, note, _)| (separator, note))
}

/// Without Excel's first line `sep=;`, which is not data, and the number of lines removed.
fn without_declaration(text: &str) -> (&str, u64) {
    let rest = text.get(..4).filter(|start| start.eq_ignore_ascii_case("sep="));
    let rest = rest.and_then(|_| text[4..].split_once('\n'));
    match rest {
        Some((separator, rest)) if separator.trim_end_matches('\r').len() == 1 => (rest, 1),
        _ => (text, 0),
    }
}

fn names(header: &StringRecord) -> Vec<String> {
    header.iter().map(str::to_owned).collect()
}

/// The parser counts the header as record 0.
fn position_of(position: &::csv::Position, lines_before: u64) -> Position {
    Position::Record { number: position.record(), line: position.line() + lines_before }
}

fn error(file: &str, lines_before: u64, source: ::csv::Error) -> Error {
    let file = file.to_owned();
    match source.kind() {
        ErrorKind::UnequalLengths { pos: Some(position), expected_len, len } => {
            let position = position_of(position, lines_before);
            Error::Fields { file, position, expected: *expected_len, found: *len }
        }
        _ => Error::Csv { file, source },
    }
}

/// The line of an unclosed quote, which the parser would extend to the end of the file.
fn open_quote(text: &str, separator: u8) -> Option<u64> {
    let (mut line, mut opened, mut at_start) = (1, None, true);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        line += u64::from(byte == b'\n');
        match (opened, byte) {
            (None, b'"') if at_start => opened = Some(line),
            (Some(_), b'"') if bytes.next_if_eq(&b'"').is_none() => opened = None,
            _ => {}
        }
        at_start = opened.is_none() && (byte == separator || matches!(byte, b'\n' | b'\r'));
    }
    opened
}
