//! samples.parquet, telemetry.parquet and texts.parquet -> the rows that they were written from.
//!
//! The files may come from anybody: a row that the store would not hold is an error, and rows are decoded a part at a
//! time.

use super::Names;
use super::column_reader::Column;
use super::read::is_dense;
use super::samples::gaps_of_text;
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use bytes::Bytes;
use model::output_ids::OutputIds;
use model::sample::{Drafts, HttpTiming, Sample, SampleKey};
use model::telemetry::{Metric, Phase, Readings};
use records::{SampleRow, WindowRow};
use stats::quality::Rouge;
use std::collections::{HashMap, VecDeque};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    #[error("its {rows} rows would take too much memory for its {bytes} bytes")]
    Dense { rows: u64, bytes: usize },
    #[error("row {row}: {what}")]
    Row { row: u64, what: String },
    /// The texts belong to other samples.
    #[error("it has {found} rows, expected {expected}: one for each sample")]
    Texts { found: u64, expected: u64 },
}

/// Rows that are decoded at a time: with texts of the largest size they take 128 MiB.
const PART: usize = 1 << 13;

/// A sample as the store holds it, and the scores of its summary in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSample {
    pub row: SampleRow,
    pub rouge: Option<Rouge>,
}

/// Reads samples in the order of the file: by cell and run, the counted ones by dialogue and then those that came late.
pub struct StoredSamples<'a> {
    names: Names<'a>,
    runs: u32,
    cells: HashMap<&'a str, u32>,
    ids: HashMap<&'a str, u32>,
    file: SerializedFileReader<Bytes>,
    texts: Option<Texts>,
    /// Of the next row group.
    group: usize,
    columns: Option<Box<Columns>>,
    decoded: VecDeque<StoredSample>,
    rows: u64,
    last: Option<Place>,
}

/// Cell, run, whether it came late, and the dialogue of one that counts.
type Place = (u32, u32, bool, u32);

