//! The protocol state of one agent's stream: checks every message against what was offered.
//!
//! Pure. An agent may only refer to attempts offered to it, numbers its messages from 1, sends every batch once and
//! whole, and ends each attempt once. A hostile agent can therefore neither touch another agent's shard nor send more
//! than was requested.

use proto::wire::{self, from_agent::Message};
use std::collections::BTreeMap;

/// A message that violates the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Never offered on this stream, or already ended.
    #[error("attempt {attempt} of shard {shard} was not offered to this agent")]
    Foreign { shard: u64, attempt: u64 },
    #[error("message {sequence} of attempt {attempt}: expected {expected}")]
    Sequence { attempt: u64, sequence: u64, expected: u64 },
    #[error("batch {batch} of attempt {attempt} was not offered or is a duplicate")]
    Batch { attempt: u64, batch: u32 },
    #[error("batch {batch} has {samples} samples, expected {requests}")]
    Samples { batch: u32, samples: usize, requests: usize },
    #[error("attempt {attempt} ended with {left} batches missing")]
    Unfinished { attempt: u64, left: usize },
}

/// The open offers of one stream.
#[derive(Debug, Default)]
pub struct StreamProtocol {
    /// By attempt.
    offers: BTreeMap<u64, Offer>,
}

/// What an attempt measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub cell: String,
    /// From 1.
    pub run: u32,
}

#[derive(Debug)]
struct Offer {
    shard: u64,
    place: Place,
    next_sequence: u64,
    /// Missing batches, with their number of requests.
    left: BTreeMap<u32, usize>,
}

impl StreamProtocol {
    pub fn offer(&mut self, offer: &wire::ShardOffer) {
        let sustained = offer.load.as_ref().and_then(|load| load.sustained.as_ref());
        // Under a sustained load, windows replace batches and carry no samples.
        let left = match sustained {
            Some(sustained) => sustained.windows.iter().map(|window| (*window, 0)).collect(),
            None => offer.batches.iter().map(|batch| (batch.index, batch.requests.len())).collect(),
        };
        let place = Place { cell: offer.cell.clone(), run: offer.run };
        let open = Offer { shard: offer.shard, place, next_sequence: 1, left };
        self.offers.insert(offer.attempt, open);
    }

    /// What an open attempt measures.
    pub fn place(&self, attempt: u64) -> Option<&Place> {
        self.offers.get(&attempt).map(|offer| &offer.place)
    }

    /// Records a message. Messages outside the shard protocol are allowed at any time.
    pub fn hear(&mut self, message: &Message) -> Result<(), Violation> {
        match message {
            Message::ShardAccepted(said) => self.open(said.shard, said.attempt).map(|_| ()),
            Message::Samples(said) => self.samples(said),
            Message::ShardFinished(said) => self.finish(said.shard, said.attempt),
            Message::ShardFailed(said) => self.fail(said.shard, said.attempt),
            Message::ShardRefused(said) => self.fail(said.shard, said.attempt),
            _ => Ok(()),
        }
    }

    fn open(&mut self, shard: u64, attempt: u64) -> Result<&mut Offer, Violation> {
        let offer = self.offers.get_mut(&attempt).filter(|offer| offer.shard == shard);
        offer.ok_or(Violation::Foreign { shard, attempt })
    }

    fn samples(&mut self, message: &wire::Samples) -> Result<(), Violation> {
        let &wire::Samples { shard, attempt, sequence, batch, ref samples, .. } = message;
        let offer = self.open(shard, attempt)?;
        let expected = offer.next_sequence;
        if sequence != expected {
            return Err(Violation::Sequence { attempt, sequence, expected });
        }
        let requests = offer.left.remove(&batch).ok_or(Violation::Batch { attempt, batch })?;
        if samples.len() != requests {
            return Err(Violation::Samples { batch, samples: samples.len(), requests });
        }
        offer.next_sequence += 1;
        Ok(())
    }

