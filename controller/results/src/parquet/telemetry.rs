//! telemetry.parquet: every window that reached the store. Each metric has a column of its name.

use super::Names;
use super::columns::{self, optional, required};
use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::writer::SerializedFileWriter;
use model::telemetry::Metric;
use records::WindowRow;
use std::fmt;
use std::io::Write;

/// Cell, run and segment are null while an agent is idle.
const KEYS: &str = "
    REQUIRED BYTE_ARRAY campaign (STRING);
    OPTIONAL BYTE_ARRAY cell (STRING);
    OPTIONAL INT32 run;
    OPTIONAL INT32 segment;
    REQUIRED BYTE_ARRAY host (STRING);
    REQUIRED INT32 agent;
    REQUIRED BYTE_ARRAY phase (STRING);
    REQUIRED INT64 start_ns;
    REQUIRED INT64 end_ns;";

/// Rows of one row group: an hour of one agent at 250 ms, 10 MB.
const ROW_GROUP: usize = 1 << 14;

/// Writes the file window by window, so that a campaign of days takes no more memory than one row group.
pub struct TelemetryWriter<'a, W: Write + Send> {
    names: Names<'a>,
    file: SerializedFileWriter<W>,
    group: Vec<WindowRow>,
    rows: u64,
}

impl<W: Write + Send> fmt::Debug for TelemetryWriter<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryWriter").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl<'a, W: Write + Send> TelemetryWriter<'a, W> {
    pub fn new(names: Names<'a>, out: W) -> Result<Self, ParquetError> {
        let metrics = Metric::WORDS.iter().map(|name| format!("OPTIONAL DOUBLE {name};"));
        let metrics: Vec<String> = metrics.collect();
        let schema = format!("message window {{ {KEYS} {} }}", metrics.join(" "));
        let file = columns::file(&schema, out)?;
        Ok(Self { names, file, group: Vec::new(), rows: 0 })
    }

    pub fn add(&mut self, window: WindowRow) -> Result<(), ParquetError> {
        self.rows += 1;
        self.group.push(window);
        if self.group.len() >= ROW_GROUP { self.write_group() } else { Ok(()) }
    }

    /// Ends the file; gives what was written to, and how many rows it holds.
    pub fn finish(mut self) -> Result<(W, u64), ParquetError> {
        if !self.group.is_empty() {
            self.write_group()?;
        }
        Ok((self.file.into_inner()?, self.rows))
    }

    /// The columns, in the order of the schema.
    fn write_group(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.group);
        let mut group = self.file.next_row_group()?;
        let group_ref = &mut group;
        let text = |text: &str| ByteArray::from(text);
        let campaign = text(self.names.campaign);
        let cell = |row: &WindowRow| {
            row.of
                .and_then(|(cell, _, _)| self.names.plan.cells.get(cell))
                .map(|cell| text(cell.id.as_str()))
        };
        let host = |row: &WindowRow| {
            text(self.names.agents.get(row.agent).map_or("", |agent| agent.host_id.as_str()))
        };
        let agent = |row: &WindowRow| i32::try_from(row.agent).unwrap_or(i32::MAX);
        let segment = |row: &WindowRow| {
            row.of.map(|(_, _, segment)| i32::try_from(segment).unwrap_or(i32::MAX))
        };
        let run = |row: &WindowRow| row.of.map(|(_, run, _)| run.cast_signed());
        required::<ByteArrayType, W, _>(group_ref, &rows, |_| campaign.clone())?;
        optional::<ByteArrayType, W, _>(group_ref, &rows, cell)?;
        optional::<Int32Type, W, _>(group_ref, &rows, run)?;
        optional::<Int32Type, W, _>(group_ref, &rows, segment)?;
        required::<ByteArrayType, W, _>(group_ref, &rows, host)?;
        required::<Int32Type, W, _>(group_ref, &rows, agent)?;
        required::<ByteArrayType, W, _>(group_ref, &rows, |row| text(row.phase.as_str()))?;
        required::<Int64Type, W, _>(group_ref, &rows, |row| row.start_ns.cast_signed())?;
        required::<Int64Type, W, _>(group_ref, &rows, |row| row.end_ns.cast_signed())?;
        for metric in Metric::all() {
            optional::<DoubleType, W, _>(group_ref, &rows, |row| row.readings.of(metric))?;
        }
        group.close()?;
        Ok(())
    }
}
