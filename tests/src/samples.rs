//! Reads samples.parquet without the product's own code, and checks that no sample is counted twice.

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, RowAccessor};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

/// One measured request.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub cell: String,
    pub target: String,
    pub model: String,
    pub dtype: String,
    pub batch_size: i32,
    pub run: i32,
    pub segment: i32,
    pub sample_id: String,
    pub host: String,
    pub batch: i32,
    pub start_ns: i64,
    pub ttft_ns: Option<i64>,
    pub latency_ns: i64,
    pub output_tokens: i32,
    /// `eos`, `length`, or what failed.
    pub outcome: String,
    pub counted: bool,
}

/// The names of the columns of a Parquet file.
///
/// # Panics
/// If the file is missing or isn't Parquet.
pub fn columns(path: &Path) -> Vec<String> {
    let reader = SerializedFileReader::new(File::open(path).expect("the file exists"));
    let metadata = reader.expect("it is Parquet").metadata().clone();
    let columns = metadata.file_metadata().schema_descr().columns().iter();
    columns.map(|column| column.name().to_owned()).collect()
}

/// Reads all rows.
///
/// # Panics
/// If the file is missing or lacks a column.
pub(crate) fn read(path: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(path).expect("the file of samples exists"));
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
        let (_, ttft) = row.get_column_iter().nth(at("ttft_ns")).expect("a value");
        Row {
            cell: text("cell"),
            target: text("target"),
            model: text("model"),
            dtype: text("dtype"),
            batch_size: int("batch_size"),
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
            counted: row.get_bool(at("counted")).expect("a Boolean"),
        }
    };
    rows.map(row).collect()
}

/// Identifies a sample of a campaign, with the batch that it was decoded in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub cell: String,
    pub run: i32,
    pub sample_id: String,
    pub batch: i32,
}

/// The samples that count.
///
/// # Panics
/// If one of them is counted twice.
pub fn counted(rows: &[Row]) -> BTreeSet<Place> {
    let counted: Vec<&Row> = rows.iter().filter(|row| row.counted).collect();
    let samples: BTreeSet<_> =
        counted.iter().map(|row| (&row.cell, row.run, &row.sample_id)).collect();
    assert_eq!(samples.len(), counted.len(), "a sample is counted twice");
    let place = |row: &&Row| Place {
        cell: row.cell.clone(),
        run: row.run,
        sample_id: row.sample_id.clone(),
        batch: row.batch,
    };
    counted.iter().map(place).collect()
}
