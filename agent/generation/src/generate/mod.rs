//! Generation: prompts with stop rules and settings in, decoded rows out as they end.
//!
//! A request is one row of the decoder, or one per beam. Ended rows leave the batch, and new ones
//! can join it; the tokens of a request do not depend on the others. Does not know texts, and knows
//! the model only as [`Compute`].

mod beams;
mod drafting;
mod log_softmax;
mod rules;
mod sampling;

use super::compute::{Compute, NextToken, ScoredStep};
use beams::{BeamSearch, Continued, Next, Summary};
use drafting::Drafter;
use model::failure::Failure;
use model::generation::Decoding;
use model::sample::{Drafts, Finish};
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
    /// `None` if no tokens were drafted.
    pub drafts: Option<Drafts>,
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
    /// What a step is fed: `tokens`, each followed by its draft.
    fed: Vec<u32>,
    /// How much of it each row of the decoder has.
    lengths: Vec<usize>,
    /// How many last tokens of each row turned out wrong.
    wrong: Vec<usize>,
    /// Rows added so far.
    entered: usize,
}

/// One request.
struct ActiveRow {
    number: usize,
    stop_rule: StopRule,
    search: Search,
    drafter: Option<Drafter>,
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
    /// Of the tokens of rows that are searched without conditions.
    best: Vec<NextToken>,
    /// The other fed tokens, ascending.
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
        active.feed();
        active.scored_tokens(&mut results.scored);
        let StepResults { best, scored, logits } = &mut results;
        let ActiveRows { fed: tokens, lengths, .. } = &active;
        if tokens.len() == rows && scored.is_empty() {
            model.step(tokens, best)?;
        } else {
            model.step_scored(&ScoredStep { tokens, lengths, scored }, best, logits)?;
        }
        active.take(&mut results, stopwatch.now_ns(), special_tokens, orders);
        if active.wrong.iter().any(|tokens| *tokens > 0) {
            model.forget(&active.wrong)?;
        }
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
            let (score, drafts) = (None, None);
            orders.ended(number, Ok(Decoded { ids, first_token_ns, finish, score, drafts }));
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
            let most = decoding.prompt_lookup_num_tokens as usize;
            let drafter = (most > 0).then(|| Drafter::new(most, &ids, continues));
            let given = if continues { ids } else { vec![decoding.decoder_start_token_id] };
            self.tokens.push(*given.last().expect("a prompt is not empty"));
            let search = Search::of(decoding, draws, given, stop_rule, special_tokens);
            self.live.push(ActiveRow { number, stop_rule, search, drafter, first_token_ns: None });
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

    /// Writes what the next step is fed.
    fn feed(&mut self) {
        self.fed.clear();
        self.lengths.clear();
        let mut tokens = self.tokens.iter();
        for row in &self.live {
            let rows = row.search.rows();
            self.fed.extend(tokens.by_ref().take(rows));
            self.lengths.resize(self.lengths.len() + rows, 1);
            let draft = row.draft();
            if let Some(length) = self.lengths.last_mut().filter(|_| !draft.is_empty()) {
                *length += draft.len();
                self.fed.extend_from_slice(draft);
            }
        }
    }

    /// The fed tokens whose logits are needed.
    fn scored_tokens(&self, to: &mut Vec<usize>) {
        to.clear();
        let (mut lengths, mut token) = (self.lengths.iter(), 0);
        for active in &self.live {
            let tokens: usize = lengths.by_ref().take(active.search.rows()).sum();
            if !matches!(active.search, Search::Plain(_)) {
                to.extend(token..token + tokens);
            }
            token += tokens;
        }
    }

