//! Requests that came and wait.

use super::super::{Arrival, Together};
use super::Rules;
use std::collections::VecDeque;

/// Those that came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Arrival>,
    not_sent: Vec<Arrival>,
}

impl Queue {
    /// One comes; it isn't sent where too many wait.
    pub(super) fn put(&mut self, arrival: Arrival, rules: Rules) {
        if self.waiting.len() < rules.max_queue {
            self.waiting.push_back(arrival);
        } else {
            self.not_sent.push(arrival);
        }
    }

    /// Those that waited longest, at most `room`.
    pub(super) fn take(&mut self, room: usize) -> Together {
        let count = self.waiting.len().min(room);
        Together {
            batch: self.waiting.drain(..count).collect(),
            not_sent: std::mem::take(&mut self.not_sent),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Until when the oldest waits for others; none where it needn't.
    pub(super) fn until_ns(&self, rules: Rules) -> Option<u64> {
        let oldest = self.waiting.front().filter(|_| self.waiting.len() < rules.most)?;
        Some(oldest.intended_ns.saturating_add(rules.max_delay_ns))
    }
}
