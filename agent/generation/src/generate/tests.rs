//! Generation with models that count.

use super::*;
use crate::compute::Error;
use checkpoint::lora::Adapter;
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

    fn reorder(&mut self, _rows: &[usize]) -> Result<(), Failure> {
        unreachable!("no row has beams")
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
    RowRequest { ids: vec![first], stop_rule, decoding: Arc::default() }
}

type Outcome = Result<(Vec<u32>, Finish), NotFinite>;

/// Rows that join in groups, each after a number of rows have ended, and their results.
struct Groups {
    waiting: VecDeque<(usize, Vec<RowRequest>)>,
    rows: Vec<(usize, Outcome)>,
    /// The row that is cancelled after its second token.
    cancels: Option<usize>,
    told: usize,
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
        let cancelled = usize::from(self.told == 2 && self.cancels.is_none());
        match self.waiting.front() {
            Some((after, _)) if *after <= self.rows.len() + cancelled => {
                self.waiting.pop_front().expect("looked at").1
            }
            _ => Vec::new(),
        }
    }

    fn token(&mut self, number: usize, _id: u32) {
        self.told += usize::from(self.cancels == Some(number));
    }

    fn take_cancelled(&mut self) -> Vec<usize> {
        self.cancels.take_if(|_| self.told == 2).into_iter().collect()
    }

    fn ended(&mut self, number: usize, row: Result<Decoded, NotFinite>) {
        self.rows.push((number, row.map(|row| (row.ids, row.finish))));
    }
}

fn decode(
    continuous_batching: bool,
    groups: impl IntoIterator<Item = (usize, Vec<RowRequest>)>,
) -> (Groups, Counter) {
    decode_and_cancel(continuous_batching, groups, None)
}

fn decode_and_cancel(
    continuous_batching: bool,
    groups: impl IntoIterator<Item = (usize, Vec<RowRequest>)>,
    cancels: Option<usize>,
) -> (Groups, Counter) {
    let waiting = groups.into_iter().collect();
    let mut groups = Groups { waiting, rows: Vec::new(), cancels, told: 0 };
    let mut counter = Counter { continuous_batching, rows: Vec::new(), fed: Vec::new() };
    let special_tokens = SpecialTokens { eos: vec![12, 99] };
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

#[test]
fn a_cancelled_row_leaves_the_batch_at_the_next_step() {
    let orders = || vec![order(20, StopRule::Exactly(9)), order(30, StopRule::Exactly(4))];
    for continuous_batching in [false, true] {
        let (rows, counter) = decode_and_cancel(continuous_batching, [(0, orders())], Some(0));
        assert_eq!(counter.fed, [vec![0, 0], vec![21, 31], vec![32], vec![33]]);
        assert_eq!(rows.rows, [(1, Ok((vec![31, 32, 33, 34], Finish::Length)))]);
        // Once all rows are cancelled, the next ones begin a batch.
        let alone = vec![order(20, StopRule::Exactly(9))];
        let groups = [(0, alone), (1, vec![order(40, StopRule::Exactly(1))])];
        let (rows, counter) = decode_and_cancel(continuous_batching, groups, Some(0));
        assert_eq!(counter.fed, [vec![0], vec![21], vec![0]]);
        assert_eq!(rows.rows, [(1, Ok((vec![41], Finish::Length)))]);
    }
}
