//! Drafts by prompt lookup: the prompt and the tokens so far in, a guess of those that follow out.
//!
//! A guess costs a token of a step if it is wrong and saves a step if it is right; either way the
//! tokens of a summary are those of greedy decoding. As transformers' `prompt_lookup_num_tokens`
//! (Saxena 2023), except that the last match counts, not the first.

use model::sample::Drafts;

/// Tokens of the longest ending that is looked up. Longer ones are rarely found where this one
/// isn't.
const LONGEST: usize = 3;

#[derive(Debug)]
pub(super) struct Drafter {
    /// Tokens of a draft.
    most: usize,
    /// The prompt and the generated tokens.
    text: Vec<u32>,
    /// Where an ending may begin.
    start: usize,
    pub(super) drafts: Drafts,
}

impl Drafter {
    /// `continues_prompt`: whether the first token follows the last one of the prompt.
    pub(super) fn new(most: usize, prompt: &[u32], continues_prompt: bool) -> Self {
        let start = if continues_prompt { 0 } else { prompt.len() };
        Self { most, text: prompt.to_vec(), start, drafts: Drafts::default() }
    }

    pub(super) fn push(&mut self, id: u32) {
        self.text.push(id);
    }

    /// What followed the last tokens where they occurred before: the longest ending, and of its
    /// places the last. At most `room` tokens.
    pub(super) fn draft(&self, room: usize) -> &[u32] {
        let most = self.most.min(room);
        let earlier = &self.text[..self.text.len().saturating_sub(1)];
        for size in (1..=LONGEST.min(self.text.len() - self.start)).rev() {
            let ending = &self.text[self.text.len() - size..];
            if let Some(place) = earlier.windows(size).rposition(|tokens| tokens == ending) {
                let follows = &self.text[place + size..];
                return &follows[..most.min(follows.len())];
            }
        }
        &[]
    }

    /// Drafts no more.
    pub(super) fn stop(&mut self) {
        self.most = 0;
    }

    /// Counts a draft of which so many tokens were the right ones.
    pub(super) fn count(&mut self, drafted: usize, accepted: usize) {
        let count = |tokens: usize| u32::try_from(tokens).unwrap_or(u32::MAX);
        let Drafts { drafted: all, accepted: right } = &mut self.drafts;
        *all = all.saturating_add(count(drafted));
        *right = right.saturating_add(count(accepted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draft(prompt: &[u32], generated: &[u32], room: usize) -> Vec<u32> {
        let mut drafter = Drafter::new(4, prompt, false);
        generated.iter().for_each(|id| drafter.push(*id));
        drafter.draft(room).to_vec()
    }

    #[test]
    fn what_followed_the_longest_ending_is_proposed() {
        let prompt = [7, 1, 2, 3, 4, 5, 6, 9, 3, 8];
        assert_eq!(draft(&prompt, &[2, 3], 9), [4, 5, 6, 9], "two tokens rather than the last one");
        assert_eq!(
            draft(&prompt, &[6, 3], 9),
            [8, 6, 3],
            "the last place, and no more than there is"
        );
        assert_eq!(draft(&prompt, &[2, 3], 2), [4, 5]);
        assert!(draft(&prompt, &[2, 3], 0).is_empty());
        assert!(draft(&prompt, &[11], 9).is_empty());
    }

    #[test]
    fn the_ending_of_a_prompt_counts_where_the_output_continues_it() {
        let prompt = [1, 2, 5, 6, 1, 2];
        assert!(draft(&prompt, &[], 9).is_empty());
        assert_eq!(Drafter::new(3, &prompt, true).draft(9), [5, 6, 1]);
    }

    proptest! {
        #[test]
        fn a_draft_follows_an_occurrence_and_keeps_its_limits(
            prompt in proptest::collection::vec(0_u32..6, 1..40),
            generated in proptest::collection::vec(0_u32..6, 0..20),
            most in 0_usize..9, room in 0_usize..9, continues_prompt in any::<bool>(),
        ) {
            let mut drafter = Drafter::new(most, &prompt, continues_prompt);
            generated.iter().for_each(|id| drafter.push(*id));
            let draft = drafter.draft(room);
            prop_assert!(draft.len() <= most.min(room));
            let text = [prompt, generated.clone()].concat();
            let has_ending = continues_prompt || !generated.is_empty();
            let last = *text.last().unwrap();
            let is_repeated = text[..text.len() - 1].contains(&last);
            prop_assert_eq!(draft.is_empty(), !(has_ending && is_repeated && most.min(room) > 0));
            if !draft.is_empty() {
                let place = [&[last], draft].concat();
                prop_assert!(text.windows(place.len()).any(|tokens| tokens == place));
            }
        }
    }
}
