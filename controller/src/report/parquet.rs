//! samples.parquet: every sample that reached the store, late ones included, as `DuckDB` and pandas read it.

use crate::plan::Plan;
use crate::store::{AgentRow, DialogueRow, SampleRow};
use ::parquet::basic::Compression;
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;
use std::io::Write;
use std::sync::Arc;

const SCHEMA: &str = "
message sample {
    REQUIRED BYTE_ARRAY campaign (STRING);
    REQUIRED BYTE_ARRAY cell (STRING);
    REQUIRED INT32 run;
    REQUIRED INT32 segment;
    REQUIRED BYTE_ARRAY sample_id (STRING);
    REQUIRED INT64 attempt;
    REQUIRED BYTE_ARRAY host (STRING);
    REQUIRED INT32 batch;
    REQUIRED INT64 start_ns;
    OPTIONAL INT64 ttft_ns;
    REQUIRED INT64 latency_ns;
    REQUIRED INT32 input_tokens;
    REQUIRED INT32 output_tokens;
    REQUIRED BYTE_ARRAY outcome (STRING);
    REQUIRED BOOLEAN counted;
    OPTIONAL BYTE_ARRAY text (STRING);
}";

/// Rows of one row group: large enough to compress, small enough to hold.
const ROW_GROUP: usize = 1 << 18;

/// What the file is made of.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    /// Names the campaign in every row.
    pub campaign: &'a str,
    /// Names the cells.
    pub plan: &'a Plan,
    /// Names the dialogues.
    pub dialogues: &'a [DialogueRow],
    /// Names the hosts.
    pub agents: &'a [AgentRow],
    /// The rows.
    pub samples: &'a [SampleRow],
}

/// Writes the file.
///
/// # Errors
/// Where `out` can't be written.
pub fn write(samples: &Samples<'_>, out: impl Write + Send) -> Result<(), ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut file = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
    for rows in samples.samples.chunks(ROW_GROUP) {
        let mut group = file.next_row_group()?;
        columns(samples, rows, &mut group)?;
        group.close()?;
    }
    file.close()?;
    Ok(())
}

/// The columns, in the order of the schema.
fn columns<W: Write + Send>(
    samples: &Samples<'_>,
    rows: &[SampleRow],
    group: &mut SerializedRowGroupWriter<'_, W>,
) -> Result<(), ParquetError> {
    let text = |text: &str| ByteArray::from(text);
    let int = |number: u32| number.cast_signed();
    let long = |number: u64| number.cast_signed();
    let campaign = text(samples.campaign);
    let cells: Vec<ByteArray> =
        samples.plan.cells.iter().map(|cell| text(cell.id.as_str())).collect();
    let hosts: Vec<ByteArray> =
        samples.agents.iter().map(|agent| text(agent.host_id.as_str())).collect();
    let ids: Vec<ByteArray> =
        samples.dialogues.iter().map(|dialogue| text(dialogue.sample_id.as_str())).collect();

    required::<ByteArrayType, W>(group, rows, |_| campaign.clone())?;
    required::<ByteArrayType, W>(group, rows, |row| cells[row.cell as usize].clone())?;
    required::<Int32Type, W>(group, rows, |row| int(row.run))?;
    required::<Int32Type, W>(group, rows, |row| int(row.segment))?;
    required::<ByteArrayType, W>(group, rows, |row| ids[row.sample as usize].clone())?;
    required::<Int64Type, W>(group, rows, |row| long(row.attempt))?;
    required::<ByteArrayType, W>(group, rows, |row| hosts[row.agent as usize].clone())?;
    required::<Int32Type, W>(group, rows, |row| int(row.batch))?;
    required::<Int64Type, W>(group, rows, |row| long(row.start_ns))?;
    optional::<Int64Type, W>(group, rows, |row| row.ttft_ns.map(long))?;
    required::<Int64Type, W>(group, rows, |row| long(row.latency_ns))?;
    required::<Int32Type, W>(group, rows, |row| int(row.input_tokens))?;
    required::<Int32Type, W>(group, rows, |row| int(row.output_tokens))?;
    required::<ByteArrayType, W>(group, rows, |row| text(row.outcome.as_str()))?;
    required::<BoolType, W>(group, rows, |row| row.is_counted)?;
    // Summaries leave the store only where they are asked for.
    optional::<ByteArrayType, W>(group, rows, |_| None)
}

fn required<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[SampleRow],
    value: impl Fn(&SampleRow) -> T::T,
) -> Result<(), ParquetError> {
    optional::<T, W>(group, rows, |row| Some(value(row)))
}

/// A definition level of 1 says that a value is there; a required column has no levels at all.
fn optional<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[SampleRow],
    value: impl Fn(&SampleRow) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    let values: Vec<Option<T::T>> = rows.iter().map(value).collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&values, Some(&levels), None)?;
    column.close()
}
