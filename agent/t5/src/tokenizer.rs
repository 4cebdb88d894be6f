//! Text to token ids and back, by the model's `tokenizer.json`.
//!
//! Truncation and padding settings in the file are disabled, with a note: a benchmark must not
//! inherit them silently. Limits come from the caller.

use engine::files::{Blob, ReadError};
use tokenizers::{Encoding, Tokenizer as Pieces};

/// Limit on texts: the tokenizer takes up to 200 times their size in memory. T5 reads less than 1% of such a text.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub struct Tokenizer {
    pieces: Pieces,
    eos: u32,
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Ends with `</s>`.
    pub ids: Vec<u32>,
    /// Tokens removed by truncation.
    pub cut: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{file} is not a tokenizer.json")]
    Format { file: String, source: tokenizers::Error },
    #[error(
        "{file} has {pieces} tokens, but the model's embedding has {rows} rows: the tokenizer is of another model"
    )]
    TooLarge { file: String, pieces: usize, rows: usize },
    #[error("a text of {bytes} bytes is too long to tokenize: the limit is {MAX_TEXT_BYTES} bytes")]
    TooLong { bytes: usize },
    #[error("the tokenizer failed on this text")]
    Text(#[source] tokenizers::Error),
}

impl Tokenizer {
    /// `eos`: the token that ends prompts; `rows`: the size of the model's embedding.
    pub fn load(blob: &Blob, eos: u32, rows: usize) -> Result<Self, Error> {
        let file = || blob.name().to_owned();
        let text = blob.text()?;
        let mut pieces = Pieces::from_bytes(text.as_bytes())
            .map_err(|source| Error::Format { file: file(), source })?;
        let highest = pieces.get_vocab(true).into_values().max().unwrap_or(0);
        let count = usize::try_from(highest).unwrap_or(usize::MAX).saturating_add(1);
        if count > rows {
            return Err(Error::TooLarge { file: file(), pieces: count, rows });
        }
        let mut notes = Vec::new();
        if let Some(truncation) = pieces.get_truncation() {
            notes.push(format!(
                "truncation to {} tokens in the tokenizer file is disabled: max_input_tokens applies",
                truncation.max_length
            ));
        }
        if pieces.get_padding().is_some() {
            notes.push("padding in the tokenizer file is disabled".to_owned());
        }
        pieces.with_truncation(None).map_err(|source| Error::Format { file: file(), source })?;
        pieces.with_padding(None);
        let bare = pieces.encode("a", false).map_err(Error::Text)?.get_ids().to_vec();
        let whole = pieces.encode("a", true).map_err(Error::Text)?.get_ids().to_vec();
        if whole != [bare, vec![eos]].concat() {
            notes.push(format!(
                "the tokenizer file does not end texts with token {eos}: prompts end with it anyway, as in T5's training"
            ));
        }
        Ok(Self { pieces, eos, notes })
    }

    /// A text truncated to `limit` tokens, including `</s>`, like in transformers.
    pub fn prompt(&self, text: &str, limit: usize) -> Result<Prompt, Error> {
        let ids = self.encode(text)?.get_ids().to_vec();
        Ok(Prompt::cut([ids, vec![self.eos]].concat(), limit, self.eos))
    }

    /// Tokens of a text, including `</s>`.
    pub fn count(&self, text: &str) -> Result<usize, Error> {
        Ok(self.encode(text)?.len() + 1)
    }

    fn encode(&self, text: &str) -> Result<Encoding, Error> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::TooLong { bytes: text.len() });
        }
        self.pieces.encode_fast(text, false).map_err(Error::Text)
    }

    /// Decodes ids, skipping special and unknown tokens.
    pub fn text(&self, ids: &[u32]) -> Result<String, Error> {
        self.pieces.decode(ids, true).map_err(Error::Text)
    }

    /// How many `ids` are not in the tokenizer's vocabulary: T5's head has more rows than the
    /// tokenizer has tokens.
    pub fn unknown(&self, ids: &[u32]) -> usize {
        ids.iter().filter(|id| self.pieces.id_to_token(**id).is_none()).count()
    }
}

impl Prompt {
    /// Truncates ids that end with `</s>` to `limit` tokens, keeping the final `</s>`.
    pub fn cut(mut ids: Vec<u32>, limit: usize, eos: u32) -> Self {
        let cut = ids.len().saturating_sub(limit.max(1));
        if cut > 0 {
            ids.truncate(limit.max(1) - 1);
            ids.push(eos);
        }
        Self { ids, cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_prompt_keeps_its_end_mark_and_counts_what_is_cut() {
        let long = vec![5, 6, 7, 8, 1];
        assert_eq!(Prompt::cut(long.clone(), 5, 1), Prompt { ids: long.clone(), cut: 0 });
        assert_eq!(Prompt::cut(long.clone(), 3, 1), Prompt { ids: vec![5, 6, 1], cut: 2 });
        assert_eq!(Prompt::cut(long, 1, 1), Prompt { ids: vec![1], cut: 4 });
    }
}