impl std::fmt::Debug for StoredSamples<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredSamples").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl<'a> StoredSamples<'a> {
    /// Opens the samples of a campaign, which has at most so many `runs`, and their texts where they are there.
    pub fn open(
        names: Names<'a>,
        runs: u32,
        samples: Bytes,
        texts: Option<Bytes>,
    ) -> Result<Self, Error> {
        let (rows, bytes) = (parquet_check::rows(&samples)?, samples.len());
        if is_dense(rows, bytes) {
            return Err(Error::Dense { rows, bytes });
        }
        let texts = texts.map(|bytes| Texts::open(bytes, rows)).transpose()?;
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let cells = names.plan.cells.iter().enumerate();
        let measured = names.dialogues.iter().take(names.plan.samples).enumerate();
        Ok(Self {
            names,
            runs,
            cells: cells.map(|(index, cell)| (cell.id.as_str(), number(index))).collect(),
            ids: measured.map(|(index, row)| (row.sample_id.as_str(), number(index))).collect(),
            file: parquet_check::open(samples)?,
            texts,
            group: 0,
            columns: None,
            decoded: VecDeque::new(),
            rows: 0,
            last: None,
        })
    }

    /// The next sample, if there is one and it is `wanted`.
    pub fn next_if(
        &mut self,
        wanted: impl Fn(&SampleRow) -> bool,
    ) -> Result<Option<StoredSample>, Error> {
        while self.decoded.is_empty() {
            if !self.decode()? {
                return Ok(None);
            }
        }
        let is_wanted = self.decoded.front().is_some_and(|next| wanted(&next.row));
        Ok(if is_wanted { self.decoded.pop_front() } else { None })
    }

    /// The number of the row that comes next, from 1.
    pub fn next_row(&self) -> u64 {
        self.rows - self.decoded.len() as u64 + 1
    }

    /// Decodes the next part; false at the end.
    fn decode(&mut self) -> Result<bool, Error> {
        let mut columns = match self.columns.take() {
            Some(columns) => columns,
            None if self.group == self.file.num_row_groups() => return Ok(false),
            None => {
                let columns = Box::new(Columns::open(&self.file, self.group)?);
                self.group += 1;
                columns
            }
        };
        let rows = columns.left.min(PART);
        columns.left -= rows;
        let decoded = columns.decode(rows)?;
        let texts = match &mut self.texts {
            Some(texts) => texts.next(rows)?,
            None => vec![(None, None); rows],
        };
        for (decoded, (text, ids)) in decoded.into_iter().zip(texts) {
            self.rows += 1;
            let stored = self.stored(decoded, text, ids);
            let stored = stored.map_err(|what| Error::Row { row: self.rows, what })?;
            self.decoded.push_back(stored);
        }
        if columns.left > 0 {
            self.columns = Some(columns);
        }
        Ok(true)
    }

    /// Checks a row against the campaign and its predecessor.
    fn stored(
        &mut self,
        decoded: Decoded,
        text: Option<String>,
        ids: Option<Vec<u8>>,
    ) -> Result<StoredSample, String> {
        let Decoded { cell, sample_id, host, run, segment, attempt, agent, batch, .. } = decoded;
        let cell =
            *self.cells.get(&*cell).ok_or_else(|| format!("no cell `{cell}` in the plan"))?;
        let sample = self.ids.get(&*sample_id);
        let sample = *sample.ok_or_else(|| format!("no measured dialogue `{sample_id}`"))?;
        if !(1..=self.runs).contains(&run) {
            return Err(format!("run {run}, expected 1 to {}", self.runs));
        }
        let its = self.names.agents.get(agent as usize);
        if its.is_none_or(|its| its.host_id.as_str() != host) {
            return Err(format!("agent {agent} is not on the host `{host}`"));
        }
        let place = (cell, run, !decoded.is_counted, if decoded.is_counted { sample } else { 0 });
        let is_next = |last: Place| last < place || (last == place && !decoded.is_counted);
        if !self.last.is_none_or(is_next) {
            return Err("it is out of order, or counted twice".to_owned());
        }
        self.last = Some(place);
        let output_ids = ids
            .map(|ids| OutputIds::from_packed(ids).ok_or("its output ids aren't packed tokens"))
            .transpose()?;
        let checked = Sample { text, output_ids, ..decoded.sample }.check();
        Ok(StoredSample {
            row: SampleRow {
                key: SampleKey { cell, run, sample, segment, attempt, agent, batch },
                is_counted: decoded.is_counted,
                sample: checked.map_err(|error| error.to_string())?,
            },
            rouge: decoded.rouge,
        })
    }
}

/// A row whose names are not looked up yet.
struct Decoded {
    cell: String,
    sample_id: String,
    host: String,
    run: u32,
    segment: u32,
    attempt: u64,
    agent: u32,
    batch: u32,
    is_counted: bool,
    sample: Sample,
    rouge: Option<Rouge>,
}

/// The columns of a row group.
struct Columns {
    left: usize,
    cell: Column<ByteArrayType>,
    run: Column<Int32Type>,
    segment: Column<Int32Type>,
    sample_id: Column<ByteArrayType>,
    attempt: Column<Int64Type>,
    host: Column<ByteArrayType>,
    batch: Column<Int32Type>,
    start_ns: Column<Int64Type>,
    ttft_ns: Column<Int64Type>,
    latency_ns: Column<Int64Type>,
    input_tokens: Column<Int32Type>,
    output_tokens: Column<Int32Type>,
    outcome: Column<ByteArrayType>,
    counted: Column<BoolType>,
    reference_tokens: Column<Int32Type>,
    rouge: [Column<DoubleType>; 3],
    /// Of HTTP: in all, connecting, to the first byte and the server's.
    http: [Column<Int64Type>; 4],
    reconnected: Column<BoolType>,
    agent: Column<Int32Type>,
    cut_tokens: Column<Int32Type>,
    unknown_tokens: Column<Int32Type>,
    schedule_delay_ns: Column<Int64Type>,
    chunk_gaps_us: Column<ByteArrayType>,
    /// Drafted and accepted tokens.
    drafts: [Column<Int32Type>; 2],
}

