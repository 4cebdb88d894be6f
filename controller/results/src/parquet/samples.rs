//! samples.parquet: every sample that reached the store, late ones included, as `DuckDB` and pandas read it.

use super::columns::{self, optional, required};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use matrix::Matrix;
use matrix::plan::{Cell, Plan};
use model::chunk_gaps::ChunkGaps;
use model::sample::{Drafts, HttpTiming, Sample};
use records::{AgentRow, CampaignRow, DialogueRow, SampleRow};
use stats::quality::Rouge;
use std::io::Write;

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
    OPTIONAL INT32 input_tokens;
    OPTIONAL INT32 output_tokens;
    REQUIRED BYTE_ARRAY outcome (STRING);
    REQUIRED BOOLEAN counted;
    OPTIONAL INT32 reference_tokens;
    OPTIONAL DOUBLE rouge1;
    OPTIONAL DOUBLE rouge2;
    OPTIONAL DOUBLE rougeL;
    OPTIONAL INT64 exchange_ns;
    OPTIONAL INT64 connect_ns;
    OPTIONAL INT64 first_byte_ns;
    OPTIONAL INT64 server_ns;
    OPTIONAL BOOLEAN reconnected;
    REQUIRED BYTE_ARRAY target (STRING);
    REQUIRED BYTE_ARRAY model (STRING);
    REQUIRED BYTE_ARRAY dtype (STRING);
    REQUIRED INT32 batch_size;
    REQUIRED INT32 agent;
    REQUIRED INT32 cut_tokens;
    REQUIRED INT32 unknown_tokens;
    OPTIONAL INT64 schedule_delay_ns;
    OPTIONAL INT32 chunks;
    OPTIONAL BYTE_ARRAY chunk_gaps_us (STRING);
    OPTIONAL INT32 drafted_tokens;
    OPTIONAL INT32 accepted_tokens;
}";

/// Rows of one row group: large enough to compress, small enough to hold.
const ROW_GROUP: usize = 1 << 18;

/// What rows refer to by number.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Names the campaign in every row.
    pub campaign: &'a str,
    pub matrix: &'a Matrix,
    pub plan: &'a Plan,
    pub dialogues: &'a [DialogueRow],
    pub agents: &'a [AgentRow],
}

impl<'a> Names<'a> {
    pub fn of(
        campaign: &'a CampaignRow,
        dialogues: &'a [DialogueRow],
        agents: &'a [AgentRow],
    ) -> Self {
        let CampaignRow { id, matrix, plan, .. } = campaign;
        Self { campaign: id.as_str(), matrix, plan, dialogues, agents }
    }
}

/// Writes samples as they come, a row group at a time.
pub struct SamplesWriter<'a, W: Write + Send> {
    names: Names<'a>,
    file: SerializedFileWriter<W>,
    waiting: Vec<SampleRow>,
    scores: Vec<Option<Rouge>>,
    rows: u64,
}

impl<W: Write + Send> std::fmt::Debug for SamplesWriter<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waiting = self.waiting.len();
        f.debug_struct("SamplesWriter")
            .field("rows", &self.rows)
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

impl<'a, W: Write + Send> SamplesWriter<'a, W> {
    pub fn new(names: Names<'a>, out: W) -> Result<Self, ParquetError> {
        let file = columns::file(SCHEMA, out)?;
        Ok(Self { names, file, waiting: Vec::new(), scores: Vec::new(), rows: 0 })
    }

    /// Adds samples with their scores, in the same order.
    pub fn write(
        &mut self,
        samples: Vec<SampleRow>,
        scores: Vec<Option<Rouge>>,
    ) -> Result<(), ParquetError> {
        // Summaries and their tokens aren't written, so they don't wait either.
        let bare = |row: SampleRow| SampleRow {
            sample: Sample { text: None, output_ids: None, ..row.sample },
            ..row
        };
        self.waiting.extend(samples.into_iter().map(bare));
        self.scores.extend(scores);
        if self.waiting.len() >= ROW_GROUP { self.flush() } else { Ok(()) }
    }

    /// Ends the file; gives what was written to, and how many rows it holds.
    pub fn finish(mut self) -> Result<(W, u64), ParquetError> {
        self.flush()?;
        Ok((self.file.into_inner()?, self.rows))
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        let (rows, scores) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.scores));
        if rows.is_empty() && self.rows > 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        columns(&self.names, &rows, &scores, &mut group)?;
        group.close()?;
        self.rows += rows.len() as u64;
        Ok(())
    }
}

