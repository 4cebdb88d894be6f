//! Generation with drafts gives the tokens of generation without, on a model whose next token
//! depends on all tokens before.

use super::*;
use crate::compute::{self, ScoredStep};
use checkpoint::lora::Adapter;
use proptest::prelude::*;

const EOS: u32 = 0;
/// Reaches the tokens before it in the same step of a row, as a wrong draft that overflows does.
const POISON: u32 = 1;

/// The next token is a hash of the prompt and the tokens fed.
struct Hashing {
    vocabulary: u32,
    continues_prompts: bool,
    is_poisoned: bool,
    /// Of each row: its prompt, the tokens fed, and how many there is room for.
    rows: Vec<(Vec<u32>, Vec<u32>, usize)>,
    steps: usize,
}

impl Hashing {
    fn next(&self, prompt: &[u32], fed: &[u32]) -> u32 {
        // Few tokens and a short memory, so that sequences repeat.
        let recent = &fed[fed.len().saturating_sub(2)..];
        let all = prompt.iter().take(1).chain(recent);
        let hash = all.fold(17_u32, |hash, id| (hash ^ *id).wrapping_mul(2_654_435_761));
        (hash >> 16) % self.vocabulary
    }

    fn logits(&self, id: u32) -> Vec<f32> {
        let score = |other| if other == id { 2.0 } else { 1.0 / (1.0 + other as f32) };
        (0..self.vocabulary).map(score).collect()
    }
}

impl Compute for Hashing {
    fn encode(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        self.rows.clear();
        self.add(prompts, max_steps)
    }

    fn continues_prompts(&self) -> bool {
        self.continues_prompts
    }

    fn continuous_batching(&self) -> bool {
        true
    }

    fn add(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        self.rows.extend(prompts.iter().map(|prompt| (prompt.to_vec(), Vec::new(), max_steps)));
        Ok(())
    }

    fn step(&mut self, tokens: &[u32], best: &mut Vec<NextToken>) -> Result<(), Failure> {
        let lengths = vec![1; tokens.len()];
        let step = ScoredStep { tokens, lengths: &lengths, scored: &[] };
        self.step_scored(&step, best, &mut Vec::new())
    }

    fn step_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Failure> {
        let scored: Vec<usize> = (0..tokens.len()).collect();
        let step = ScoredStep { tokens, lengths: &vec![1; tokens.len()], scored: &scored };
        let mut logits = Vec::new();
        self.step_scored(&step, &mut Vec::new(), &mut logits)?;
        Ok(logits)
    }

    fn verifies_drafts(&self) -> bool {
        true
    }

    fn step_scored(
        &mut self,
        step: &ScoredStep<'_>,
        best: &mut Vec<NextToken>,
        logits: &mut Vec<f32>,
    ) -> Result<(), Failure> {
        assert_eq!(step.lengths.len(), self.rows.len());
        self.steps += 1;
        best.clear();
        logits.clear();
        let mut place = 0;
        for (row, length) in step.lengths.iter().enumerate() {
            let new = &step.tokens[place..place + length];
            for (offset, token) in new.iter().enumerate() {
                self.rows[row].1.push(*token);
                let (prompt, fed, room) = &self.rows[row];
                assert!(fed.len() <= *room, "row {row} has no room for {}", fed.len());
                let id = self.next(prompt, fed);
                let is_poisoned = self.is_poisoned && new[offset + 1..].contains(&POISON);
                if step.scored.binary_search(&(place + offset)).is_ok() {
                    let mut scores = self.logits(id);
                    if is_poisoned {
                        scores.fill(f32::NAN);
                    }
                    logits.extend(scores);
                } else {
                    best.push(NextToken { id, logit: if is_poisoned { f32::NAN } else { 2.0 } });
                }
            }
            place += length;
        }
        assert_eq!(place, step.tokens.len());
        Ok(())
    }

    fn forget(&mut self, tokens: &[usize]) -> Result<(), Failure> {
        assert_eq!(tokens.len(), self.rows.len());
        for ((_, fed, _), tokens) in self.rows.iter_mut().zip(tokens) {
            fed.truncate(fed.len() - tokens);
        }
        Ok(())
    }

    fn retain(&mut self, rows: &[usize]) -> Result<(), Failure> {
        self.reorder(rows)
    }

    fn reorder(&mut self, rows: &[usize]) -> Result<(), Failure> {
        self.rows = rows.iter().map(|row| self.rows[*row].clone()).collect();
        Ok(())
    }

    fn adapt(&mut self, _adapter: Option<&Adapter>) -> Result<(), compute::Error> {
        unreachable!("generation changes no weights")
    }

    fn adapter_bytes(&self) -> u64 {
        0
    }

    fn kernel(&self) -> String {
        "hashing".to_owned()
    }

    fn weight_bytes(&self) -> u64 {
        0
    }

    fn cache_bytes(&self) -> u64 {
        0
    }
}