impl Columns {
    fn open(file: &SerializedFileReader<Bytes>, group: usize) -> Result<Self, ParquetError> {
        let group = file.get_row_group(group)?;
        let group = &*group;
        let text = |name| Column::<ByteArrayType>::required(group, name);
        let int = |name| Column::<Int32Type>::required(group, name);
        let long = |name| Column::<Int64Type>::required(group, name);
        let real = |name| Column::<DoubleType>::required(group, name);
        let truth = |name| Column::<BoolType>::required(group, name);
        Ok(Self {
            left: usize::try_from(group.metadata().num_rows()).unwrap_or_default(),
            cell: text("cell")?,
            run: int("run")?,
            segment: int("segment")?,
            sample_id: text("sample_id")?,
            attempt: long("attempt")?,
            host: text("host")?,
            batch: int("batch")?,
            start_ns: long("start_ns")?,
            ttft_ns: long("ttft_ns")?,
            latency_ns: long("latency_ns")?,
            input_tokens: int("input_tokens")?,
            output_tokens: int("output_tokens")?,
            outcome: text("outcome")?,
            counted: truth("counted")?,
            reference_tokens: int("reference_tokens")?,
            rouge: [real("rouge1")?, real("rouge2")?, real("rougeL")?],
            http: [
                long("exchange_ns")?,
                long("connect_ns")?,
                long("first_byte_ns")?,
                long("server_ns")?,
            ],
            reconnected: truth("reconnected")?,
            agent: int("agent")?,
            cut_tokens: int("cut_tokens")?,
            unknown_tokens: int("unknown_tokens")?,
            schedule_delay_ns: long("schedule_delay_ns")?,
            chunk_gaps_us: text("chunk_gaps_us")?,
            drafts: [int("drafted_tokens")?, int("accepted_tokens")?],
        })
    }

