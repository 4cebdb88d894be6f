//! A samples file -> rows, as a comparison needs them. Columns are found by name, so that files with further
//! columns are read, too.

use ::parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use ::parquet::data_type::{BoolType, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use bytes::Bytes;
use stats::Observation;
use stats::quality::Rouge;
use std::collections::HashMap;

/// A counted sample. Its host and its dialogue are indices into the names of [`SamplesRead`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRead {
    /// Index into [`SamplesRead::cells`].
    pub cell: u32,
    pub observation: Observation,
    /// Null without a reference.
    pub rouge: Option<Rouge>,
}

/// The samples of a file that count, and the names that they refer to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SamplesRead {
    pub cells: Vec<String>,
    pub sample_ids: Vec<String>,
    pub hosts: Vec<String>,
    pub samples: Vec<SampleRead>,
    /// How many rows the file holds, late samples included.
    pub rows: u64,
}

/// Reads a samples file.
pub fn read(bytes: Bytes) -> Result<SamplesRead, ParquetError> {
    let file = SerializedFileReader::new(bytes)?;
    let (mut read, mut names) = (SamplesRead::default(), Names::default());
    for group in 0..file.num_row_groups() {
        read_group(&*file.get_row_group(group)?, &mut read, &mut names)?;
    }
    [read.cells, read.sample_ids, read.hosts] =
        [names.cells, names.sample_ids, names.hosts].map(Table::into_names);
    Ok(read)
}

#[derive(Default)]
struct Names {
    cells: Table,
    sample_ids: Table,
    hosts: Table,
}

/// Names and their numbers, in the order in which they came.
#[derive(Default)]
struct Table(HashMap<String, u32>);

impl Table {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.0.get(name) {
            return number;
        }
        let number = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.insert(name.to_owned(), number);
        number
    }

    fn into_names(self) -> Vec<String> {
        let mut names: Vec<_> = self.0.into_iter().collect();
        names.sort_unstable_by_key(|(_, number)| *number);
        names.into_iter().map(|(name, _)| name).collect()
    }
}

fn read_group(
    group: &dyn RowGroupReader,
    read: &mut SamplesRead,
    names: &mut Names,
) -> Result<(), ParquetError> {
    let text = |name| required::<ByteArrayType>(group, name);
    let int = |name| required::<Int32Type>(group, name);
    let long = |name| required::<Int64Type>(group, name);
    let score = |name| optional::<DoubleType>(group, name);
    let (cells, ids, hosts) = (text("cell")?, text("sample_id")?, text("host")?);
    let (runs, segments, batches) = (int("run")?, int("segment")?, int("batch")?);
    let (starts, latencies) = (long("start_ns")?, long("latency_ns")?);
    let ttfts = optional::<Int64Type>(group, "ttft_ns")?.unwrap_or_default();
    let tokens = |name| optional::<Int32Type>(group, name)?.ok_or_else(|| missing(name));
    let (inputs, outputs) = (tokens("input_tokens")?, tokens("output_tokens")?);
    let part =
        |name| Ok::<_, ParquetError>(optional::<Int64Type>(group, name)?.unwrap_or_default());
    let (exchanges, servers) = (part("exchange_ns")?, part("server_ns")?);
    let (outcomes, counted) = (text("outcome")?, required::<BoolType>(group, "counted")?);
    let scores = [score("rouge1")?, score("rouge2")?, score("rougeL")?];
    read.rows += counted.len() as u64;
    for row in (0..counted.len()).filter(|&row| counted[row]) {
        let rouge = |place: usize| scores[place].as_ref().and_then(|column| column[row]);
        let rouge = (rouge(0).zip(rouge(1)).zip(rouge(2)))
            .map(|((rouge1, rouge2), rouge_l)| Rouge { rouge1, rouge2, rouge_l });
        let observation = Observation {
            run: runs[row].cast_unsigned(),
            host: names.hosts.number(hosts[row].as_utf8()?),
            segment: segments[row].cast_unsigned(),
            batch: batches[row].cast_unsigned(),
            start_ns: starts[row].cast_unsigned(),
            sample: names.sample_ids.number(ids[row].as_utf8()?),
            latency_ns: latencies[row].cast_unsigned(),
            ttft_ns: ttfts.get(row).copied().flatten().map(i64::cast_unsigned),
            network_ns: (exchanges.get(row).copied().flatten())
                .zip(servers.get(row).copied().flatten())
                .map(|(total, server)| total.saturating_sub(server).cast_unsigned()),
            input_tokens: inputs[row].map(i32::cast_unsigned),
            output_tokens: outputs[row].map(i32::cast_unsigned),
            is_ok: matches!(outcomes[row].data(), b"eos" | b"length"),
        };
        let cell = names.cells.number(cells[row].as_utf8()?);
        read.samples.push(SampleRead { cell, observation, rouge });
    }
    Ok(())
}

fn missing(name: &str) -> ParquetError {
    ParquetError::General(format!("the column {name} is missing"))
}

fn required<T: DataType>(
    group: &dyn RowGroupReader,
    name: &str,
) -> Result<Vec<T::T>, ParquetError> {
    let values = optional::<T>(group, name)?.ok_or_else(|| missing(name))?;
    let values: Option<Vec<T::T>> = values.into_iter().collect();
    values.ok_or_else(|| ParquetError::General(format!("the column {name} holds nulls")))
}

/// A column with its nulls; `None` where the file hasn't got it.
fn optional<T: DataType>(
    group: &dyn RowGroupReader,
    name: &str,
) -> Result<Option<Vec<Option<T::T>>>, ParquetError> {
    let metadata = group.metadata();
    let columns = metadata.schema_descr().columns();
    let Some(index) = columns.iter().position(|column| column.name() == name) else {
        return Ok(None);
    };
    if columns[index].physical_type() != T::get_physical_type() {
        return Err(ParquetError::General(format!("the column {name} has another type")));
    }
    let is_optional = columns[index].max_def_level() > 0;
    let rows = usize::try_from(metadata.num_rows()).unwrap_or_default();
    let mut reader: ColumnReaderImpl<T> =
        get_typed_column_reader::<T>(group.get_column_reader(index)?);
    let (mut levels, mut values) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    reader.read_records(rows, is_optional.then_some(&mut levels), None, &mut values)?;
    if !is_optional {
        return Ok(Some(values.into_iter().map(Some).collect()));
    }
    let mut values = values.into_iter();
    Ok(Some(levels.into_iter().map(|level| if level > 0 { values.next() } else { None }).collect()))
}
