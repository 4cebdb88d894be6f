//! Greedy generation: prompts and their limits in, decoded rows out as each of them ends.
//!
//! Rows that ended leave, and others may enter beside those that go on. Knows nothing of texts, and of the model only [`Compute`].

use super::compute::{Best, Compute};
use model::failure::Failure;
use model::sample::Finish;
use stopwatch::Stopwatch;

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

/// Where rows come from, and where they go.
pub trait Orders {
    /// Those that may enter now. Rows are numbered from 0 in the order in which they enter. Nothing more comes where
    /// none enters while none is there.
    fn enter(&mut self) -> Vec<Order>;

    /// A row has ended. Told once for every one that entered.
    fn ended(&mut self, number: usize, row: Result<Decoded, NotFinite>);
}

/// The rows that are there.
#[derive(Default)]
struct Hall {
    live: Vec<Live>,
    /// What the decoder is fed next.
    tokens: Vec<u32>,
    /// How many rows have entered so far.
    entered: usize,
}

struct Live {
    number: usize,
    until: Until,
    ids: Vec<u32>,
    first_token_ns: u64,
}

/// Decodes orders until no more come. Where the model supports [continuous batching](Compute::continuous_batching), rows beside others they may enter
/// before every token, else only where none is left.
///
/// # Errors
/// A [`Failure`] of all rows that are there.
pub fn generate(
    model: &mut dyn Compute,
    marks: &Marks,
    orders: &mut dyn Orders,
    stopwatch: &Stopwatch,
) -> Result<(), Failure> {
    let mut hall = Hall::default();
    let mut best: Vec<Best> = Vec::new();
    let mut kept: Vec<usize> = Vec::new();
    loop {
        if hall.live.is_empty() || model.continuous_batching() {
            let new = orders.enter();
            if new.is_empty() && hall.live.is_empty() {
                return Ok(());
            }
            hall.let_in(model, marks, new, orders, stopwatch)?;
            if hall.live.is_empty() {
                continue;
            }
        }
        model.step(&hall.tokens, &mut best)?;
        hall.take(&best, stopwatch.now_ns(), marks, orders, &mut kept);
        if kept.len() < best.len() && !kept.is_empty() {
            model.keep(&kept)?;
        }
    }
}

impl Hall {
    fn let_in(
        &mut self,
        model: &mut dyn Compute,
        marks: &Marks,
        new: Vec<Order>,
        orders: &mut dyn Orders,
        stopwatch: &Stopwatch,
    ) -> Result<(), Failure> {
        let numbered = (self.entered..).zip(new);
        let (new, without_tokens): (Vec<_>, Vec<_>) =
            numbered.partition(|(_, order)| order.until.limit() > 0);
        self.entered += new.len() + without_tokens.len();
        for (number, _) in without_tokens {
            let first_token_ns = stopwatch.now_ns();
            orders.ended(
                number,
                Ok(Decoded { ids: Vec::new(), first_token_ns, finish: Finish::Length }),
            );
        }
        let Some(max_steps) = new.iter().map(|(_, order)| order.until.limit()).max() else {
            return Ok(());
        };
        let prompts: Vec<&[u32]> = new.iter().map(|(_, order)| order.ids.as_slice()).collect();
        if self.live.is_empty() {
            model.encode(&prompts, max_steps)?;
        } else {
            model.admit(&prompts, max_steps)?;
        }
        let rows = new.iter().map(|(number, order)| {
            let until = order.until;
            Live { number: *number, until, ids: Vec::new(), first_token_ns: 0 }
        });
        self.live.extend(rows);
        self.tokens.resize(self.live.len(), marks.start);
        Ok(())
    }

    /// Every row takes its best token; `kept` are the places of those that go on.
    fn take(
        &mut self,
        best: &[Best],
        now: u64,
        marks: &Marks,
        orders: &mut dyn Orders,
        kept: &mut Vec<usize>,
    ) {
        self.tokens.clear();
        kept.clear();
        let mut places = best.iter().enumerate();
        self.live.retain_mut(|row| {
            let (place, next) = places.next().expect("a best token for every row");
            match row.take(*next, now, marks) {
                Step::GoesOn => {
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
    GoesOn,
    Ends(Result<Decoded, NotFinite>),
}

impl Live {
    fn take(&mut self, next: Best, now: u64, marks: &Marks) -> Step {
        let until = self.until;
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
    use crate::Error;
    use crate::lora::Adapter;
    use std::collections::VecDeque;

    /// Counts up from each prompt's first id; a row of id 90 or above is not finite.
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

        fn admit(&mut self, prompts: &[&[u32]], _max_steps: usize) -> Result<(), Failure> {
            self.rows.extend(prompts.iter().map(|ids| ids[0]));
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

    type Outcome = Result<(Vec<u32>, Finish), NotFinite>;

    /// Orders that enter in groups, each once so many rows have ended, and what became of them.
    struct Groups {
        waiting: VecDeque<(usize, Vec<Order>)>,
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

    impl Orders for Groups {
        fn enter(&mut self) -> Vec<Order> {
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
        groups: impl IntoIterator<Item = (usize, Vec<Order>)>,
    ) -> (Groups, Counter) {
        let mut groups = Groups { waiting: groups.into_iter().collect(), rows: Vec::new() };
        let mut counter = Counter { continuous_batching, rows: Vec::new(), fed: Vec::new() };
        let marks = Marks { start: 0, eos: vec![12, 99] };
        generate(&mut counter, &marks, &mut groups, &Stopwatch::played()).unwrap();
        (groups, counter)
    }

    #[test]
    fn every_row_ends_by_its_own_rule_and_leaves_the_batch() {
        let orders = vec![
            order(10, Until::EosOr(9)),
            order(20, Until::EosOr(2)),
            order(10, Until::Exactly(4)),
            order(30, Until::EosOr(0)),
            order(90, Until::EosOr(5)),
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
            let first = vec![order(20, Until::Exactly(1)), order(30, Until::Exactly(3))];
            [(0, first), (1, vec![order(40, Until::Exactly(2)), order(50, Until::EosOr(0))])]
        };
        let (rows, counter) = decode(true, groups());
        assert_eq!(counter.fed, [vec![0, 0], vec![31, 0], vec![32, 41]]);
        assert_eq!(rows.row(1), Ok((vec![31, 32, 33], Finish::Length)));
        assert_eq!(rows.row(2), Ok((vec![41, 42], Finish::Length)));
        assert_eq!(rows.row(3), Ok((vec![], Finish::Length)));
        // Where it doesn't, they come when the others are through, and their tokens are the same.
        let (alone, counter) = decode(false, groups());
        assert_eq!(counter.fed, [vec![0, 0], vec![31], vec![32], vec![0], vec![41]]);
        for number in 0..4 {
            assert_eq!(alone.row(number), rows.row(number));
        }
    }
}
