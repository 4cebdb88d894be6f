//! Closed loop: a fixed number of users, each of whom sends a request after the previous response.

use super::{Arrival, ArrivalBatch};
use std::collections::VecDeque;

#[derive(Debug)]
pub struct ClosedLoop {
    most: usize,
    /// Requests still to come. `None`: unlimited.
    left: Option<u64>,
    next_index: u64,
    waiting: VecDeque<Arrival>,
}

impl ClosedLoop {
    /// `concurrency` requests arrive at once; batches have at most `most`.
    pub fn start(concurrency: u32, most: usize, requests: Option<u64>, now_ns: u64) -> Self {
        let (next_index, waiting) = (0, VecDeque::new());
        let mut closed = Self { most, left: requests, next_index, waiting };
        closed.ended((0..concurrency).map(|_| now_ns));
        closed
    }

    pub fn take(&mut self) -> Option<ArrivalBatch> {
        self.take_up_to(self.most)
    }

    /// The oldest waiting requests, at most `room`.
    pub fn take_up_to(&mut self, room: usize) -> Option<ArrivalBatch> {
        let count = self.waiting.len().min(room);
        let batch: Vec<Arrival> = self.waiting.drain(..count).collect();
        (!batch.is_empty()).then(|| ArrivalBatch { batch, not_sent: Vec::new() })
    }

    /// Ends requests at these times; their users send the next ones.
    pub fn ended(&mut self, at_ns: impl IntoIterator<Item = u64>) {
        for intended_ns in at_ns {
            if self.left == Some(0) {
                return;
            }
            self.left = self.left.map(|left| left - 1);
            let arrival = Arrival { index: self.next_index, intended_ns, delay_ns: None };
            self.waiting.push_back(arrival);
            self.next_index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(arrivals: &ArrivalBatch) -> Vec<u64> {
        arrivals.batch.iter().map(|arrival| arrival.index).collect()
    }

    #[test]
    fn users_beyond_the_batch_wait_for_their_turn() {
        let mut closed = ClosedLoop::start(3, 2, None, 100);
        assert_eq!(indices(&closed.take().unwrap()), [0, 1]);
        closed.ended([110, 120]);
        let next = closed.take().unwrap();
        assert_eq!(indices(&next), [2, 3]);
        // The third arrived at the start, the fourth when the first response came.
        let starts: Vec<u64> = next.batch.iter().map(|arrival| arrival.intended_ns).collect();
        assert_eq!(starts, [100, 110]);
    }

    #[test]
    fn it_ends_when_all_have_come() {
        let mut closed = ClosedLoop::start(2, 8, Some(3), 0);
        assert_eq!(indices(&closed.take().unwrap()), [0, 1]);
        closed.ended([5, 5]);
        assert_eq!(indices(&closed.take().unwrap()), [2]);
        closed.ended([9]);
        assert_eq!(closed.take(), None);
    }
}
