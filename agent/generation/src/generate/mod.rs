//! Generation: prompts with stop rules and settings in, decoded rows out as they end.
//!
//! A request is one row of the decoder, or one per beam. Ended rows leave the batch, and new ones
//! can join it; the tokens of a request do not depend on the others. Does not know texts, and knows
//! the model only as [`Compute`].

mod beams;
mod log_softmax;
mod rules;
mod sampling;

use super::compute::{Compute, NextToken};
use beams::{BeamSearch, Continued, Next, Summary};
use model::{failure::Failure, generation::Decoding, sample::Finish};
use rules::Rules;
use sampling::Draws;
use std::sync::Arc;
use stopwatch::Stopwatch;

#[derive(Debug, Clone, PartialEq)]
pub struct RowRequest {
    /// The prompt: not empty, all ids below the vocabulary.
    pub ids: Vec<u32>,
    /// Replaces the limit of `decoding`.
    pub stop_rule: StopRule,
    /// All ids below the vocabulary.
    pub decoding: Arc<Decoding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRule {
    /// At `</s>`, or after this many tokens.
    EosOr(usize),
    /// After this many tokens, ignoring `</s>`.
    Exactly(usize),
}

impl StopRule {
    /// Of output tokens.
    pub fn limit(self) -> usize {
        match self {
            Self::EosOr(limit) | Self::Exactly(limit) => limit,
        }
    }

