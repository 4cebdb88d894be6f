//! Text to token ids and back, by the model's `tokenizer.json`, or by `vocab.json` and `merges.txt`.
//!
//! Truncation and padding settings in the file are disabled, with a note: a benchmark must not
//! inherit them silently. Limits come from the caller.

use super::chat_form::{self, Asked, ChatForm};
use engine::files::{Blob, ReadError, TokenizerFiles};
use engine::plain_prompt;
use std::collections::HashMap;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Encoding, Tokenizer as Pieces};

/// Limit on texts: the tokenizer takes up to 200 times their size in memory. Models read less than 1% of such a text.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub struct Tokenizer {
    pieces: Pieces,
    form: PromptForm,
    /// Writes the prompts, in place of `form`.
    chat: Option<ChatForm>,
    pub notes: Vec<String>,
    /// How prompts of a loaded model differ from the tokenizer file; an endpoint forms its own.
    pub prompt_note: Option<String>,
}

/// What a model expects of its prompts. With neither a first nor a last token, the tokenizer decides
/// which ones it adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptForm {
    /// The first token, such as BART's `<s>`.
    pub start: Option<u32>,
    /// The last token, such as `</s>` of T5.
    pub end: Option<u32>,
    /// How many tokens the model accepts, if it has a limit.
    pub longest: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Including special tokens.
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
    #[error("{file} is not the vocabulary of a byte-level BPE")]
    Vocabulary { file: String, source: serde_json::Error },
    #[error("{file} lacks the token {token}: save the tokenizer as tokenizer.json")]
    NoToken { file: String, token: &'static str },
    #[error("{file}, line {line}: expected two tokens with a space between them")]
    Merge { file: String, line: usize },
    #[error("{merges} does not fit {vocabulary}")]
    Merges { merges: String, vocabulary: String, source: tokenizers::Error },
    #[error(
        "{file} has {pieces} tokens, but the model's embedding has {rows} rows: the tokenizer is of another model"
    )]
    TooLarge { file: String, pieces: usize, rows: usize },
    #[error("a text of {bytes} bytes is too long to tokenize: the limit is {MAX_TEXT_BYTES} bytes")]
    TooLong { bytes: usize },
    #[error("the tokenizer failed on this text")]
    Text(#[source] tokenizers::Error),
    #[error(transparent)]
    Chat(#[from] chat_form::Error),
    #[error(
        "without the dialogue a prompt has {tokens} tokens already: max_input_tokens = {limit} is too low"
    )]
    NoRoom { tokens: usize, limit: usize },
}

impl Tokenizer {
    /// `rows`: the size of the model's embedding.
    pub fn load(files: &TokenizerFiles, form: PromptForm, rows: usize) -> Result<Self, Error> {
        let file = || files.name().to_owned();
        let mut pieces = match files {
            TokenizerFiles::Whole(blob) => Pieces::from_bytes(blob.text()?.as_bytes())
                .map_err(|source| Error::Format { file: file(), source })?,
            TokenizerFiles::Bpe { vocabulary, merges } => byte_level_bpe(vocabulary, merges)?,
        };
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
        let mut form = form;
        if let (None, None) = (form.start, form.end) {
            (form.start, form.end) = added(&bare, &whole).unwrap_or((None, None));
        }
        let prompt_note = (whole != form.enclose(bare)).then(|| {
            match form {
                PromptForm { start: None, end: None, .. } => {
                    "the tokenizer file adds more than one special token to texts: prompts have none"
                        .to_owned()
                }
                PromptForm { start: None, end: Some(end), .. } => format!(
                    "the tokenizer file does not end texts with token {end}: prompts end with it anyway, as in the model's training"
                ),
                PromptForm { start: Some(start), end, .. } => format!(
                    "the tokenizer file does not put texts between tokens {start} and {}: prompts have both anyway, as in the model's training",
                    end.unwrap_or(start)
                ),
            }
        });
        Ok(Self { pieces, form, chat: None, notes, prompt_note })
    }

    /// For a chat model.
    #[must_use]
    pub fn with_chat(mut self, chat: ChatForm) -> Self {
        self.notes.push(chat.note.clone());
        Self { chat: Some(chat), ..self }
    }

    pub fn is_chat(&self) -> bool {
        self.chat.is_some()
    }

