//! texts.parquet: the summaries of the samples and their tokens, a row for each row of samples.parquet.

use super::columns::{self, optional};
use ::parquet::data_type::{ByteArray, ByteArrayType};
use ::parquet::errors::ParquetError;
use ::parquet::file::writer::SerializedFileWriter;
use model::output_ids::OutputIds;
use records::SampleRow;
use std::fmt;
use std::io::Write;

const SCHEMA: &str = "
message text {
    OPTIONAL BYTE_ARRAY summary (STRING);
    OPTIONAL BYTE_ARRAY output_ids;
}";

/// Rows of one row group: with their texts about 20 MB.
const ROW_GROUP: usize = 1 << 16;

/// Writes texts as they come, a row group at a time.
pub struct TextsWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    waiting: Vec<(Option<ByteArray>, Option<ByteArray>)>,
}

impl<W: Write + Send> fmt::Debug for TextsWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextsWriter").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl<W: Write + Send> TextsWriter<W> {
    pub fn new(out: W) -> Result<Self, ParquetError> {
        Ok(Self { file: columns::file(SCHEMA, out)?, waiting: Vec::new() })
    }

    /// Adds the texts of samples.
    pub fn write(&mut self, samples: &[SampleRow]) -> Result<(), ParquetError> {
        self.waiting.extend(samples.iter().map(|SampleRow { sample, .. }| {
            let ids = sample.output_ids.as_ref().map(OutputIds::as_packed);
            (sample.text.as_deref().map(ByteArray::from), ids.map(|ids| ids.to_vec().into()))
        }));
        if self.waiting.len() >= ROW_GROUP { self.flush() } else { Ok(()) }
    }

    /// Ends the file; gives what was written to.
    pub fn finish(mut self) -> Result<W, ParquetError> {
        self.flush()?;
        self.file.into_inner()
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.waiting);
        if rows.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        optional::<ByteArrayType, W, _>(&mut group, &rows, |(text, _)| text.clone())?;
        optional::<ByteArrayType, W, _>(&mut group, &rows, |(_, ids)| ids.clone())?;
        group.close()?;
        Ok(())
    }
}
