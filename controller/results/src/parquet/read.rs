//! A samples file -> rows, as a comparison needs them. Columns are found by name, so that files with further
//! columns are read, too.

use super::column_reader::{Column, next};
use ::parquet::data_type::{BoolType, ByteArrayType, DoubleType, Int32Type, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, RowGroupReader};
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

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    #[error("it has {found} rows, but its results state {expected}")]
    Rows { found: u64, expected: u64 },
    #[error("its {rows} rows would take more than {MAX_RATIO} times its {bytes} bytes in memory")]
    Dense { rows: u64, bytes: usize },
}

/// So many rows may be read from a file of any size.
const ALWAYS_ROWS: u64 = 1 << 20;
/// Above it, the most that rows may take in memory, in sizes of the file. A measured row takes several bytes in the
/// file, since times hardly repeat; a file made to exhaust memory repeats one row.
const MAX_RATIO: u64 = 100;
/// Rows that are decoded at a time: with all columns they take about 20 MB.
const PART: usize = 1 << 16;

/// Reads a samples file, whose results state its number of `rows`.
///
/// # Errors
/// A file with another number of rows, or whose rows would take more memory than its size warrants, is refused before
/// its columns are read.
pub fn read(bytes: Bytes, rows: u64) -> Result<SamplesRead, Error> {
    let (found, size) = (parquet_check::rows(&bytes)?, bytes.len());
    if found != rows {
        return Err(Error::Rows { found, expected: rows });
    }
    if is_dense(rows, size) {
        return Err(Error::Dense { rows, bytes: size });
    }
    let file = parquet_check::open(bytes)?;
    let (mut read, mut names) = (SamplesRead::default(), Names::default());
    for group in 0..file.num_row_groups() {
        read_group(&*file.get_row_group(group)?, &mut read, &mut names)?;
    }
    [read.cells, read.sample_ids, read.hosts] =
        [names.cells, names.sample_ids, names.hosts].map(Table::into_names);
    Ok(read)
}