    /// Whether a system message becomes a part of the prompt.
    pub fn check_system(&self) -> Result<(), chat_form::Error> {
        self.chat.as_ref().ok_or(chat_form::Error::NoTemplate)?.check_system()
    }

    /// The prompt of a dialogue, truncated to `limit` tokens.
    pub fn prompt_of(&self, asked: &Asked<'_>, limit: usize) -> Result<Prompt, Error> {
        let Some(chat) = &self.chat else {
            if asked.system.is_some() {
                return Err(chat_form::Error::NoTemplate.into());
            }
            let Asked { instruction, earlier, dialogue, .. } = *asked;
            return self.prompt(&plain_prompt(instruction, earlier, dialogue), limit);
        };
        let limit = limit.min(self.form.longest.unwrap_or(usize::MAX));
        let write = |dialogue: &str| chat.prompt(&Asked { dialogue, ..*asked });
        self.chat_prompt(&write, asked.dialogue, limit)
    }

    /// Removes tokens from the end of the dialogue until the text that `write` makes of it fits.
    fn chat_prompt(
        &self,
        write: &dyn Fn(&str) -> Result<String, chat_form::Error>,
        dialogue: &str,
        limit: usize,
    ) -> Result<Prompt, Error> {
        let ids = |dialogue| Ok::<_, Error>(self.encode(&write(dialogue)?)?.get_ids().to_vec());
        let whole = ids(dialogue)?;
        let Some(mut excess) = whole.len().checked_sub(limit).filter(|excess| *excess > 0) else {
            return Ok(Prompt { ids: whole, cut: 0 });
        };
        let tokens = self.pieces.encode(dialogue, false).map_err(Error::Text)?;
        let mut kept = tokens.len();
        loop {
            kept = kept.saturating_sub(excess);
            let end = kept.checked_sub(1).map_or(0, |last| tokens.get_offsets()[last].1);
            let ids = ids(&dialogue[..dialogue.floor_char_boundary(end)])?;
            // What is next to the dialogue can merge with its end in more than one way.
            match ids.len().checked_sub(limit) {
                None | Some(0) => return Ok(Prompt { cut: whole.len() - ids.len(), ids }),
                Some(_) if kept == 0 => return Err(Error::NoRoom { tokens: ids.len(), limit }),
                Some(more) => excess = more,
            }
        }
    }

    /// How many tokens the model accepts, as a prompt and as a summary, if it has a limit.
    pub fn positions(&self) -> Option<usize> {
        self.form.longest
    }

    /// A text truncated to `limit` tokens, including special ones, like in transformers.
    pub fn prompt(&self, text: &str, limit: usize) -> Result<Prompt, Error> {
        let ids = self.encode(text)?.get_ids().to_vec();
        Ok(self.form.cut(self.form.enclose(ids), limit))
    }

    /// Tokens of a text, including special ones.
    pub fn count(&self, text: &str) -> Result<usize, Error> {
        Ok(self.encode(text)?.len() + self.form.enclose(Vec::new()).len())
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

    /// Decodes ids one by one: gives the text that an id adds to those before it, if it completes a
    /// character.
    pub fn stream(&self) -> impl FnMut(u32) -> Option<String> + '_ {
        let mut stream = Some(self.pieces.decode_stream(true));
        move |id| match stream.as_mut()?.step(id) {
            Ok(piece) => piece,
            Err(_) => {
                // The rest comes with the whole text.
                stream = None;
                None
            }
        }
    }

    /// How many `ids` are not in the tokenizer's vocabulary: the heads of T5 and others have more
    /// rows than the tokenizer has tokens.
    pub fn unknown(&self, ids: &[u32]) -> usize {
        ids.iter().filter(|id| self.pieces.id_to_token(**id).is_none()).count()
    }
}

/// The tokens that `whole` has before and after `bare`, if there is at most one of each.
fn added(bare: &[u32], whole: &[u32]) -> Option<(Option<u32>, Option<u32>)> {
    let start = whole.windows(bare.len()).position(|window| window == bare)?;
    let (before, after) = (&whole[..start], &whole[start + bare.len()..]);
    (before.len() < 2 && after.len() < 2).then(|| (before.first().copied(), after.first().copied()))
}

/// The special tokens of BART, as far as a vocabulary has them.
const BPE_SPECIAL: [&str; 5] = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];

