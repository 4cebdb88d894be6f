//! Text to token ids and back, by the model's `tokenizer.json`.
//!
//! Truncation and padding settings found in the file are switched off, and said so: a benchmark must not
//! inherit them unseen. Limits come from the caller.

use engine::files::{Blob, ReadError};
use tokenizers::Tokenizer as Pieces;

/// A tokenizer without hidden settings.
#[derive(Debug)]
pub struct Tokenizer {
    pieces: Pieces,
    eos: u32,
    notes: Vec<String>,
}

/// A prompt as the model takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Ends with `</s>`.
    pub ids: Vec<u32>,
    /// How many pieces the limit cut off.
    pub cut: usize,
}

/// A tokenizer that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is no tokenizer of the tokenizers library.
    #[error("{file} is not a tokenizer.json")]
    Format {
        /// Which file.
        file: String,
        /// Why.
        source: tokenizers::Error,
    },
    /// It makes ids that the model's embedding doesn't have.
    #[error(
        "{file} has {pieces} pieces, the model's embedding only {rows} rows: they don't belong together"
    )]
    TooLarge {
        /// Which file.
        file: String,
        /// One more than the highest id.
        pieces: usize,
        /// Rows of the embedding.
        rows: usize,
    },
    /// A text that it can't take apart or put together.
    #[error("the tokenizer can't do this text")]
    Text(#[source] tokenizers::Error),
}

impl Tokenizer {
    /// Reads a `tokenizer.json` for a model whose prompts end with `eos` and whose embedding has `rows` rows.
    ///
    /// # Errors
    /// Where the file can't be used with the model.
    pub fn load(blob: &Blob, eos: u32, rows: usize) -> Result<Self, Error> {
        let file = || blob.name().to_owned();
        let bytes = blob.read()?;
        let mut pieces =
            Pieces::from_bytes(&bytes).map_err(|source| Error::Format { file: file(), source })?;
        let highest = pieces.get_vocab(true).into_values().max().unwrap_or(0);
        let count = usize::try_from(highest).unwrap_or(usize::MAX).saturating_add(1);
        if count > rows {
            return Err(Error::TooLarge { file: file(), pieces: count, rows });
        }
        let mut notes = Vec::new();
        if let Some(truncation) = pieces.get_truncation() {
            notes.push(format!(
                "the tokenizer file asks to cut texts to {} tokens: switched off, max_input_tokens decides",
                truncation.max_length
            ));
        }
        if pieces.get_padding().is_some() {
            notes.push("the tokenizer file asks for padding: switched off".to_owned());
        }
        pieces.with_truncation(None).map_err(|source| Error::Format { file: file(), source })?;
        pieces.with_padding(None);
        let bare = pieces.encode("a", false).map_err(Error::Text)?.get_ids().to_vec();
        let whole = pieces.encode("a", true).map_err(Error::Text)?.get_ids().to_vec();
        if whole != [bare, vec![eos]].concat() {
            notes.push(format!(
                "the tokenizer file doesn't end texts with token {eos} alone: prompts here do, as T5 was trained"
            ));
        }
        Ok(Self { pieces, eos, notes })
    }

    /// What a reader of the report should know.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A text cut to `limit` tokens, `</s>` included, as transformers cuts it.
    ///
    /// # Errors
    /// Where the tokenizer can't take it apart.
    pub fn prompt(&self, text: &str, limit: usize) -> Result<Prompt, Error> {
        let ids = self.pieces.encode_fast(text, false).map_err(Error::Text)?.get_ids().to_vec();
        Ok(Prompt::cut([ids, vec![self.eos]].concat(), limit, self.eos))
    }

    /// How many tokens a text has, `</s>` included.
    ///
    /// # Errors
    /// Where the tokenizer can't take it apart.
    pub fn count(&self, text: &str) -> Result<usize, Error> {
        Ok(self.pieces.encode_fast(text, false).map_err(Error::Text)?.len() + 1)
    }

    /// The text of decoded ids, without special tokens. Ids beyond the tokenizer decode to nothing.
    ///
    /// # Errors
    /// Where the tokenizer can't put it together.
    pub fn text(&self, ids: &[u32]) -> Result<String, Error> {
        self.pieces.decode(ids, true).map_err(Error::Text)
    }

    /// How many of `ids` are beyond the tokenizer: a T5's head has more rows than its tokenizer has pieces.
    pub fn unknown(&self, ids: &[u32]) -> usize {
        ids.iter().filter(|id| self.pieces.id_to_token(**id).is_none()).count()
    }
}

impl Prompt {
    /// Cuts ids that end with `</s>` to `limit` tokens; the last one stays `</s>`.
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
