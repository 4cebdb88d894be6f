//! Recorded traces -> arrival times and lengths.
//!
//! | form | file |
//! | --- | --- |
//! | `csv` | a column `timestamp`, optionally `input_tokens`, `input_characters` and `output_tokens` |
//! | `jsonl` | the same keys, an object on each line |
//! | `azure` | Azure's LLM inference traces: `TIMESTAMP,ContextTokens,GeneratedTokens` |
//! | `burstgpt` | `Timestamp` in seconds, `Request tokens`, `Response tokens` |
//! | `mooncake` | JSON Lines: `timestamp` in milliseconds, `input_length`, `output_length` |
//! | `sagemaker` | files of SageMaker Data Capture: `eventMetadata.inferenceTime` |

use super::time::{self, Time};
use csv::ByteRecord;
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    Jsonl,
    Azure,
    BurstGpt,
    Mooncake,
    SageMaker,
}

impl Format {
    pub const WORDS: &[(&'static str, Self)] = &[
        ("csv", Self::Csv),
        ("jsonl", Self::Jsonl),
        ("azure", Self::Azure),
        ("burstgpt", Self::BurstGpt),
        ("mooncake", Self::Mooncake),
        ("sagemaker", Self::SageMaker),
    ];

    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, format)| *format == self).map_or("", |(word, _)| word)
    }
}

/// A recorded trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    pub format: Format,
    /// Seconds from the first request, never decreasing.
    pub arrivals_s: Vec<f64>,
    /// Of the first request, in seconds since 1970; `None` if the times are relative.
    pub start_s: Option<f64>,
    /// By request; empty if the trace has none.
    pub input_tokens: Vec<u32>,
    /// Of prompts, by request; empty if the trace has none.
    pub input_characters: Vec<u32>,
    /// By request; empty if the trace has none.
    pub output_tokens: Vec<u32>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("{name}: line {line}: {what}")]
    Row { name: String, line: u64, what: String },
    #[error("{name} has no requests: expected a row for each request")]
    Empty { name: String },
    #[error("{name}: all {requests} requests have the same time, so they have no rate")]
    NoSpan { name: String, requests: usize },
    #[error("{name}: line 1: {what}")]
    Header { name: String, what: String },
}

impl Trace {
    /// Reads a trace; `name` is how errors refer to it.
    ///
    /// # Errors
    /// The first row that is broken or earlier than its predecessor, with its line; a trace without requests or without
    /// a span of time.
    pub fn read(name: &str, bytes: &[u8], format: Option<Format>) -> Result<Self, Error> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let first = bytes.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
        let Some(first) = first else { return Err(Error::Empty { name: name.to_owned() }) };
        let format = format.unwrap_or_else(|| detect(first));
        let mut rows = Rows { name, last_s: 0.0, zero: None, trace: Self::empty(format) };
        match format {
            Format::Csv | Format::Azure | Format::BurstGpt => read_csv(bytes, &mut rows)?,
            Format::Jsonl | Format::Mooncake | Format::SageMaker => read_lines(bytes, &mut rows)?,
        }
        rows.finish()
    }

    fn empty(format: Format) -> Self {
        Self {
            format,
            arrivals_s: Vec::new(),
            start_s: None,
            input_tokens: Vec::new(),
            input_characters: Vec::new(),
            output_tokens: Vec::new(),
        }
    }

    /// From the first request to the last one, in seconds.
    pub fn span_s(&self) -> f64 {
        self.arrivals_s.last().copied().unwrap_or_default()
    }

    /// 1 if all times are whole seconds, else 0: how far apart requests of equal times may have been.
    pub fn resolution_s(&self) -> f64 {
        let is_whole = self.arrivals_s.iter().all(|at| at.fract() == 0.0);
        f64::from(u8::from(is_whole))
    }
}

fn detect(first: &[u8]) -> Format {
    let text = String::from_utf8_lossy(first).to_lowercase();
    let has = |part: &str| text.contains(part);
    if text.trim_start().starts_with('{') {
        return match () {
            () if has("\"eventmetadata\"") => Format::SageMaker,
            () if has("\"input_length\"") => Format::Mooncake,
            () => Format::Jsonl,
        };
    }
    match () {
        () if has("contexttokens") => Format::Azure,
        () if has("request tokens") => Format::BurstGpt,
        () => Format::Csv,
    }
}