/// Requests that enter two at a time, whatever else is active.
struct Pairs {
    waiting: Vec<RowRequest>,
    ended: Vec<Option<Decoded>>,
    /// The tokens that were told before a row ended.
    told: Vec<Vec<u32>>,
}

impl RowQueue for Pairs {
    fn enter(&mut self) -> Vec<RowRequest> {
        let count = self.waiting.len().min(2);
        self.waiting.drain(..count).collect()
    }

    fn token(&mut self, number: usize, id: u32) {
        self.told[number].push(id);
    }

    fn ended(&mut self, number: usize, row: Result<Decoded, NotFinite>) {
        assert!(self.ended[number].replace(row.unwrap()).is_none(), "row {number} ended twice");
    }
}

/// The rows, and the steps that they took.
fn decode(mut model: Hashing, requests: &[RowRequest], most: u32) -> (Vec<Decoded>, usize) {
    let drafted = |request: &RowRequest| {
        let is_greedy = request.decoding.num_beams == 1;
        let decoding = Decoding {
            prompt_lookup_num_tokens: if is_greedy { most } else { 0 },
            ..(*request.decoding).clone()
        };
        RowRequest { decoding: Arc::new(decoding), ..request.clone() }
    };
    let mut queue = Pairs {
        waiting: requests.iter().map(drafted).collect(),
        ended: vec![None; requests.len()],
        told: vec![Vec::new(); requests.len()],
    };
    let special_tokens = SpecialTokens { eos: vec![EOS] };
    generate(&mut model, &special_tokens, &mut queue, &Stopwatch::synthetic()).unwrap();
    let rows: Vec<Decoded> = queue.ended.into_iter().map(|row| row.expect("it ends")).collect();
    for (row, told) in rows.iter().zip(&queue.told) {
        assert_eq!(&row.ids, told);
    }
    (rows, model.steps)
}

fn request() -> impl Strategy<Value = RowRequest> {
    let ids = proptest::collection::vec(0_u32..6, 1..30);
    let stop_rule = (0_usize..30, any::<bool>()).prop_map(|(limit, exactly)| {
        if exactly { StopRule::Exactly(limit) } else { StopRule::EosOr(limit) }
    });
    let decoding = prop::sample::select(vec![
        Decoding::default(),
        Decoding { repetition_penalty: 1.5, ..Decoding::default() },
        Decoding { no_repeat_ngram_size: 3, min_new_tokens: 4, ..Decoding::default() },
        Decoding { num_beams: 2, ..Decoding::default() },
    ]);
    (ids, stop_rule, decoding).prop_map(|(ids, stop_rule, decoding)| RowRequest {
        ids,
        stop_rule,
        decoding: Arc::new(decoding),
    })
}

proptest! {
    #[test]
    fn drafts_change_no_token_and_take_no_more_steps(
        requests in proptest::collection::vec(request(), 1..7), vocabulary in 2_u32..7,
        most in 1_u32..9, continues_prompts in any::<bool>(), is_poisoned in any::<bool>(),
    ) {
        let model = || Hashing {
            vocabulary: vocabulary.max(6),
            continues_prompts,
            is_poisoned,
            rows: Vec::new(),
            steps: 0,
        };
        let (plain, steps) = decode(model(), &requests, 0);
        let (drafted, fewer) = decode(model(), &requests, most);
        for ((request, plain), drafted) in requests.iter().zip(&plain).zip(&drafted) {
            prop_assert_eq!(&plain.ids, &drafted.ids);
            prop_assert_eq!((plain.finish, plain.score), (drafted.finish, drafted.score));
            prop_assert_eq!(plain.drafts, None);
            let is_drafted = request.decoding.num_beams == 1 && request.stop_rule.limit() > 0;
            prop_assert_eq!(drafted.drafts.is_some(), is_drafted);
            if let Some(Drafts { drafted: all, accepted }) = drafted.drafts {
                prop_assert!(accepted <= all && accepted as usize <= drafted.ids.len());
            }
        }
        if !is_poisoned {
            prop_assert!(fewer <= steps, "{fewer} steps instead of {steps}");
        }
    }
}

/// A prompt that is repeated is accepted in drafts.
#[test]
fn right_drafts_save_steps() {
    let model = || Hashing {
        vocabulary: 6,
        continues_prompts: false,
        is_poisoned: false,
        rows: Vec::new(),
        steps: 0,
    };
    let request = |ids: Vec<u32>| RowRequest {
        ids,
        stop_rule: StopRule::Exactly(24),
        decoding: Arc::default(),
    };
    let (first, _) = decode(model(), &[request(vec![3])], 0);
    let prompt = [&[3], first[0].ids.as_slice()].concat();
    let (row, steps) = decode(model(), &[request(prompt)], 5);
    assert_eq!(row[0].ids, first[0].ids);
    let Drafts { drafted, accepted } = row[0].drafts.unwrap();
    assert!(accepted <= drafted && steps + accepted as usize == 24, "{steps} steps, {accepted}");
    assert!(steps < 16, "{steps} steps");
}
