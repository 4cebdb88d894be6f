//! Continuous batching: who waits enters as soon as there is room, beside those that are being decoded.

use super::{Ledger, Load, Planned};
use crate::workload::{Arrival, Together, Workload};
use engine::{Intake, Request, Row};
use model::failure::Failure;
use std::collections::HashMap;
use stopwatch::Stopwatch;

impl Load<'_> {
    pub(super) fn play_continuous(
        &mut self,
        workload: &mut Workload,
        planned: &Planned,
        ledger: &mut dyn Ledger,
    ) -> Result<(), Failure> {
        let mut entrance = Entrance {
            workload,
            planned,
            ledger,
            stopwatch: self.stopwatch,
            is_cancelled: self.is_cancelled,
            most: self.offer.batch_size.max(1) as usize,
            entered: 0,
            live: HashMap::new(),
        };
        self.engine.serve(&mut entrance, self.generation, self.stopwatch)
    }
}

/// Lets requests in while there is room.
struct Entrance<'a> {
    workload: &'a mut Workload,
    planned: &'a Planned,
    ledger: &'a mut dyn Ledger,
    stopwatch: &'a Stopwatch,
    is_cancelled: &'a dyn Fn() -> bool,
    /// So many are decoded at a time.
    most: usize,
    entered: usize,
    /// Those that are being decoded, by number.
    live: HashMap<usize, Arrival>,
}

impl Intake for Entrance<'_> {
    fn enter(&mut self) -> Vec<Request> {
        if (self.is_cancelled)() || self.ledger.is_over(self.stopwatch.now_ns()) {
            return Vec::new();
        }
        let together = if self.live.is_empty() {
            self.workload.wait(self.is_cancelled)
        } else {
            self.workload.take(self.most - self.live.len())
        };
        let Some(Together { batch, not_sent }) = together else { return Vec::new() };
        self.ledger.entered(batch.len(), &not_sent, self.stopwatch.now_ns());
        let requests = self.planned.requests(&batch);
        self.live.extend((self.entered..).zip(batch));
        self.entered += requests.len();
        requests
    }

    fn ended(&mut self, number: usize, row: Result<Row, Failure>) {
        let end_ns = row.as_ref().map_or_else(|_| self.stopwatch.now_ns(), |row| row.end_ns);
        let arrival = self.live.remove(&number).expect("it entered, and ends once");
        self.workload.ended([end_ns]);
        self.ledger.ended(arrival, row, end_ns);
    }
}
