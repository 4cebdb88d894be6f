//! Greedy generation: prompts and their limits in, decoded rows out as each of them ends.
//!
//! Rows that ended leave the batch. Knows nothing of texts, and of the model only [`Compute`].

use super::compute::{Best, Compute};
use crate::stopwatch::Stopwatch;
use proto::failure::Failure;
use proto::sample::Finish;

/// One row of a batch that is to be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The prompt. Not empty; all ids below the vocabulary.
    pub ids: Vec<u32>,
    /// What ends the row.
    pub until: Until,
}

/// What ends a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// `</s>`, or this many tokens.
    EosOr(usize),
    /// This many tokens; `</s>` is a token like others.
    Exactly(usize),
}

impl Until {
    fn limit(self) -> usize {
        match self {
            Self::EosOr(limit) | Self::Exactly(limit) => limit,
        }
    }
}

/// A row that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Without the start token; with `</s>` where it came.
    pub ids: Vec<u32>,
    /// When the first of them was known.
    pub first_token_ns: u64,
    /// How it ended.
    pub finish: Finish,
}

/// A row whose logits ran away to infinity or not-a-number.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the best logit of output token {place} is {logit}: the model's numbers ran away")]
pub struct NotFinite {
    /// Which output token, from 0.
    pub place: usize,
    /// Its logit.
    pub logit: f32,
}

/// The tokens with a meaning of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// The decoder's first input.
    pub start: u32,
    /// What ends a row.
    pub eos: Vec<u32>,
}

struct Live {
    /// Place among the orders.
    order: usize,
    ids: Vec<u32>,
    first_token_ns: u64,
}

/// Decodes a batch. `ended` is called once for every order, with its place, as soon as it has ended.
///
/// # Errors
/// A [`Failure`] of the whole batch.
pub fn generate(
    model: &mut dyn Compute,
    marks: &Marks,
    orders: &[Order],
    stopwatch: &Stopwatch,
    ended: &mut dyn FnMut(usize, Result<Decoded, NotFinite>),
) -> Result<(), Failure> {
    let mut live: Vec<Live> = Vec::with_capacity(orders.len());
    for (order, wanted) in orders.iter().enumerate() {
        if wanted.until.limit() == 0 {
            let first_token_ns = stopwatch.now_ns();
            ended(order, Ok(Decoded { ids: Vec::new(), first_token_ns, finish: Finish::Length }));
        } else {
            live.push(Live { order, ids: Vec::new(), first_token_ns: 0 });
        }
    }
    let Some(max_steps) = live.iter().map(|row| orders[row.order].until.limit()).max() else {
        return Ok(());
    };
    let prompts: Vec<&[u32]> = live.iter().map(|row| orders[row.order].ids.as_slice()).collect();
    model.encode(&prompts, max_steps)?;

    let mut tokens = vec![marks.start; live.len()];
    let mut best: Vec<Best> = Vec::with_capacity(live.len());
    let mut kept: Vec<usize> = Vec::with_capacity(live.len());
    loop {
        model.step(&tokens, &mut best)?;
        let now = stopwatch.now_ns();
        tokens.clear();
        kept.clear();
        let mut place = 0;
        live.retain_mut(|row| {
            let next = best[place];
            let goes_on = match row.take(next, now, orders[row.order].until, marks) {
                Step::GoesOn => true,
                Step::Ends(outcome) => {
                    ended(row.order, outcome);
                    false
                }
            };
            if goes_on {
                kept.push(place);
                tokens.push(next.id);
            }
            place += 1;
            goes_on
        });
        if live.is_empty() {
            return Ok(());
        }
        if kept.len() < best.len() {
            model.keep(&kept)?;
        }
    }
}

enum Step {
    GoesOn,
    Ends(Result<Decoded, NotFinite>),
}