    fn decode(&mut self, rows: usize) -> Result<Vec<Decoded>, ParquetError> {
        let (cell, run) = (self.cell.values(rows)?, self.run.values(rows)?);
        let (segment, sample_id) = (self.segment.values(rows)?, self.sample_id.values(rows)?);
        let (attempt, host) = (self.attempt.values(rows)?, self.host.values(rows)?);
        let (batch, start_ns) = (self.batch.values(rows)?, self.start_ns.values(rows)?);
        let (ttft_ns, latency_ns) = (self.ttft_ns.next(rows)?, self.latency_ns.values(rows)?);
        let input_tokens = self.input_tokens.next(rows)?;
        let output_tokens = self.output_tokens.next(rows)?;
        let (outcome, counted) = (self.outcome.values(rows)?, self.counted.values(rows)?);
        let reference_tokens = self.reference_tokens.next(rows)?;
        let [rouge1, rouge2, rouge_l] = &mut self.rouge;
        let (rouge1, rouge2, rouge_l) =
            (rouge1.next(rows)?, rouge2.next(rows)?, rouge_l.next(rows)?);
        let [total, connect, first_byte, server] = &mut self.http;
        let (total, connect) = (total.next(rows)?, connect.next(rows)?);
        let (first_byte, server) = (first_byte.next(rows)?, server.next(rows)?);
        let (reconnected, agent) = (self.reconnected.next(rows)?, self.agent.values(rows)?);
        let (cut, unknown) = (self.cut_tokens.values(rows)?, self.unknown_tokens.values(rows)?);
        let schedule_delay_ns = self.schedule_delay_ns.next(rows)?;
        let chunk_gaps_us = self.chunk_gaps_us.next(rows)?;
        let [drafted, accepted] = &mut self.drafts;
        let (drafted, accepted) = (drafted.next(rows)?, accepted.next(rows)?);

        let long = |ns: Option<i64>| ns.map(i64::cast_unsigned);
        let row = |row: usize| -> Result<Decoded, ParquetError> {
            let http = total[row].map(|total_ns| HttpTiming {
                total_ns: total_ns.cast_unsigned(),
                connect_ns: long(connect[row]),
                first_byte_ns: long(first_byte[row]),
                server_ns: long(server[row]),
                is_reconnected: reconnected[row].unwrap_or_default(),
            });
            let word = outcome[row].as_utf8()?;
            let outcome = word.parse().map_err(|_| {
                ParquetError::General(format!("`{word}` is not an outcome of a sample"))
            })?;
            let gaps = |text: &ByteArray| {
                let gaps = text.as_utf8().ok().and_then(gaps_of_text);
                gaps.ok_or_else(|| ParquetError::General("chunk gaps are not a list".to_owned()))
            };
            let sample = Sample {
                start_ns: start_ns[row].cast_unsigned(),
                ttft_ns: long(ttft_ns[row]),
                latency_ns: latency_ns[row].cast_unsigned(),
                input_tokens: input_tokens[row].map(i32::cast_unsigned),
                cut_tokens: cut[row].cast_unsigned(),
                output_tokens: output_tokens[row].map(i32::cast_unsigned),
                unknown_tokens: unknown[row].cast_unsigned(),
                reference_tokens: reference_tokens[row].map(i32::cast_unsigned),
                schedule_delay_ns: long(schedule_delay_ns[row]),
                http,
                chunk_gaps: chunk_gaps_us[row].as_ref().map(gaps).transpose()?,
                drafts: (drafted[row].zip(accepted[row])).map(|(drafted, accepted)| Drafts {
                    drafted: drafted.cast_unsigned(),
                    accepted: accepted.cast_unsigned(),
                }),
                outcome,
                failure_detail: None,
                text: None,
                output_ids: None,
            };
            Ok(Decoded {
                cell: cell[row].as_utf8()?.to_owned(),
                sample_id: sample_id[row].as_utf8()?.to_owned(),
                host: host[row].as_utf8()?.to_owned(),
                run: run[row].cast_unsigned(),
                segment: segment[row].cast_unsigned(),
                attempt: attempt[row].cast_unsigned(),
                agent: agent[row].cast_unsigned(),
                batch: batch[row].cast_unsigned(),
                is_counted: counted[row],
                sample,
                rouge: (rouge1[row].zip(rouge2[row]).zip(rouge_l[row]))
                    .map(|((rouge1, rouge2), rouge_l)| Rouge { rouge1, rouge2, rouge_l }),
            })
        };
        (0..rows).map(row).collect()
    }
}

/// The texts of samples, in the same order. Their row groups may be cut elsewhere.
struct Texts {
    file: SerializedFileReader<Bytes>,
    group: usize,
    columns: Option<(usize, Column<ByteArrayType>, Column<ByteArrayType>)>,
}

type Text = (Option<String>, Option<Vec<u8>>);

impl Texts {
    fn open(bytes: Bytes, expected: u64) -> Result<Self, Error> {
        let found = parquet_check::rows(&bytes)?;
        if found != expected {
            return Err(Error::Texts { found, expected });
        }
        Ok(Self { file: parquet_check::open(bytes)?, group: 0, columns: None })
    }

    fn next(&mut self, rows: usize) -> Result<Vec<Text>, Error> {
        let mut read = Vec::with_capacity(rows);
        while read.len() < rows {
            let (left, mut texts, mut ids) = match self.columns.take() {
                Some(columns) => columns,
                // The rows were counted when the file was opened.
                None => self.next_group()?,
            };
            let part = left.min(rows - read.len());
            for (text, ids) in texts.next(part)?.into_iter().zip(ids.next(part)?) {
                let text = text.map(|text| text.as_utf8().map(str::to_owned)).transpose()?;
                read.push((text, ids.map(|ids| ids.data().to_vec())));
            }
            if left > part {
                self.columns = Some((left - part, texts, ids));
            }
        }
        Ok(read)
    }