    fn finish(&mut self, shard: u64, attempt: u64) -> Result<(), Violation> {
        self.end(shard, attempt).and_then(|offer| match offer.left.len() {
            0 => Ok(()),
            left => Err(Violation::Unfinished { attempt, left }),
        })
    }

    fn fail(&mut self, shard: u64, attempt: u64) -> Result<(), Violation> {
        self.end(shard, attempt).map(drop)
    }

    fn end(&mut self, shard: u64, attempt: u64) -> Result<Offer, Violation> {
        self.open(shard, attempt)?;
        self.offers.remove(&attempt).ok_or(Violation::Foreign { shard, attempt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offer(shard: u64, attempt: u64, batches: u32) -> wire::ShardOffer {
        let requests = vec![wire::Request::default(); 2];
        let batches =
            (0..batches).map(|index| wire::Batch { index, requests: requests.clone() }).collect();
        wire::ShardOffer { shard, attempt, batches, ..wire::ShardOffer::default() }
    }

    fn samples(shard: u64, attempt: u64, sequence: u64, batch: u32) -> wire::Samples {
        let samples = vec![wire::Sample::default(); 2];
        wire::Samples { shard, attempt, sequence, batch, samples, window: None }
    }

    #[test]
    fn an_attempt_is_accepted_once() {
        let mut protocol = StreamProtocol::default();
        protocol.offer(&offer(3, 7, 2));
        protocol.samples(&samples(3, 7, 1, 1)).unwrap();
        protocol.samples(&samples(3, 7, 2, 0)).unwrap();
        protocol.finish(3, 7).unwrap();
        let foreign = Violation::Foreign { shard: 3, attempt: 7 };
        assert_eq!(protocol.finish(3, 7), Err(foreign));
        assert_eq!(protocol.samples(&samples(3, 7, 3, 0)), Err(foreign));
    }

    #[test]
    fn each_violation_has_its_variant() {
        let mut protocol = StreamProtocol::default();
        protocol.offer(&offer(3, 7, 2));
        let foreign = |shard, attempt| Err(Violation::Foreign { shard, attempt });
        assert_eq!(protocol.samples(&samples(4, 7, 1, 0)), foreign(4, 7));
        assert_eq!(protocol.samples(&samples(3, 8, 1, 0)), foreign(3, 8));
        assert_eq!(protocol.fail(0, 7), foreign(0, 7));
        let expected = Violation::Sequence { attempt: 7, sequence: 2, expected: 1 };
        assert_eq!(protocol.samples(&samples(3, 7, 2, 0)), Err(expected));
        let batch = Violation::Batch { attempt: 7, batch: 9 };
        assert_eq!(protocol.samples(&samples(3, 7, 1, 9)), Err(batch));
        let short = wire::Samples { samples: Vec::new(), ..samples(3, 7, 1, 0) };
        let count = Violation::Samples { batch: 0, samples: 0, requests: 2 };
        assert_eq!(protocol.samples(&short), Err(count));
        assert!(matches!(protocol.finish(3, 7), Err(Violation::Unfinished { .. })));
    }

    proptest! {
        /// In any order of messages, no more is accepted than was offered.
        #[test]
        fn no_batch_is_accepted_twice(said in prop::collection::vec((0_u64..3, 0_u64..3, 0_u64..5, 0_u32..4, 0..3), 0..60)) {
            let mut protocol = StreamProtocol::default();
            (0..3).for_each(|attempt| protocol.offer(&offer(attempt, attempt, 3)));
            let mut taken = std::collections::BTreeSet::new();
            for (shard, attempt, sequence, batch, kind) in said {
                match kind {
                    0 => drop(protocol.fail(shard, attempt)),
                    1 => drop(protocol.finish(shard, attempt)),
                    _ => if protocol.samples(&samples(shard, attempt, sequence, batch)).is_ok() {
                        prop_assert!(shard == attempt && batch < 3);
                        prop_assert!(taken.insert((attempt, batch)));
                    }
                }
            }
        }
    }
}