/// The columns, in the order of the schema.
fn columns<W: Write + Send>(
    names: &Names<'_>,
    rows: &[SampleRow],
    scores: &[Option<Rouge>],
    group: &mut SerializedRowGroupWriter<'_, W>,
) -> Result<(), ParquetError> {
    let text = |text: &str| ByteArray::from(text);
    let int = |number: u32| number.cast_signed();
    let long = |number: u64| number.cast_signed();
    let campaign = text(names.campaign);
    let cells: Vec<ByteArray> =
        names.plan.cells.iter().map(|cell| text(cell.id.as_str())).collect();
    let hosts: Vec<ByteArray> =
        names.agents.iter().map(|agent| text(agent.host_id.as_str())).collect();
    let id = |row: &SampleRow| text(names.dialogues[row.key.sample as usize].sample_id.as_str());

    required::<ByteArrayType, W, _>(group, rows, |_| campaign.clone())?;
    required::<ByteArrayType, W, _>(group, rows, |row| cells[row.key.cell as usize].clone())?;
    required::<Int32Type, W, _>(group, rows, |row| int(row.key.run))?;
    required::<Int32Type, W, _>(group, rows, |row| int(row.key.segment))?;
    required::<ByteArrayType, W, _>(group, rows, id)?;
    required::<Int64Type, W, _>(group, rows, |row| long(row.key.attempt))?;
    required::<ByteArrayType, W, _>(group, rows, |row| hosts[row.key.agent as usize].clone())?;
    required::<Int32Type, W, _>(group, rows, |row| int(row.key.batch))?;
    required::<Int64Type, W, _>(group, rows, |row| long(row.sample.start_ns))?;
    optional::<Int64Type, W, _>(group, rows, |row| row.sample.ttft_ns.map(long))?;
    required::<Int64Type, W, _>(group, rows, |row| long(row.sample.latency_ns))?;
    optional::<Int32Type, W, _>(group, rows, |row| row.sample.input_tokens.map(int))?;
    optional::<Int32Type, W, _>(group, rows, |row| row.sample.output_tokens.map(int))?;
    required::<ByteArrayType, W, _>(group, rows, |row| text(row.sample.outcome.as_str()))?;
    required::<BoolType, W, _>(group, rows, |row| row.is_counted)?;
    optional::<Int32Type, W, _>(group, rows, |row| row.sample.reference_tokens.map(int))?;
    let score = |of: fn(&Rouge) -> f64| move |score: &Option<Rouge>| score.as_ref().map(of);
    optional::<DoubleType, W, _>(group, scores, score(|rouge| rouge.rouge1))?;
    optional::<DoubleType, W, _>(group, scores, score(|rouge| rouge.rouge2))?;
    optional::<DoubleType, W, _>(group, scores, score(|rouge| rouge.rouge_l))?;
    let part = |of: fn(&HttpTiming) -> Option<u64>| {
        move |row: &SampleRow| row.sample.http.as_ref().and_then(of).map(long)
    };
    optional::<Int64Type, W, _>(group, rows, part(|timing| Some(timing.total_ns)))?;
    optional::<Int64Type, W, _>(group, rows, part(|timing| timing.connect_ns))?;
    optional::<Int64Type, W, _>(group, rows, part(|timing| timing.first_byte_ns))?;
    optional::<Int64Type, W, _>(group, rows, part(|timing| timing.server_ns))?;
    let reconnected = |row: &SampleRow| row.sample.http.map(|timing| timing.is_reconnected);
    optional::<BoolType, W, _>(group, rows, reconnected)?;
    let (targets, models) = (&names.matrix.targets, &names.matrix.models);
    let of_cells = |name: &dyn Fn(&Cell) -> String| -> Vec<ByteArray> {
        names.plan.cells.iter().map(|cell| text(&name(cell))).collect()
    };
    for values in [
        of_cells(&|cell| targets[cell.target].name.to_string()),
        of_cells(&|cell| models[cell.model].name.clone()),
        of_cells(&|cell| cell.dtype.to_string()),
    ] {
        required::<ByteArrayType, W, _>(group, rows, |row| values[row.key.cell as usize].clone())?;
    }
    let batch_size = |row: &SampleRow| int(names.plan.cells[row.key.cell as usize].batch_size);
    required::<Int32Type, W, _>(group, rows, batch_size)?;
    required::<Int32Type, W, _>(group, rows, |row| int(row.key.agent))?;
    required::<Int32Type, W, _>(group, rows, |row| int(row.sample.cut_tokens))?;
    required::<Int32Type, W, _>(group, rows, |row| int(row.sample.unknown_tokens))?;
    optional::<Int64Type, W, _>(group, rows, |row| row.sample.schedule_delay_ns.map(long))?;
    let chunks = |gaps: &ChunkGaps| i32::try_from(gaps.chunks()).unwrap_or(i32::MAX);
    optional::<Int32Type, W, _>(group, rows, |row| row.sample.chunk_gaps.as_ref().map(chunks))?;
    let gaps = |gaps: &ChunkGaps| text(&gaps_as_text(gaps));
    optional::<ByteArrayType, W, _>(group, rows, |row| row.sample.chunk_gaps.as_ref().map(gaps))?;
    let drafts = |of: fn(Drafts) -> u32| move |row: &SampleRow| row.sample.drafts.map(of).map(int);
    optional::<Int32Type, W, _>(group, rows, drafts(|drafts| drafts.drafted))?;
    optional::<Int32Type, W, _>(group, rows, drafts(|drafts| drafts.accepted))
}

/// A JSON list such as `[1200, 980]`.
fn gaps_as_text(gaps: &ChunkGaps) -> String {
    let gaps: Vec<String> = gaps.iter_us().map(|us| us.to_string()).collect();
    format!("[{}]", gaps.join(", "))
}

/// The inverse of [`gaps_as_text`]; `None` for another text.
pub(super) fn gaps_of_text(text: &str) -> Option<ChunkGaps> {
    let gaps: Vec<u32> = serde_json::from_str(text).ok()?;
    Some(gaps.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_come_back_from_their_text() {
        for gaps in [vec![], vec![0], vec![1_200, 0, u32::MAX]] {
            let gaps = ChunkGaps::from(gaps);
            assert_eq!(gaps_of_text(&gaps_as_text(&gaps)), Some(gaps));
        }
        assert_eq!(gaps_of_text("[-1]"), None);
    }
}