/// One request as its row states it.
struct Row {
    time: Time,
    input_tokens: Option<u32>,
    input_characters: Option<u32>,
    output_tokens: Option<u32>,
}

/// The rows so far.
struct Rows<'a> {
    name: &'a str,
    last_s: f64,
    zero: Option<Time>,
    trace: Trace,
}

impl Rows<'_> {
    fn error(&self, line: u64, what: String) -> Error {
        Error::Row { name: self.name.to_owned(), line, what }
    }

    fn add(&mut self, line: u64, row: &Row) -> Result<(), Error> {
        let (zero_s, at_s) = match (self.zero, row.time) {
            (None, time @ (Time::Absolute(at) | Time::Relative(at))) => {
                self.zero = Some(time);
                (at, at)
            }
            (Some(Time::Absolute(zero)), Time::Absolute(at))
            | (Some(Time::Relative(zero)), Time::Relative(at)) => (zero, at),
            _ => {
                let what = "dates and relative times are mixed: expected one of them";
                return Err(self.error(line, what.to_owned()));
            }
        };
        let at_s = at_s - zero_s;
        if at_s < self.last_s {
            let back = self.last_s - at_s;
            let what = format!("goes back in time by {back:.6} s: expected rows sorted by time");
            return Err(self.error(line, what));
        }
        self.last_s = at_s;
        let count = self.trace.arrivals_s.len();
        self.trace.arrivals_s.push(at_s);
        let lengths = [
            (row.input_tokens, &mut self.trace.input_tokens, "input tokens"),
            (row.input_characters, &mut self.trace.input_characters, "input characters"),
            (row.output_tokens, &mut self.trace.output_tokens, "output tokens"),
        ];
        for (length, lengths, which) in lengths {
            match length {
                Some(length) if lengths.len() == count => lengths.push(length),
                None if lengths.is_empty() => {}
                _ => {
                    let what = format!("only some rows have {which}: expected all or none");
                    let name = self.name.to_owned();
                    return Err(Error::Row { name, line, what });
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Trace, Error> {
        let name = self.name.to_owned();
        let Some(zero) = self.zero else { return Err(Error::Empty { name }) };
        if self.trace.span_s() <= 0.0 {
            return Err(Error::NoSpan { name, requests: self.trace.arrivals_s.len() });
        }
        if let Time::Absolute(start) = zero {
            self.trace.start_s = Some(start);
        }
        Ok(self.trace)
    }
}

/// The columns of a CSV file.
struct Columns {
    time: usize,
    input: Option<usize>,
    characters: Option<usize>,
    output: Option<usize>,
}

impl Columns {
    fn of(format: Format, header: &ByteRecord) -> Result<Self, String> {
        let names: Vec<String> =
            header.iter().map(|name| String::from_utf8_lossy(name).trim().to_lowercase()).collect();
        let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
        let (input, output): (&[&str], &[&str]) = match format {
            Format::Azure => (&["contexttokens"], &["generatedtokens"]),
            Format::BurstGpt => (&["request tokens"], &["response tokens"]),
            _ => (&["input_tokens", "prompt_tokens"], &["output_tokens"]),
        };
        let Some(time) = find(&["timestamp"]) else {
            let found = names.iter().take(8).map(|name| format!("`{}`", name.escape_debug()));
            let found = found.collect::<Vec<_>>().join(", ");
            return Err(format!("expected a header with a column `timestamp`, found {found}"));
        };
        let characters = match format {
            Format::Csv => find(&["input_characters", "prompt_characters"]),
            _ => None,
        };
        Ok(Self { time, input: find(input), characters, output: find(output) })
    }
}

fn read_csv(bytes: &[u8], rows: &mut Rows<'_>) -> Result<(), Error> {
    let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
    let header = reader.byte_headers().cloned().map_err(|error| broken_csv(rows, &error))?;
    let columns = Columns::of(rows.trace.format, &header)
        .map_err(|what| Error::Header { name: rows.name.to_owned(), what })?;
    let mut record = ByteRecord::new();
    loop {
        let more =
            reader.read_byte_record(&mut record).map_err(|error| broken_csv(rows, &error))?;
        if !more {
            return Ok(());
        }
        let line = record.position().map_or(0, csv::Position::line);
        let row = columns.row(&record).map_err(|what| rows.error(line, what))?;
        rows.add(line, &row)?;
    }
}

fn broken_csv(rows: &Rows<'_>, error: &csv::Error) -> Error {
    let line = error.position().map_or(1, csv::Position::line);
    let what = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("expected {expected_len} fields as in the header, found {len}")
        }
        _ => error.to_string(),
    };
    rows.error(line, what)
}

impl Columns {
    fn row(&self, record: &ByteRecord) -> Result<Row, String> {
        let field = |column: usize| record.get(column).unwrap_or_default();
        let length = |column: Option<usize>, unit: &str| {
            let Some(column) = column else { return Ok(None) };
            let text = field(column).trim_ascii();
            let number = std::str::from_utf8(text).ok().and_then(|text| {
                text.parse::<u32>().ok().or_else(|| whole(text.parse::<f64>().ok()?))
            });
            number.map(Some).ok_or_else(|| {
                let found = String::from_utf8_lossy(&text[..text.len().min(40)]);
                format!("expected a number of {unit}, found `{}`", found.escape_debug())
            })
        };
        Ok(Row {
            time: time::parse(field(self.time))?,
            input_tokens: length(self.input, "tokens")?,
            input_characters: length(self.characters, "characters")?,
            output_tokens: length(self.output, "tokens")?,
        })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn whole(number: f64) -> Option<u32> {
    (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number))
        .then_some(number as u32)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Timestamp<'a> {
    Number(f64),
    #[serde(borrow)]
    Text(std::borrow::Cow<'a, str>),
}

impl Timestamp<'_> {
    fn time(&self) -> Result<Time, String> {
        match self {
            Self::Number(number) => time::seconds(*number),
            Self::Text(text) => time::parse(text.as_bytes()),
        }
    }
}

#[derive(Deserialize)]
struct Plain<'a> {
    #[serde(borrow)]
    timestamp: Timestamp<'a>,
    #[serde(alias = "prompt_tokens")]
    input_tokens: Option<u32>,
    #[serde(alias = "prompt_characters")]
    input_characters: Option<u32>,
    output_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct Mooncake {
    timestamp: f64,
    input_length: u32,
    output_length: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Captured<'a> {
    #[serde(borrow)]
    event_metadata: EventMetadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventMetadata<'a> {
    #[serde(borrow)]
    inference_time: std::borrow::Cow<'a, str>,
}

fn read_lines(bytes: &[u8], rows: &mut Rows<'_>) -> Result<(), Error> {
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let row = of_json(rows.trace.format, text).map_err(|what| rows.error(line, what))?;
        rows.add(line, &row)?;
    }
    Ok(())
}

fn of_json(format: Format, text: &[u8]) -> Result<Row, String> {
    // Its position within the line; the line is counted here.
    let broken = |error: serde_json::Error| {
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default().to_owned();
        if error.is_data() { what } else { format!("not JSON: {what}") }
    };
    Ok(match format {
        Format::Mooncake => {
            let row: Mooncake = serde_json::from_slice(text).map_err(broken)?;
            Row {
                time: time::seconds(row.timestamp / 1000.0)?,
                input_tokens: Some(row.input_length),
                input_characters: None,
                output_tokens: Some(row.output_length),
            }
        }
        Format::SageMaker => {
            let row: Captured<'_> = serde_json::from_slice(text).map_err(broken)?;
            let time = time::parse(row.event_metadata.inference_time.as_bytes())?;
            Row { time, input_tokens: None, input_characters: None, output_tokens: None }
        }
        _ => {
            let row: Plain<'_> = serde_json::from_slice(text).map_err(broken)?;
            Row {
                time: row.timestamp.time()?,
                input_tokens: row.input_tokens,
                input_characters: row.input_characters,
                output_tokens: row.output_tokens,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Trace, String> {
        Trace::read("t", text.as_bytes(), None).map_err(|error| error.to_string())
    }

    #[test]
    fn every_public_form_is_recognized() {
        let azure = read("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n").unwrap();
        assert_eq!(azure.format, Format::Azure);
        assert!((azure.span_s() - 4.314_579).abs() < 1e-6);
        assert_eq!((azure.input_tokens[1], azure.output_tokens[1]), (396, 109));
        let burst = read("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,230,1317,Conversation log\n").unwrap();
        assert_eq!((burst.format, burst.span_s()), (Format::BurstGpt, 40.0));
        assert_eq!((burst.start_s, burst.resolution_s()), (None, 1.0));
        let mooncake = read("{\"timestamp\": 27482, \"input_length\": 6955, \"output_length\": 52, \"hash_ids\": [46, 47]}\n{\"timestamp\": 30535, \"input_length\": 6472, \"output_length\": 26, \"hash_ids\": []}\n").unwrap();
        assert_eq!(mooncake.format, Format::Mooncake);
        assert!((mooncake.span_s() - 3.053).abs() < 1e-9);
        let line = |time: &str| {
            format!(
                r#"{{"captureData":{{"endpointInput":{{"observedContentType":"application/json","mode":"INPUT","data":"{{\"inputs\": \"a\"}}","encoding":"JSON"}}}},"eventMetadata":{{"eventId":"7c","inferenceTime":"{time}"}},"eventVersion":"0"}}"#
            )
        };
        let captured =
            read(&[line("2026-03-01T10:00:00Z"), line("2026-03-01T10:00:07Z")].join("\n")).unwrap();
        assert_eq!((captured.format, captured.span_s()), (Format::SageMaker, 7.0));
        assert!(captured.input_tokens.is_empty());
        let plain = read("\u{feff}id,timestamp,input_tokens\na,0.5,12\nb,2,7\n").unwrap();
        assert_eq!((plain.format, plain.arrivals_s), (Format::Csv, vec![0.0, 1.5]));
        let lines = read("{\"timestamp\": 1.5}\n\n{\"timestamp\": \"4\"}").unwrap();
        assert_eq!((lines.format, lines.span_s()), (Format::Jsonl, 2.5));
    }

    #[test]
    fn a_broken_row_is_an_error_with_its_line() {
        let wrong = |text: &str| read(text).unwrap_err();
        assert_eq!(
            wrong("timestamp\n1\n2\nnoon\n"),
            "t: line 4: expected a time (seconds, or such as 2026-11-23T08:45:00Z), found `noon`"
        );
        assert_eq!(
            wrong("timestamp,input_tokens\n1,5\n2\n"),
            "t: line 3: expected 2 fields as in the header, found 1"
        );
        assert_eq!(
            wrong("timestamp,input_tokens\n1,5\n2,many\n"),
            "t: line 3: expected a number of tokens, found `many`"
        );
        assert_eq!(
            wrong("{\"timestamp\": 1}\n{\"timestamp\": 2\n"),
            "t: line 2: not JSON: EOF while parsing an object"
        );
        assert_eq!(
            wrong("{\"timestamp\": 1}\n{\"time\": 2}\n"),
            "t: line 2: missing field `timestamp`"
        );
        assert_eq!(
            wrong("timestamp\n5\n7\n6.5\n"),
            "t: line 4: goes back in time by 0.500000 s: expected rows sorted by time"
        );
        assert_eq!(
            wrong("timestamp\n5\n2026-11-23T08:45:00Z\n"),
            "t: line 3: dates and relative times are mixed: expected one of them"
        );
        assert_eq!(
            wrong("when,what\n1,2\n"),
            "t: line 1: expected a header with a column `timestamp`, found `when`, `what`"
        );
        assert_eq!(
            wrong("{\"timestamp\": 1, \"input_tokens\": 3}\n{\"timestamp\": 2}\n"),
            "t: line 2: only some rows have input tokens: expected all or none"
        );
    }

    #[test]
    fn a_trace_without_a_rate_is_an_error() {
        assert_eq!(read(" \n").unwrap_err(), "t has no requests: expected a row for each request");
        assert_eq!(
            read("timestamp\n").unwrap_err(),
            "t has no requests: expected a row for each request"
        );
        assert_eq!(
            read("timestamp\n3\n3\n").unwrap_err(),
            "t: all 2 requests have the same time, so they have no rate"
        );
    }
}
