//! The queue of waiting requests.

use super::super::{Arrival, ArrivalBatch};
use super::QueueRules;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Arrival>,
    not_sent: Vec<Arrival>,
}

impl Queue {
    /// Queues an arrival, or rejects it if the queue is full.
    pub(super) fn put(&mut self, arrival: Arrival, rules: QueueRules) {
        if self.waiting.len() < rules.max_queue {
            self.waiting.push_back(arrival);
        } else {
            self.not_sent.push(arrival);
        }
    }

    pub(super) fn take(&mut self, room: usize) -> ArrivalBatch {
        let count = self.waiting.len().min(room);
        ArrivalBatch {
            batch: self.waiting.drain(..count).collect(),
            not_sent: std::mem::take(&mut self.not_sent),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The time until which the oldest request waits for others. `None` if it need not wait.
    pub(super) fn until_ns(&self, rules: QueueRules) -> Option<u64> {
        let oldest = self.waiting.front().filter(|_| self.waiting.len() < rules.most)?;
        Some(oldest.intended_ns.saturating_add(rules.max_delay_ns))
    }
}
