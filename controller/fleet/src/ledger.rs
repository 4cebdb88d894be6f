//! What one agent was offered on its stream, and what it has said of it: the order of the conversation, checked.
//!
//! Pure. An agent speaks of attempts that were offered to it, counts its messages from 1, gives every batch once
//! and whole, and ends each attempt once. So a hostile one can neither touch another agent's shard nor send more
//! than it was asked for.

use proto::wire::{self, from_agent::Message};
use std::collections::BTreeMap;

/// What no agent that we write says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Never offered on this stream, or over.
    #[error("attempt {attempt} of shard {shard} isn't this agent's")]
    Foreign {
        /// As it says.
        shard: u64,
        /// As it says.
        attempt: u64,
    },
    /// Replayed, or out of order.
    #[error("message {sequence} of attempt {attempt} came where {expected} was due")]
    Sequence {
        /// Which attempt.
        attempt: u64,
        /// As it says.
        sequence: u64,
        /// What was due.
        expected: u64,
    },
    /// Not offered in this attempt, or given before.
    #[error("batch {batch} of attempt {attempt} wasn't offered or came twice")]
    Batch {
        /// Which attempt.
        attempt: u64,
        /// As it says.
        batch: u32,
    },
    /// More or fewer samples than requests.
    #[error("batch {batch} has {samples} samples, {requests} were asked for")]
    Samples {
        /// Which batch.
        batch: u32,
        /// How many came.
        samples: usize,
        /// How many were asked for.
        requests: usize,
    },
    /// Over before every batch came.
    #[error("attempt {attempt} ended with {left} batches missing")]
    Unfinished {
        /// Which attempt.
        attempt: u64,
        /// Batches that didn't come.
        left: usize,
    },
}

/// Offers of one stream that aren't over.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By attempt, which no two offers share.
    offers: BTreeMap<u64, Offer>,
}

#[derive(Debug)]
struct Offer {
    shard: u64,
    next_sequence: u64,
    /// Batches that haven't come, with their number of requests.
    left: BTreeMap<u32, usize>,
}

impl Ledger {
    /// A shard is offered.
    pub fn offer(&mut self, offer: &wire::ShardOffer) {
        let sustained = offer.load.as_ref().and_then(|load| load.sustained.as_ref());
        // Under a sustained load windows come in the place of batches, and no samples with them.
        let left = match sustained {
            Some(sustained) => sustained.windows.iter().map(|window| (*window, 0)).collect(),
            None => offer.batches.iter().map(|batch| (batch.index, batch.requests.len())).collect(),
        };
        self.offers.insert(offer.attempt, Offer { shard: offer.shard, next_sequence: 1, left });
    }

    /// The agent says something that counts in the conversation's order; everything else may come at any time.
    ///
    /// # Errors
    /// [`Violation`] where it may not say this now.
    pub fn hear(&mut self, message: &Message) -> Result<(), Violation> {
        match message {
            Message::ShardAccepted(said) => self.open(said.shard, said.attempt),
            Message::Samples(said) => self.samples(said),
            Message::ShardFinished(said) => self.finish(said.shard, said.attempt),
            Message::ShardFailed(said) => self.fail(said.shard, said.attempt),
            Message::ShardRefused(said) => self.fail(said.shard, said.attempt),
            _ => Ok(()),
        }
    }

    /// The agent speaks of an attempt that goes on.
    fn open(&self, shard: u64, attempt: u64) -> Result<(), Violation> {
        let offer = self.offers.get(&attempt).filter(|offer| offer.shard == shard);
        offer.map(|_| ()).ok_or(Violation::Foreign { shard, attempt })
    }

    /// The agent brings a batch.
    fn samples(&mut self, message: &wire::Samples) -> Result<(), Violation> {
        let &wire::Samples { shard, attempt, sequence, batch, ref samples, .. } = message;
        self.open(shard, attempt)?;
        let Some(offer) = self.offers.get_mut(&attempt) else {
            return Err(Violation::Foreign { shard, attempt });
        };
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

    /// The agent says that an attempt is through.
    fn finish(&mut self, shard: u64, attempt: u64) -> Result<(), Violation> {
        self.end(shard, attempt).and_then(|offer| match offer.left.len() {
            0 => Ok(()),
            left => Err(Violation::Unfinished { attempt, left }),
        })
    }

    /// The agent gives an attempt up.
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
    fn an_honest_attempt_is_taken_once() {
        let mut ledger = Ledger::default();
        ledger.offer(&offer(3, 7, 2));
        ledger.samples(&samples(3, 7, 1, 1)).unwrap();
        ledger.samples(&samples(3, 7, 2, 0)).unwrap();
        ledger.finish(3, 7).unwrap();
        let foreign = Violation::Foreign { shard: 3, attempt: 7 };
        assert_eq!(ledger.finish(3, 7), Err(foreign));
        assert_eq!(ledger.samples(&samples(3, 7, 3, 0)), Err(foreign));
    }

    #[test]
    fn each_lie_has_its_name() {
        let mut ledger = Ledger::default();
        ledger.offer(&offer(3, 7, 2));
        let foreign = |shard, attempt| Err(Violation::Foreign { shard, attempt });
        assert_eq!(ledger.samples(&samples(4, 7, 1, 0)), foreign(4, 7));
        assert_eq!(ledger.samples(&samples(3, 8, 1, 0)), foreign(3, 8));
        assert_eq!(ledger.fail(0, 7), foreign(0, 7));
        let expected = Violation::Sequence { attempt: 7, sequence: 2, expected: 1 };
        assert_eq!(ledger.samples(&samples(3, 7, 2, 0)), Err(expected));
        let batch = Violation::Batch { attempt: 7, batch: 9 };
        assert_eq!(ledger.samples(&samples(3, 7, 1, 9)), Err(batch));
        let short = wire::Samples { samples: Vec::new(), ..samples(3, 7, 1, 0) };
        let count = Violation::Samples { batch: 0, samples: 0, requests: 2 };
        assert_eq!(ledger.samples(&short), Err(count));
        assert!(matches!(ledger.finish(3, 7), Err(Violation::Unfinished { .. })));
    }

    proptest! {
        /// Whatever is said in whatever order, no more is taken than was offered.
        #[test]
        fn no_batch_is_taken_twice(said in prop::collection::vec((0_u64..3, 0_u64..3, 0_u64..5, 0_u32..4, 0..3), 0..60)) {
            let mut ledger = Ledger::default();
            (0..3).for_each(|attempt| ledger.offer(&offer(attempt, attempt, 3)));
            let mut taken = std::collections::BTreeSet::new();
            for (shard, attempt, sequence, batch, kind) in said {
                match kind {
                    0 => drop(ledger.fail(shard, attempt)),
                    1 => drop(ledger.finish(shard, attempt)),
                    _ => if ledger.samples(&samples(shard, attempt, sequence, batch)).is_ok() {
                        prop_assert!(shard == attempt && batch < 3);
                        prop_assert!(taken.insert((attempt, batch)));
                    }
                }
            }
        }
    }
}