/// Whether rows would take more memory than the size of their file warrants.
pub(super) fn is_dense(rows: u64, bytes: usize) -> bool {
    let taken = rows.saturating_mul(size_of::<SampleRead>() as u64);
    rows > ALWAYS_ROWS && taken / MAX_RATIO > bytes as u64
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
    let text = |name| Column::<ByteArrayType>::required(group, name);
    let int = |name| Column::<Int32Type>::required(group, name);
    let long = |name| Column::<Int64Type>::required(group, name);
    let (mut cells, mut ids, mut hosts) = (text("cell")?, text("sample_id")?, text("host")?);
    let (mut runs, mut segments, mut batches) = (int("run")?, int("segment")?, int("batch")?);
    let (mut starts, mut latencies) = (long("start_ns")?, long("latency_ns")?);
    let (mut inputs, mut outputs) = (int("input_tokens")?, int("output_tokens")?);
    let (mut outcomes, mut counted) =
        (text("outcome")?, Column::<BoolType>::required(group, "counted")?);
    let long = |name| Column::<Int64Type>::find(group, name);
    let mut ttfts = long("ttft_ns")?;
    let (mut exchanges, mut servers) = (long("exchange_ns")?, long("server_ns")?);
    let score = |name| Column::<DoubleType>::find(group, name);
    let (mut rouge1, mut rouge2, mut rouge_l) =
        (score("rouge1")?, score("rouge2")?, score("rougeL")?);

    let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
    while left > 0 {
        let rows = left.min(PART);
        left -= rows;
        let (cells, ids, hosts) = (cells.values(rows)?, ids.values(rows)?, hosts.values(rows)?);
        let (runs, segments, batches) =
            (runs.values(rows)?, segments.values(rows)?, batches.values(rows)?);
        let (starts, latencies) = (starts.values(rows)?, latencies.values(rows)?);
        let (inputs, outputs) = (inputs.next(rows)?, outputs.next(rows)?);
        let (outcomes, counted) = (outcomes.values(rows)?, counted.values(rows)?);
        let ttfts = next(&mut ttfts, rows)?;
        let (exchanges, servers) = (next(&mut exchanges, rows)?, next(&mut servers, rows)?);
        let rouge1 = next(&mut rouge1, rows)?;
        let (rouge2, rouge_l) = (next(&mut rouge2, rows)?, next(&mut rouge_l, rows)?);
        read.rows += rows as u64;
        for row in (0..rows).filter(|&row| counted[row]) {
            let rouge = (rouge1[row].zip(rouge2[row]).zip(rouge_l[row]))
                .map(|((rouge1, rouge2), rouge_l)| Rouge { rouge1, rouge2, rouge_l });
            let observation = Observation {
                run: runs[row].cast_unsigned(),
                host: names.hosts.number(hosts[row].as_utf8()?),
                segment: segments[row].cast_unsigned(),
                batch: batches[row].cast_unsigned(),
                start_ns: starts[row].cast_unsigned(),
                sample: names.sample_ids.number(ids[row].as_utf8()?),
                latency_ns: latencies[row].cast_unsigned(),
                ttft_ns: ttfts[row].map(i64::cast_unsigned),
                network_ns: (exchanges[row].zip(servers[row]))
                    .map(|(total, server)| total.saturating_sub(server).cast_unsigned()),
                input_tokens: inputs[row].map(i32::cast_unsigned),
                output_tokens: outputs[row].map(i32::cast_unsigned),
                is_ok: matches!(outcomes[row].data(), b"eos" | b"length"),
            };
            let cell = names.cells.number(cells[row].as_utf8()?);
            read.samples.push(SampleRead { cell, observation, rouge });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::columns::{self, optional, required};
    use ::parquet::data_type::ByteArray;

    const SCHEMA: &str = "message sample { REQUIRED BYTE_ARRAY cell (STRING); REQUIRED INT32 run; \
        REQUIRED INT32 segment; REQUIRED BYTE_ARRAY sample_id (STRING); REQUIRED BYTE_ARRAY host (STRING); \
        REQUIRED INT32 batch; REQUIRED INT64 start_ns; REQUIRED INT64 latency_ns; OPTIONAL INT32 input_tokens; \
        OPTIONAL INT32 output_tokens; REQUIRED BYTE_ARRAY outcome (STRING); REQUIRED BOOLEAN counted; }";

    /// Row groups of so many rows; every third row is late, and every second has no tokens.
    fn file(groups: &[i64]) -> Vec<u8> {
        let mut file = columns::file(SCHEMA, Vec::new()).unwrap();
        let text = |text: &str| ByteArray::from(text);
        for rows in groups {
            let rows: Vec<i64> = (0..*rows).collect();
            let mut group = file.next_row_group().unwrap();
            let int = |row: &i64| i32::try_from(*row).unwrap();
            required::<ByteArrayType, _, _>(&mut group, &rows, |_| text("cell")).unwrap();
            required::<Int32Type, _, _>(&mut group, &rows, |_| 1).unwrap();
            required::<Int32Type, _, _>(&mut group, &rows, |_| 1).unwrap();
            required::<ByteArrayType, _, _>(&mut group, &rows, |_| text("d")).unwrap();
            required::<ByteArrayType, _, _>(&mut group, &rows, |_| text("h")).unwrap();
            required::<Int32Type, _, _>(&mut group, &rows, int).unwrap();
            required::<Int64Type, _, _>(&mut group, &rows, |row| *row).unwrap();
            required::<Int64Type, _, _>(&mut group, &rows, |row| row + 7).unwrap();
            let tokens = |row: &i64| (row % 2 == 0).then(|| int(row));
            optional::<Int32Type, _, _>(&mut group, &rows, tokens).unwrap();
            optional::<Int32Type, _, _>(&mut group, &rows, |_| None).unwrap();
            required::<ByteArrayType, _, _>(&mut group, &rows, |_| text("eos")).unwrap();
            required::<BoolType, _, _>(&mut group, &rows, |row| row % 3 != 0).unwrap();
            group.close().unwrap();
        }
        file.into_inner().unwrap()
    }

    #[test]
    fn rows_of_several_parts_and_groups_are_read_in_order() {
        let large = i64::try_from(PART).unwrap() * 2 + 3;
        let read = read(file(&[large, 0, 4]).into(), large.cast_unsigned() + 4).unwrap();
        let of_group = |rows: i64| (0..rows).filter(|row| row % 3 != 0);
        let expected: Vec<i64> = of_group(large).chain(of_group(4)).collect();
        assert_eq!(read.rows, large.cast_unsigned() + 4);
        assert_eq!(read.samples.len(), expected.len());
        for (sample, row) in read.samples.iter().zip(expected) {
            let observation = &sample.observation;
            assert_eq!(observation.start_ns, row.cast_unsigned());
            assert_eq!(observation.latency_ns, row.cast_unsigned() + 7);
            let tokens = (row % 2 == 0).then(|| u32::try_from(row).unwrap());
            assert_eq!((observation.input_tokens, observation.output_tokens), (tokens, None));
            assert!(observation.is_ok && sample.rouge.is_none());
        }
        assert_eq!((read.cells, read.hosts), (vec!["cell".to_owned()], vec!["h".to_owned()]));
    }

    #[test]
    fn a_file_with_other_rows_than_stated_is_refused() {
        let error = read(file(&[10]).into(), 9).unwrap_err();
        assert!(matches!(error, Error::Rows { found: 10, expected: 9 }), "{error}");
    }

    #[test]
    fn rows_that_would_exhaust_the_memory_are_refused_before_they_are_read() {
        let rows = ALWAYS_ROWS + 1;
        let mut file =
            columns::file("message m { REQUIRED BOOLEAN counted; }", Vec::new()).unwrap();
        let mut group = file.next_row_group().unwrap();
        let counted = vec![true; usize::try_from(rows).unwrap()];
        required::<BoolType, _, _>(&mut group, &counted, |counted| *counted).unwrap();
        group.close().unwrap();
        let bytes = file.into_inner().unwrap();
        assert!(bytes.len() < 200_000, "{}", bytes.len());
        let error = read(bytes.into(), rows).unwrap_err();
        assert!(matches!(error, Error::Dense { .. }), "{error}");
    }
}
