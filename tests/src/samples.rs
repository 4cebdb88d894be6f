//! Reads samples.parquet without the product's own code.

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, RowAccessor};
use std::fs::File;
use std::path::Path;

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which cell.
    pub cell: String,
    /// Which round.
    pub run: i32,
    /// Which stretch.
    pub segment: i32,
    /// Which dialogue.
    pub sample_id: String,
    /// On which host.
    pub host: String,
    /// In which batch.
    pub batch: i32,
    /// When it began.
    pub start_ns: i64,
    /// Until its first token.
    pub ttft_ns: Option<i64>,
    /// Until its end.
    pub latency_ns: i64,
    /// Of the summary.
    pub output_tokens: i32,
    /// `eos`, `length`, or what failed.
    pub outcome: String,
    /// Whether it counts.
    pub counted: bool,
}

/// Reads all rows.
///
/// # Panics
/// Where the file isn't there or has other columns.
pub fn read(path: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(path).expect("samples are there"));
    let reader = reader.expect("samples are Parquet");
    let rows = reader.get_row_iter(None).expect("rows can be read");
    let row = |row: Result<parquet::record::Row, _>| {
        let row = row.expect("a row can be read");
        let at = |name: &str| {
            let position = row.get_column_iter().position(|(column, _)| column == name);
            position.unwrap_or_else(|| panic!("no column {name}"))
        };
        let text = |name| row.get_string(at(name)).expect("a text").clone();
        let int = |name| row.get_int(at(name)).expect("a number");
        let long = |name| row.get_long(at(name)).expect("a number");
        let (_, ttft) = row.get_column_iter().nth(at("ttft_ns")).expect("it is there");
        Row {
            cell: text("cell"),
            run: int("run"),
            segment: int("segment"),
            sample_id: text("sample_id"),
            host: text("host"),
            batch: int("batch"),
            start_ns: long("start_ns"),
            ttft_ns: if let Field::Long(ns) = ttft { Some(*ns) } else { None },
            latency_ns: long("latency_ns"),
            output_tokens: int("output_tokens"),
            outcome: text("outcome"),
            counted: row.get_bool(at("counted")).expect("a truth"),
        }
    };
    rows.map(row).collect()
}