impl Live {
    fn take(&mut self, next: Best, now: u64, until: Until, marks: &Marks) -> Step {
        if !next.logit.is_finite() {
            return Step::Ends(Err(NotFinite { place: self.ids.len(), logit: next.logit }));
        }
        if self.ids.is_empty() {
            self.first_token_ns = now;
        }
        self.ids.push(next.id);
        let is_eos = matches!(until, Until::EosOr(_)) && marks.eos.contains(&next.id);
        let finish = if is_eos {
            Finish::Eos
        } else if self.ids.len() == until.limit() {
            Finish::Length
        } else {
            return Step::GoesOn;
        };
        let ids = std::mem::take(&mut self.ids);
        Step::Ends(Ok(Decoded { ids, first_token_ns: self.first_token_ns, finish }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::t5::Error;
    use crate::engine::t5::lora::Adapter;

    /// Counts up from each prompt's first id; a row of id 90 or above is not finite.
    struct Counter {
        rows: Vec<u32>,
        fed: Vec<Vec<u32>>,
    }

    impl Compute for Counter {
        fn encode(&mut self, prompts: &[&[u32]], _max_steps: usize) -> Result<(), Failure> {
            self.rows = prompts.iter().map(|ids| ids[0]).collect();
            Ok(())
        }

        fn step(&mut self, tokens: &[u32], best: &mut Vec<Best>) -> Result<(), Failure> {
            assert_eq!(tokens.len(), self.rows.len());
            self.fed.push(tokens.to_vec());
            best.clear();
            for row in &mut self.rows {
                *row += 1;
                best.push(Best { id: *row, logit: if *row > 90 { f32::NAN } else { 0.0 } });
            }
            Ok(())
        }

        fn step_logits(&mut self, _tokens: &[u32]) -> Result<Vec<f32>, Failure> {
            unreachable!("generation asks for the best token only")
        }

        fn keep(&mut self, rows: &[usize]) -> Result<(), Failure> {
            self.rows = rows.iter().map(|row| self.rows[*row]).collect();
            Ok(())
        }

        fn adapt(&mut self, _adapter: Option<&Adapter>) -> Result<(), Error> {
            unreachable!("generation changes no weights")
        }

        fn adapter_bytes(&self) -> u64 {
            0
        }

        fn kernel(&self) -> String {
            "counter".to_owned()
        }

        fn weight_bytes(&self) -> u64 {
            0
        }

        fn cache_bytes(&self) -> u64 {
            0
        }
    }

    fn order(first: u32, until: Until) -> Order {
        Order { ids: vec![first], until }
    }

    #[test]
    fn every_row_ends_by_its_own_rule_and_leaves_the_batch() {
        let orders = [
            order(10, Until::EosOr(9)),
            order(20, Until::EosOr(2)),
            order(10, Until::Exactly(4)),
            order(30, Until::EosOr(0)),
            order(90, Until::EosOr(5)),
        ];
        let mut counter = Counter { rows: Vec::new(), fed: Vec::new() };
        let mut rows = vec![None; orders.len()];
        let marks = Marks { start: 0, eos: vec![12, 99] };
        generate(&mut counter, &marks, &orders, &Stopwatch::played(), &mut |place, row| {
            assert!(rows[place].is_none(), "row {place} ended twice");
            rows[place] = Some(row.map(|row| (row.ids, row.finish)));
        })
        .unwrap();
        let row = |place: usize| rows[place].clone().unwrap();
        assert_eq!(row(0), Ok((vec![11, 12], Finish::Eos)));
        assert_eq!(row(1), Ok((vec![21, 22], Finish::Length)));
        assert_eq!(row(2), Ok((vec![11, 12, 13, 14], Finish::Length)));
        assert_eq!(row(3), Ok((vec![], Finish::Length)));
        assert_eq!(row(4).unwrap_err().place, 0);
        assert_eq!(counter.fed, [vec![0, 0, 0, 0], vec![11, 21, 11], vec![12], vec![13]]);
    }
}