/// As transformers 5.23 makes a `BartTokenizer` of the two files.
fn byte_level_bpe(vocabulary: &Blob, merges: &Blob) -> Result<Pieces, Error> {
    let file = || vocabulary.name().to_owned();
    let ids: HashMap<String, u32> = serde_json::from_str(&vocabulary.text()?)
        .map_err(|source| Error::Vocabulary { file: file(), source })?;
    let id = |token: &'static str| {
        let id = ids.get(token).map(|id| (token.to_owned(), *id));
        id.ok_or_else(|| Error::NoToken { file: file(), token })
    };
    let (start, end) = (id("<s>")?, id("</s>")?);
    let special = BPE_SPECIAL.into_iter().filter(|token| ids.contains_key(*token));
    let special: Vec<AddedToken> = special.map(|token| AddedToken::from(token, true)).collect();
    let text = merges.text()?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(line, text)| !(text.is_empty() || *line == 0 && text.starts_with("#version")));
    let pairs: Vec<(String, String)> = lines
        .map(|(line, text)| {
            let pair = text.split_once(' ').filter(|(_, right)| !right.contains(' '));
            pair.map(|(left, right)| (left.to_owned(), right.to_owned()))
                .ok_or_else(|| Error::Merge { file: merges.name().to_owned(), line: line + 1 })
        })
        .collect::<Result<_, _>>()?;
    let misfit =
        |source| Error::Merges { merges: merges.name().to_owned(), vocabulary: file(), source };
    let mut vocabulary = Vocab::default();
    vocabulary.extend(ids);
    let model = BPE::builder().vocab_and_merges(vocabulary, pairs).build().map_err(misfit)?;
    let mut pieces = Pieces::new(model);
    pieces.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    pieces.with_decoder(Some(ByteLevel::default()));
    pieces.with_post_processor(Some(RobertaProcessing::new(end, start)));
    pieces.add_special_tokens(special).map_err(misfit)?;
    Ok(pieces)
}

impl PromptForm {
    /// With the special tokens that the tokenizer adds.
    pub fn of_tokenizer(longest: usize) -> Self {
        Self { start: None, end: None, longest: Some(longest) }
    }

    /// Adds the special tokens to those of a text.
    fn enclose(&self, text: Vec<u32>) -> Vec<u32> {
        self.start.into_iter().chain(text).chain(self.end).collect()
    }

    /// Truncates ids to `limit` tokens, and to what the model accepts, keeping a last token that all
    /// prompts have.
    pub fn cut(&self, mut ids: Vec<u32>, limit: usize) -> Prompt {
        let limit = limit.min(self.longest.unwrap_or(usize::MAX)).max(1);
        let cut = ids.len().saturating_sub(limit);
        if cut > 0 {
            ids.truncate(limit - usize::from(self.end.is_some()));
            ids.extend(self.end);
        }
        Prompt { ids, cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_prompt_keeps_its_end_mark_and_counts_what_is_cut() {
        let long = vec![5, 6, 7, 8, 1];
        let form = PromptForm { start: None, end: Some(1), longest: None };
        assert_eq!(form.cut(long.clone(), 5), Prompt { ids: long.clone(), cut: 0 });
        assert_eq!(form.cut(long.clone(), 3), Prompt { ids: vec![5, 6, 1], cut: 2 });
        assert_eq!(form.cut(long.clone(), 1), Prompt { ids: vec![1], cut: 4 });
        let form = PromptForm { longest: Some(4), ..form };
        assert_eq!(form.cut(long.clone(), 5), Prompt { ids: vec![5, 6, 7, 1], cut: 1 });
        assert_eq!(form.cut(long.clone(), 2), Prompt { ids: vec![5, 1], cut: 3 });
        let form = PromptForm::of_tokenizer(3);
        assert_eq!(form.cut(long, 9), Prompt { ids: vec![5, 6, 7], cut: 2 });
    }

    #[test]
    fn what_the_tokenizer_adds_is_found() {
        assert_eq!(added(&[7, 8], &[1, 7, 8]), Some((Some(1), None)));
        assert_eq!(added(&[7, 8], &[7, 8, 2]), Some((None, Some(2))));
        assert_eq!(added(&[7, 8], &[7, 8]), Some((None, None)));
        assert_eq!(added(&[7, 8], &[1, 1, 7, 8]), None);
    }
}