    fn next_group(
        &mut self,
    ) -> Result<(usize, Column<ByteArrayType>, Column<ByteArrayType>), ParquetError> {
        let group = self.file.get_row_group(self.group)?;
        self.group += 1;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
        let column = |name| Column::required(&*group, name);
        Ok((rows, column("summary")?, column("output_ids")?))
    }
}

/// Gives every window of a file to `each`, in the order of the file.
pub fn windows(
    names: Names<'_>,
    runs: u32,
    bytes: Bytes,
    mut each: impl FnMut(WindowRow),
) -> Result<(), Error> {
    let cells = names.plan.cells.iter().enumerate();
    let cells: HashMap<&str, usize> =
        cells.map(|(index, cell)| (cell.id.as_str(), index)).collect();
    let file = parquet_check::open(bytes)?;
    let mut number = 0;
    for group in 0..file.num_row_groups() {
        let group = file.get_row_group(group)?;
        let group = &*group;
        let int = |name| Column::<Int32Type>::required(group, name);
        let long = |name| Column::<Int64Type>::required(group, name);
        let (mut agent, mut run, mut segment) = (int("agent")?, int("run")?, int("segment")?);
        let (mut start, mut end) = (long("start_ns")?, long("end_ns")?);
        let mut cell = Column::<ByteArrayType>::required(group, "cell")?;
        let mut phase = Column::<ByteArrayType>::required(group, "phase")?;
        let mut metrics = Vec::with_capacity(Metric::COUNT);
        for metric in Metric::all() {
            // A metric of a later release is missing in the file.
            if let Some(column) = Column::<DoubleType>::find(group, metric.as_str())? {
                metrics.push((metric, column));
            }
        }
        let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
        while left > 0 {
            let rows = left.min(PART);
            left -= rows;
            let (agent, run, segment) = (agent.values(rows)?, run.next(rows)?, segment.next(rows)?);
            let (start, end) = (start.values(rows)?, end.values(rows)?);
            let (cell, phase) = (cell.next(rows)?, phase.values(rows)?);
            let mut readings = vec![Readings::default(); rows];
            for (metric, column) in &mut metrics {
                for (readings, value) in readings.iter_mut().zip(column.next(rows)?) {
                    readings.set(*metric, value);
                }
            }
            for (row, readings) in readings.into_iter().enumerate() {
                number += 1;
                let refused = |what: &str| Error::Row { row: number, what: what.to_owned() };
                let of = match (&cell[row], run[row], segment[row]) {
                    (Some(cell), Some(run), Some(segment)) => {
                        let cell = cells.get(cell.as_utf8()?);
                        let cell = *cell.ok_or_else(|| refused("its cell is not in the plan"))?;
                        let run = run.cast_unsigned();
                        if !(1..=runs).contains(&run) {
                            return Err(refused("its run is not in the plan"));
                        }
                        Some((cell, run, segment.cast_unsigned().into()))
                    }
                    (None, None, None) => None,
                    _ => return Err(refused("it names a part of its segment")),
                };
                let phase: Option<Phase> = phase[row].as_utf8()?.parse().ok();
                let agent = agent[row].cast_unsigned() as usize;
                let (start_ns, end_ns) = (start[row].cast_unsigned(), end[row].cast_unsigned());
                if agent >= names.agents.len() {
                    return Err(refused("its agent is not of the campaign"));
                }
                if start_ns > end_ns || i64::try_from(end_ns).is_err() {
                    return Err(refused("it ends before it starts"));
                }
                let phase = phase.ok_or_else(|| refused("it has no known phase"))?;
                each(WindowRow { agent, of, phase, start_ns, end_ns, readings });
            }
        }
    }
    Ok(())
}