    /// Appends each row's next tokens and notes where the rows that continue come from.
    fn take(
        &mut self,
        results: &mut StepResults,
        now: u64,
        special_tokens: &SpecialTokens,
        orders: &mut dyn RowQueue,
    ) {
        self.tokens.clear();
        self.origins.clear();
        self.wrong.clear();
        let vocabulary = results.logits.len().checked_div(results.scored.len()).unwrap_or(0);
        let (mut best, mut logits) = (results.best.as_slice(), results.logits.as_mut_slice());
        let (mut fed, mut lengths) = (self.fed.as_slice(), self.lengths.as_slice());
        self.live.retain_mut(|row| {
            let (of_rows, of_row);
            (of_rows, lengths) = lengths.split_at(row.search.rows());
            (of_row, fed) = fed.split_at(of_rows.iter().sum());
            let found = if let Search::Plain(_) = row.search {
                let found;
                (found, best) = best.split_at(of_row.len());
                Found::Best(found)
            } else {
                let found;
                (found, logits) =
                    std::mem::take(&mut logits).split_at_mut(of_row.len() * vocabulary);
                Found::Logits(found)
            };
            let told = row.search.ids().len();
            let (step, right) = row.take(of_row, found, now, special_tokens);
            let start = self.wrong.len();
            self.wrong.resize(start + of_rows.len(), 0);
            // A request with a draft has a single row.
            if let Some(wrong) = self.wrong.last_mut() {
                *wrong = of_row.len() - right;
            }
            match step {
                Step::Continues(token) => {
                    row.search.ids()[told..].iter().for_each(|id| orders.token(row.number, *id));
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
                    // With beams all of them: which come first is known at the end.
                    let ids = outcome.as_ref().map_or(&[][..], |decoded| &decoded.ids);
                    ids[told.min(ids.len())..].iter().for_each(|id| orders.token(row.number, *id));
                    orders.ended(row.number, outcome);
                    false
                }
            }
        });
    }
}

/// What a step computed for a request.
enum Found<'a> {
    /// For each fed token.
    Best(&'a [NextToken]),
    /// `[tokens, vocabulary]`.
    Logits(&'a mut [f32]),
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
    /// What may follow the next token, within the limit.
    fn draft(&self) -> &[u32] {
        let room = self.stop_rule.limit() - self.search.ids().len() - 1;
        self.drafter.as_ref().map_or(&[], |drafter| drafter.draft(room))
    }

    /// Takes what was found for the fed tokens, as long as the next one of them is right. Returns
    /// how many were, at least the first.
    fn take(
        &mut self,
        fed: &[u32],
        mut found: Found<'_>,
        now: u64,
        special_tokens: &SpecialTokens,
    ) -> (Step, usize) {
        if let (Search::Beams(_), Found::Logits(logits)) = (&self.search, &mut found) {
            return (self.take_scores(logits, now, special_tokens), fed.len());
        }
        let mut right = 0;
        let mut step = Step::Continues(fed[0]);
        while let Step::Continues(id) = step
            && fed.get(right) == Some(&id)
        {
            step = match &mut found {
                Found::Best(best) => self.take_best(best[right], now, special_tokens),
                Found::Logits(logits) => {
                    let size = logits.len() / fed.len();
                    let logits = &mut logits[right * size..(right + 1) * size];
                    self.take_scores(logits, now, special_tokens)
                }
            };
            right += 1;
        }
        let Some(drafter) = &mut self.drafter else { return (step, right) };
        drafter.count(fed.len() - 1, right - 1);
        match &mut step {
            // A wrong token that overflowed may have reached the ones before it, as 0 times
            // infinity in attention. Without a draft it is known.
            Step::Ends(Err(_)) if right < fed.len() => {
                drafter.stop();
                right -= 1;
                step = Step::Continues(fed[right]);
            }
            Step::Ends(Ok(decoded)) => decoded.drafts = Some(drafter.drafts),
            _ => {}
        }
        (step, right)
    }

    fn take_best(&mut self, next: NextToken, now: u64, special_tokens: &SpecialTokens) -> Step {
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
                    let (first_token_ns, drafts) = (None, None);
                    Step::Ends(Ok(Decoded { ids, first_token_ns, finish, score, drafts }))
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
        if let Some(drafter) = &mut self.drafter {
            drafter.push(id);
        }
        let is_eos = self.stop_rule.eos(special_tokens).contains(&id);
        let finish = if is_eos {
            Finish::Eos
        } else if self.search.ids().len() == self.stop_rule.limit() {
            Finish::Length
        } else {
            return Step::Continues(id);
        };
        let (ids, first_token_ns) = (self.search.take_ids(), self.first_token_ns);
        Step::Ends(Ok(Decoded { ids, first_token_ns, finish, score: None, drafts: None }))
    }
}

#[cfg(test)]
mod drafting_tests;
#[cfg(test)]
mod tests;
