//! Dynamic batching: what waits is decoded together, and what comes meanwhile waits until that is through.

use super::{Ledger, Load, Planned, bug};
use crate::workload::{Together, Workload};
use model::failure::Failure;

impl Load<'_> {
    pub(super) fn play_dynamic(
        &mut self,
        workload: &mut Workload,
        planned: &Planned,
        ledger: &mut dyn Ledger,
    ) -> Result<(), Failure> {
        while !ledger.is_over(self.stopwatch.now_ns()) {
            let Some(Together { batch, not_sent }) = workload.wait(self.is_cancelled) else {
                return Ok(());
            };
            if (self.is_cancelled)() {
                return Ok(());
            }
            let requests = planned.requests(&batch);
            let rows = self.engine.generate(&requests, self.generation, self.stopwatch)?;
            if rows.len() != requests.len() {
                return Err(bug("the engine answered for another number of requests"));
            }
            let end_ns = self.stopwatch.now_ns();
            workload.ended(rows.iter().map(|row| row.as_ref().map_or(end_ns, |row| row.end_ns)));
            ledger.entered(batch.len(), &not_sent, end_ns);
            for (arrival, row) in batch.into_iter().zip(rows) {
                ledger.ended(arrival, row, end_ns);
            }
        }
        Ok(())
    }
}
