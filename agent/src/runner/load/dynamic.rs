//! Dynamic batching: waiting requests form a batch, and later ones wait until it ends.

use super::{Load, SampleSink, ShardRequests, bug};
use crate::workload::{ArrivalBatch, Workload};
use model::failure::Failure;

impl Load<'_> {
    pub(super) fn run_dynamic(
        &mut self,
        workload: &mut Workload,
        requests_of_shard: &ShardRequests,
        sink: &mut dyn SampleSink,
    ) -> Result<(), Failure> {
        while !sink.is_over(self.stopwatch.now_ns()) {
            let Some(ArrivalBatch { batch, not_sent }) = workload.wait(self.is_cancelled) else {
                return Ok(());
            };
            if (self.is_cancelled)() {
                return Ok(());
            }
            let requests = requests_of_shard.requests(&batch);
            let rows = self.engine.generate(&requests, self.generation, self.stopwatch)?;
            if rows.len() != requests.len() {
                return Err(bug("the engine returned a wrong number of rows"));
            }
            let end_ns = self.stopwatch.now_ns();
            workload.ended(rows.iter().map(|row| row.as_ref().map_or(end_ns, |row| row.end_ns)));
            sink.entered(batch.len(), &not_sent, end_ns);
            for (arrival, row) in batch.into_iter().zip(rows) {
                sink.ended(arrival, row, end_ns);
            }
        }
        Ok(())
    }
}