    /// The tokens that end a row.
    fn eos(self, special_tokens: &SpecialTokens) -> &[u32] {
        match self {
            Self::EosOr(_) => &special_tokens.eos,
            Self::Exactly(_) => &[],
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// Without the start token or the prompt, including a final `</s>`.
    pub ids: Vec<u32>,
    /// `None` if there was none, or with beams: which tokens are first is known at the end.
    pub first_token_ns: Option<u64>,
    pub finish: Finish,
    /// The sum of the log probabilities, divided by the length to the power of the length penalty.
    /// `None` without beams.
    pub score: Option<f32>,
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
    /// Tokens that end a row.
    pub eos: Vec<u32>,
}

/// The source of rows and the sink of results.
pub trait RowQueue {
    /// Returns the rows that join now, numbered from 0 in this order. An empty list while no row is
    /// active ends generation.
    fn enter(&mut self) -> Vec<RowRequest>;

    /// The next token of a row, before the row ends with it.
    fn token(&mut self, _number: usize, _id: u32) {}

    /// The numbers of active rows that leave the batch now and don't end. Called before every token.
    fn take_cancelled(&mut self) -> Vec<usize> {
        Vec::new()
    }

    /// Called exactly once for every row that isn't cancelled.
    fn ended(&mut self, number: usize, row: Result<Decoded, NotFinite>);
}

#[derive(Default)]
struct ActiveRows {
    live: Vec<ActiveRow>,
    /// The decoder's next input, one per row of the decoder.
    tokens: Vec<u32>,
    /// For each of them, the row of the last step that it continues.
    origins: Vec<usize>,
    /// Rows added so far.
    entered: usize,
}

/// One request.
struct ActiveRow {
    number: usize,
    stop_rule: StopRule,
    search: Search,
    first_token_ns: Option<u64>,
}

enum Search {
    /// The highest logit, without conditions. Holds the generated tokens.
    Plain(Vec<u32>),
    /// The highest score under conditions, or a token drawn by the scores.
    Ruled {
        decoding: Arc<Decoding>,
        draws: Option<Draws>,
        /// What was given, the start token or the prompt, and the generated tokens.
        history: Vec<u32>,
        /// How many were given.
        given: usize,
    },
    Beams(Box<BeamSearch>),
}

/// What one step computed.
#[derive(Default)]
struct StepResults {
    /// Of the rows that are searched without conditions.
    best: Vec<NextToken>,
    /// The other rows, ascending.
    scored: Vec<usize>,
    /// Their logits, `[scored, vocabulary]`.
    logits: Vec<f32>,
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
    let mut results = StepResults::default();
    loop {
        active.remove(&orders.take_cancelled(), model)?;
        if active.live.is_empty() || model.continuous_batching() {
            let new = orders.enter();
            if new.is_empty() && active.live.is_empty() {
                return Ok(());
            }
            active.add_rows(model, special_tokens, new, orders)?;
            if active.live.is_empty() {
                continue;
            }
        }
        let rows = active.tokens.len();
        active.scored_rows(&mut results.scored);
        if results.scored.is_empty() {
            model.step(&active.tokens, &mut results.best)?;
        } else {
            let StepResults { best, scored, logits } = &mut results;
            model.step_scored(&active.tokens, scored, best, logits)?;
        }
        active.take(&mut results, stopwatch.now_ns(), special_tokens, orders);
        let origins = &active.origins;
        let is_unchanged = origins.len() == rows && origins.iter().copied().eq(0..rows);
        if !origins.is_empty() && !is_unchanged {
            if origins.is_sorted_by(|one, next| one < next) {
                model.retain(origins)?;
            } else {
                model.reorder(origins)?;
            }
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
    ) -> Result<(), Failure> {
        let numbered = (self.entered..).zip(new);
        let (new, without_tokens): (Vec<_>, Vec<_>) =
            numbered.partition(|(_, order)| order.stop_rule.limit() > 0);
        self.entered += new.len() + without_tokens.len();
        for (number, _) in without_tokens {
            let (ids, first_token_ns, finish) = (Vec::new(), None, Finish::Length);
            orders.ended(number, Ok(Decoded { ids, first_token_ns, finish, score: None }));
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
        let continues = model.continues_prompts();
        for (number, RowRequest { ids, stop_rule, decoding }) in new {
            let draws = decoding.sampling.map(|sampling| Draws::new(sampling, &ids));
            let given = if continues { ids } else { vec![decoding.decoder_start_token_id] };
            self.tokens.push(*given.last().expect("a prompt is not empty"));
            let search = Search::of(decoding, draws, given, stop_rule, special_tokens);
            self.live.push(ActiveRow { number, stop_rule, search, first_token_ns: None });
        }
        Ok(())
    }

    /// Removes cancelled requests.
    fn remove(&mut self, numbers: &[usize], model: &mut dyn Compute) -> Result<(), Failure> {
        if numbers.is_empty() {
            return Ok(());
        }
        let mut kept = Vec::with_capacity(self.tokens.len());
        let mut first = 0;
        self.live.retain(|row| {
            let rows = first..first + row.search.rows();
            first = rows.end;
            let is_kept = !numbers.contains(&row.number);
            if is_kept {
                kept.extend(rows);
            }
            is_kept
        });
        self.tokens = kept.iter().map(|row| self.tokens[*row]).collect();
        if kept.is_empty() { Ok(()) } else { model.retain(&kept) }
    }

    /// The rows whose logits are needed.
    fn scored_rows(&self, to: &mut Vec<usize>) {
        to.clear();
        let mut row = 0;
        for active in &self.live {
            let rows = active.search.rows();
            if !matches!(active.search, Search::Plain(_)) {
                to.extend(row..row + rows);
            }
            row += rows;
        }
    }

    /// Appends each row's next token and notes where the rows that continue come from.
    fn take(
        &mut self,
        results: &mut StepResults,
        now: u64,
        special_tokens: &SpecialTokens,
        orders: &mut dyn RowQueue,
    ) {
        self.tokens.clear();
        self.origins.clear();
        let vocabulary = results.logits.len().checked_div(results.scored.len()).unwrap_or(0);
        let (mut best, mut logits) = (results.best.iter(), results.logits.as_mut_slice());
        let mut first = 0;
        self.live.retain_mut(|row| {
            let rows = row.search.rows();
            let step = if let Search::Plain(_) = row.search {
                let next = best.next().expect("a best token for every row");
                row.take(*next, now, special_tokens)
            } else {
                let scores;
                (scores, logits) = std::mem::take(&mut logits).split_at_mut(rows * vocabulary);
                row.take_scores(scores, now, special_tokens)
            };
            let start = first;
            first += rows;
            match step {
                Step::Continues(token) => {
                    orders.token(row.number, token);
                    self.origins.push(start);
                    self.tokens.push(token);
                    true
                }
                Step::Splits(rows) => {
                    self.origins.extend(rows.iter().map(|continued| start + continued.row));
                    self.tokens.extend(rows.iter().map(|continued| continued.token));
                    true
                }
                Step::Ends(outcome) => {
                    // Which tokens come first is known at the end of a search with beams.
                    let is_searched = matches!(row.search, Search::Beams(_));
                    let ids = outcome.as_ref().map_or(&[][..], |decoded| &decoded.ids);
                    let told = if is_searched { 0 } else { ids.len().saturating_sub(1) };
                    ids[told..].iter().for_each(|id| orders.token(row.number, *id));
                    orders.ended(row.number, outcome);
                    false
                }
            }
        });
    }
}

impl Search {
    /// `given`: the start token, or the prompt that the output continues.
    fn of(
        decoding: Arc<Decoding>,
        draws: Option<Draws>,
        given: Vec<u32>,
        stop_rule: StopRule,
        special_tokens: &SpecialTokens,
    ) -> Self {
        let eos = stop_rule.eos(special_tokens);
        if decoding.is_plain() {
            Self::Plain(Vec::new())
        } else if decoding.num_beams > 1 {
            Self::Beams(Box::new(BeamSearch::new(decoding, given, eos.to_vec(), stop_rule.limit())))
        } else {
            Self::Ruled { decoding, draws, given: given.len(), history: given }
        }
    }

    /// Rows of the decoder.
    fn rows(&self) -> usize {
        match self {
            Self::Plain(_) | Self::Ruled { .. } => 1,
            Self::Beams(beams) => beams.rows(),
        }
    }

    /// The generated tokens, of one row.
    fn ids(&self) -> &[u32] {
        match self {
            Self::Plain(ids) => ids,
            Self::Ruled { history, given, .. } => &history[*given..],
            Self::Beams(_) => &[],
        }
    }

    fn take_ids(&mut self) -> Vec<u32> {
        match self {
            Self::Plain(ids) => std::mem::take(ids),
            Self::Ruled { history, given, .. } => history.split_off(*given),
            Self::Beams(_) => Vec::new(),
        }
    }

    fn push(&mut self, id: u32) {
        match self {
            Self::Plain(ids) | Self::Ruled { history: ids, .. } => ids.push(id),
            Self::Beams(_) => {}
        }
    }
}

enum Step {
    /// With this token.
    Continues(u32),
    /// In these rows.
    Splits(Vec<Continued>),
    Ends(Result<Decoded, NotFinite>),
}

impl ActiveRow {
    fn take(&mut self, next: NextToken, now: u64, special_tokens: &SpecialTokens) -> Step {
        let place = self.search.ids().len();
        if !next.logit.is_finite() {
            return Step::Ends(Err(NotFinite { place, logit: next.logit }));
        }
        self.push(next.id, now, special_tokens)
    }

    /// `logits`: of the request's rows, `[rows, vocabulary]`.
    fn take_scores(
        &mut self,
        logits: &mut [f32],
        now: u64,
        special_tokens: &SpecialTokens,
    ) -> Step {
        let eos = self.stop_rule.eos(special_tokens);
        match &mut self.search {
            Search::Beams(beams) => match beams.advance(logits) {
                Ok(Next::Rows(rows)) => Step::Splits(rows),
                Ok(Next::Ends(Summary { ids, score })) => {
                    let is_eos = ids.last().is_some_and(|id| eos.contains(id));
                    let finish = if is_eos { Finish::Eos } else { Finish::Length };
                    let score = Some(score);
                    Step::Ends(Ok(Decoded { ids, first_token_ns: None, finish, score }))
                }
                Err(error) => Step::Ends(Err(error)),
            },
            Search::Ruled { decoding, draws, history, given } => {
                let best = NextToken::of(logits);
                if !best.logit.is_finite() {
                    let place = history.len() - *given;
                    return Step::Ends(Err(NotFinite { place, logit: best.logit }));
                }
                let limit = self.stop_rule.limit();
                Rules { decoding, eos, limit, given: *given }.apply(history, logits);
                // Not finite if nothing is allowed: then the first token follows, as in transformers.
                let next = match draws {
                    Some(draws) => draws.next(history.len() - *given, logits),
                    None => NextToken::of(logits),
                };
                self.push(next.id, now, special_tokens)
            }
            Search::Plain(_) => unreachable!("its logits were not asked for"),
        }
    }

    fn push(&mut self, id: u32, now: u64, special_tokens: &SpecialTokens) -> Step {
        self.first_token_ns.get_or_insert(now);
        self.search.push(id);
        let is_eos = self.stop_rule.eos(special_tokens).contains(&id);
        let finish = if is_eos {
            Finish::Eos
        } else if self.search.ids().len() == self.stop_rule.limit() {
            Finish::Length
        } else {
            return Step::Continues(id);
        };
        let (ids, first_token_ns) = (self.search.take_ids(), self.first_token_ns);
        Step::Ends(Ok(Decoded { ids, first_token_ns, finish, score: None }))
    }
}

#[cfg(test)]
mod tests {
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
}
