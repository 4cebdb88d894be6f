//! Greedy generation: prompts with stop rules in, decoded rows out as they end.
//!
//! Ended rows leave the batch, and new ones can join it. Does not know texts, and knows the model
//! only as [`Compute`].

use super::compute::{Compute, NextToken};
use model::{failure::Failure, sample::Finish};
use stopwatch::Stopwatch;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRequest {
    /// The prompt: not empty, all ids below the vocabulary.
    pub ids: Vec<u32>,
    pub stop_rule: StopRule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRule {
    /// At `</s>`, or after this many tokens.
    EosOr(usize),
    /// After this many tokens, ignoring `</s>`.
    Exactly(usize),
}

impl StopRule {
    fn limit(self) -> usize {
        match self {
            Self::EosOr(limit) | Self::Exactly(limit) => limit,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Without the start token, including a final `</s>`.
    pub ids: Vec<u32>,
    pub first_token_ns: u64,
    pub finish: Finish,
}

/// Logits that overflowed to infinity or NaN.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("non-finite logit {logit} at output token {place}")]
pub struct NotFinite {
    /// The output token, from 0.
    pub place: usize,
    pub logit: f32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialTokens {
    /// The decoder's first input.
    pub start: u32,
    /// Tokens that end a row.
    pub eos: Vec<u32>,
}

/// The source of rows and the sink of results.
pub trait RowQueue {
    /// Returns the rows that join now, numbered from 0 in this order. An empty list while no row is
    /// active ends generation.
    fn enter(&mut self) -> Vec<RowRequest>;

    /// Called exactly once for every row.
    fn ended(&mut self, number: usize, row: Result<Decoded, NotFinite>);
}

#[derive(Default)]
struct ActiveRows {
    live: Vec<ActiveRow>,
    /// The decoder's next input.
    tokens: Vec<u32>,
    /// Rows added so far.
    entered: usize,
}

struct ActiveRow {
    number: usize,
    stop_rule: StopRule,
    ids: Vec<u32>,
    first_token_ns: u64,
}

/// Decodes rows until there are no more. With continuous batching new rows join before every token,
/// otherwise only after the batch has ended. An error fails all active rows.
pub fn generate(
    model: &mut dyn Compute,
    special_tokens: &SpecialTokens,
    orders: &mut dyn RowQueue,
    stopwatch: &Stopwatch,
) -> Result<(), Failure> {
    let mut active = ActiveRows::default();
    let mut best: Vec<NextToken> = Vec::new();
    let mut kept: Vec<usize> = Vec::new();
    loop {
        if active.live.is_empty() || model.continuous_batching() {
            let new = orders.enter();
            if new.is_empty() && active.live.is_empty() {
                return Ok(());
            }
            active.add_rows(model, special_tokens, new, orders, stopwatch)?;
            if active.live.is_empty() {
                continue;
            }
        }
        model.step(&active.tokens, &mut best)?;
        active.take(&best, stopwatch.now_ns(), special_tokens, orders, &mut kept);
        if kept.len() < best.len() && !kept.is_empty() {
            model.retain(&kept)?;
        }
    }
}

impl ActiveRows {
    fn add_rows(
        &mut self,
        model: &mut dyn Compute,
        special_tokens: &SpecialTokens,
        new: Vec<RowRequest>,
        orders: &mut dyn RowQueue,
        stopwatch: &Stopwatch,
    ) -> Result<(), Failure> {
        let numbered = (self.entered..).zip(new);
        let (new, without_tokens): (Vec<_>, Vec<_>) =
            numbered.partition(|(_, order)| order.stop_rule.limit() > 0);
        self.entered += new.len() + without_tokens.len();
        for (number, _) in without_tokens {
            let first_token_ns = stopwatch.now_ns();
            orders.ended(
                number,
                Ok(Decoded { ids: Vec::new(), first_token_ns, finish: Finish::Length }),
            );
        }
        let Some(max_steps) = new.iter().map(|(_, order)| order.stop_rule.limit()).max() else {
            return Ok(());
        };
        let prompts: Vec<&[u32]> = new.iter().map(|(_, order)| order.ids.as_slice()).collect();
        if self.live.is_empty() {
            model.encode(&prompts, max_steps)?;
        } else {
            model.add(&prompts, max_steps)?;
        }
        let rows = new.iter().map(|(number, order)| {
            let stop_rule = order.stop_rule;
            ActiveRow { number: *number, stop_rule, ids: Vec::new(), first_token_ns: 0 }
        });
        self.live.extend(rows);
        self.tokens.resize(self.live.len(), special_tokens.start);
        Ok(())
    }

    /// Appends each row's next token. `kept`: indices of the rows that continue.
    fn take(
        &mut self,
        best: &[NextToken],
        now: u64,
        special_tokens: &SpecialTokens,
        orders: &mut dyn RowQueue,
        kept: &mut Vec<usize>,
    ) {
        self.tokens.clear();
        kept.clear();
        let mut places = best.iter().enumerate();
        self.live.retain_mut(|row| {
            let (place, next) = places.next().expect("a best token for every row");
            match row.take(*next, now, special_tokens) {
                Step::Continues => {
                    kept.push(place);
                    self.tokens.push(next.id);
                    true
                }
                Step::Ends(outcome) => {
                    orders.ended(row.number, outcome);
                    false
                }
            }
        });
    }
}

enum Step {
    Continues,
    Ends(Result<Decoded, NotFinite>),
}

impl ActiveRow {
    fn take(&mut self, next: NextToken, now: u64, special_tokens: &SpecialTokens) -> Step {
        let stop_rule = self.stop_rule;
        if !next.logit.is_finite() {
            return Step::Ends(Err(NotFinite { place: self.ids.len(), logit: next.logit }));
        }
        if self.ids.is_empty() {
            self.first_token_ns = now;
        }
        self.ids.push(next.id);
        let is_eos =
            matches!(stop_rule, StopRule::EosOr(_)) && special_tokens.eos.contains(&next.id);
        let finish = if is_eos {
            Finish::Eos
        } else if self.ids.len() == stop_rule.limit() {
            Finish::Length
        } else {
            return Step::Continues;
        };
        let ids = std::mem::take(&mut self.ids);
        Step::Ends(Ok(Decoded { ids, first_token_ns: self.first_token_ns, finish }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::lora::Adapter;
    use std::collections::VecDeque;

    /// Counts up from each prompt's first id; ids above 90 are not finite.
    struct Counter {
        continuous_batching: bool,
        rows: Vec<u32>,
        fed: Vec<Vec<u32>>,
    }

    impl Compute for Counter {
        fn encode(&mut self, prompts: &[&[u32]], _max_steps: usize) -> Result<(), Failure> {
            self.rows = prompts.iter().map(|ids| ids[0]).collect();
            Ok(())
        }

        fn continuous_batching(&self) -> bool {
            self.continuous_batching
        }

        fn add(&mut self, prompts: &[&[u32]], _max_steps: usize) -> Result<(), Failure> {
            self.rows.extend(prompts.iter().map(|ids| ids[0]));
            Ok(())
        }

        fn step(&mut self, tokens: &[u32], best: &mut Vec<NextToken>) -> Result<(), Failure> {
            assert_eq!(tokens.len(), self.rows.len());
            self.fed.push(tokens.to_vec());
            best.clear();
            for row in &mut self.rows {
                *row += 1;
                best.push(NextToken { id: *row, logit: if *row > 90 { f32::NAN } else { 0.0 } });
            }
            Ok(())
        }

        fn step_logits(&mut self, _tokens: &[u32]) -> Result<Vec<f32>, Failure> {
            unreachable!("generation asks for the best token only")
        }

        fn retain(&mut self, rows: &[usize]) -> Result<(), Failure> {
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

    fn order(first: u32, stop_rule: StopRule) -> RowRequest {
        RowRequest { ids: vec![first], stop_rule }
    }

    type Outcome = Result<(Vec<u32>, Finish), NotFinite>;

    /// Rows that join in groups, each after a number of rows have ended, and their results.
    struct Groups {
        waiting: VecDeque<(usize, Vec<RowRequest>)>,
        rows: Vec<(usize, Outcome)>,
    }

    impl Groups {
        fn row(&self, number: usize) -> Outcome {
            let mut found = self.rows.iter().filter(|(of, _)| *of == number);
            let row = found.next().expect("it ended").1.clone();
            assert!(found.next().is_none(), "row {number} ended twice");
            row
        }
    }

    impl RowQueue for Groups {
        fn enter(&mut self) -> Vec<RowRequest> {
            match self.waiting.front() {
                Some((after, _)) if *after <= self.rows.len() => {
                    self.waiting.pop_front().expect("looked at").1
                }
                _ => Vec::new(),
            }
        }

        fn ended(&mut self, number: usize, row: Result<Decoded, NotFinite>) {
            self.rows.push((number, row.map(|row| (row.ids, row.finish))));
        }
    }

    fn decode(
        continuous_batching: bool,
        groups: impl IntoIterator<Item = (usize, Vec<RowRequest>)>,
    ) -> (Groups, Counter) {
        let mut groups = Groups { waiting: groups.into_iter().collect(), rows: Vec::new() };
        let mut counter = Counter { continuous_batching, rows: Vec::new(), fed: Vec::new() };
        let special_tokens = SpecialTokens { start: 0, eos: vec![12, 99] };
        generate(&mut counter, &special_tokens, &mut groups, &Stopwatch::synthetic()).unwrap();
        (groups, counter)
    }

    #[test]
    fn every_row_ends_by_its_own_rule_and_leaves_the_batch() {
        let orders = vec![
            order(10, StopRule::EosOr(9)),
            order(20, StopRule::EosOr(2)),
            order(10, StopRule::Exactly(4)),
            order(30, StopRule::EosOr(0)),
            order(90, StopRule::EosOr(5)),
        ];
        let (rows, counter) = decode(false, [(0, orders)]);
        assert_eq!(rows.row(0), Ok((vec![11, 12], Finish::Eos)));
        assert_eq!(rows.row(1), Ok((vec![21, 22], Finish::Length)));
        assert_eq!(rows.row(2), Ok((vec![11, 12, 13, 14], Finish::Length)));
        assert_eq!(rows.row(3), Ok((vec![], Finish::Length)));
        assert_eq!(rows.row(4).unwrap_err().place, 0);
        assert_eq!(counter.fed, [vec![0, 0, 0, 0], vec![11, 21, 11], vec![12], vec![13]]);
    }

    #[test]
    fn who_waits_enters_beside_those_that_go_on_where_the_model_lets_it() {
        let groups = || {
            let first = vec![order(20, StopRule::Exactly(1)), order(30, StopRule::Exactly(3))];
            [(0, first), (1, vec![order(40, StopRule::Exactly(2)), order(50, StopRule::EosOr(0))])]
        };
        let (rows, counter) = decode(true, groups());
        assert_eq!(counter.fed, [vec![0, 0], vec![31, 0], vec![32, 41]]);
        assert_eq!(rows.row(1), Ok((vec![31, 32, 33], Finish::Length)));
        assert_eq!(rows.row(2), Ok((vec![41, 42], Finish::Length)));
        assert_eq!(rows.row(3), Ok((vec![], Finish::Length)));
        // Otherwise they follow the batch, and their tokens are the same.
        let (alone, counter) = decode(false, groups());
        assert_eq!(counter.fed, [vec![0, 0], vec![31], vec![32], vec![0], vec![41]]);
        for number in 0..4 {
            assert_eq!(alone.row(number), rows.row(number));
        }
    }
}
