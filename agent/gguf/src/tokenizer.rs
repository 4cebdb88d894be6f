//! The tokenizer of a file as the `tokenizer.json` of transformers.
//!
//! A file holds tokens, merges and the name of the rule that splits texts before merging
//! (`tokenizer.ggml.pre`). The rules are those of llama.cpp's `llama-vocab.cpp` and of the
//! `tokenizer.json` of the models that the names are of.

use super::metadata::{self, Metadata};
use serde_json::{Map, Value, json};

/// What a token is for (`tokenizer.ggml.token_type`).
mod kinds {
    pub(super) const UNKNOWN: i64 = 2;
    pub(super) const CONTROL: i64 = 3;
    pub(super) const USER_DEFINED: i64 = 4;
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    #[error(
        "`tokenizer.ggml.pre` = {found} is not supported: expected one of {KNOWN}; \
         or specify the model's tokenizer.json"
    )]
    Splitting { found: String },
    #[error("token {id} of `{key}` is outside the {tokens} tokens")]
    Id { key: String, id: u32, tokens: usize },
    #[error("merge {number} is not two tokens with a space between them")]
    Merge { number: usize },
    #[error("the token `{token}` occurs twice")]
    Twice { token: String },
    #[error("`tokenizer.ggml.token_type` has {kinds} entries for {tokens} tokens")]
    Kinds { kinds: usize, tokens: usize },
}

/// The rule that splits texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Splitting {
    Gpt2,
    SmolLm,
    Qwen2,
    Llama3,
}

const KNOWN: &str = "gpt-2, smollm, qwen2, llama-bpe";

/// As in the tokenizers of Qwen2 and Llama 3. They differ in how many digits stay together.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

impl Splitting {
    /// llama.cpp's names; those in a line are one rule there too.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "gpt-2" | "gpt2" | "phi-2" | "jina-es" | "jina-de" => Self::Gpt2,
            "smollm" | "codeshell" | "starcoder" | "refact" => Self::SmolLm,
            "qwen2" | "deepseek-r1-qwen" => Self::Qwen2,
            "llama3" | "llama-v3" | "llama-bpe" | "falcon3" => Self::Llama3,
            _ => return None,
        })
    }

    fn pre_tokenizer(self) -> Value {
        let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
        let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let steps = match self {
            Self::Gpt2 => return bytes(true),
            Self::SmolLm => vec![json!({"type": "Digits", "individual_digits": true}), bytes(true)],
            Self::Qwen2 => vec![split(QWEN2), bytes(false)],
            Self::Llama3 => vec![split(LLAMA3), bytes(false)],
        };
        json!({"type": "Sequence", "pretokenizers": steps})
    }
}

/// The tokens of a file with their texts.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    pub(crate) texts: &'a [String],
    kinds: &'a [i64],
    metadata: &'a Metadata,
}

impl<'a> Tokens<'a> {
    /// Null if the file has no tokenizer, or one that is not a byte-level BPE.
    pub(crate) fn of(metadata: &'a Metadata) -> Result<Option<Self>, Error> {
        if metadata.text("tokenizer.ggml.model")? != Some("gpt2") {
            return Ok(None);
        }
        let missing = |key: &str| metadata::Error::Missing { key: key.to_owned() };
        let key = "tokenizer.ggml.tokens";
        let texts = metadata.texts(key)?.ok_or_else(|| missing(key))?;
        let kinds = metadata.integers("tokenizer.ggml.token_type")?.unwrap_or_default();
        if !kinds.is_empty() && kinds.len() != texts.len() {
            return Err(Error::Kinds { kinds: kinds.len(), tokens: texts.len() });
        }
        Ok(Some(Self { texts, kinds, metadata }))
    }

    /// The id under `tokenizer.ggml.KEY`, which is one of the tokens.
    pub(crate) fn id(&self, key: &str) -> Result<Option<u32>, Error> {
        let key = format!("tokenizer.ggml.{key}");
        let id = self.metadata.u32(&key)?;
        match id {
            Some(id) if self.text(id).is_none() => {
                Err(Error::Id { key, id, tokens: self.texts.len() })
            }
            id => Ok(id),
        }
    }

    pub(crate) fn text(&self, id: u32) -> Option<&'a str> {
        self.texts.get(usize::try_from(id).ok()?).map(String::as_str)
    }

    /// The ids of tokens that are not text, with their texts.
    pub(crate) fn control(&self) -> impl Iterator<Item = (u32, &'a str)> {
        let is_control = |(_, kind): &(usize, &i64)| **kind == kinds::CONTROL;
        let control = self.kinds.iter().enumerate().filter(is_control);
        control.filter_map(|(id, _)| Some((u32::try_from(id).ok()?, self.texts[id].as_str())))
    }

    /// Whether prompts start with the token of the start.
    fn starts(&self, splitting: Splitting) -> Result<bool, Error> {
        let given = self.metadata.bool("tokenizer.ggml.add_bos_token")?;
        // As llama.cpp does for files without the key.
        Ok(given.unwrap_or(splitting == Splitting::Llama3))
    }

    /// The `tokenizer.json`.
    pub(crate) fn json(&self) -> Result<Value, Error> {
        let name = self.metadata.text("tokenizer.ggml.pre")?.unwrap_or("missing");
        let splitting =
            Splitting::of(name).ok_or_else(|| Error::Splitting { found: name.to_owned() })?;
        let mut vocabulary = Map::new();
        for (id, text) in self.texts.iter().enumerate() {
            if vocabulary.insert(text.clone(), id.into()).is_some() {
                return Err(Error::Twice { token: text.clone() });
            }
        }
        let start = self.id("bos_token_id")?;
        let starts = self.starts(splitting)?;
        let post = start.filter(|_| starts).and_then(|id| Some(with_start(id, self.text(id)?)));
        Ok(json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.added(),
            "normalizer": (splitting == Splitting::Qwen2).then(|| json!({"type": "NFC"})),
            "pre_tokenizer": splitting.pre_tokenizer(),
            "post_processor": post,
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": splitting == Splitting::Llama3,
                "vocab": vocabulary,
                "merges": self.merges()?,
            },
        }))
    }

    fn added(&self) -> Vec<Value> {
        let kinds = self.kinds.iter().enumerate();
        let is_added =
            |kind: &i64| [kinds::UNKNOWN, kinds::CONTROL, kinds::USER_DEFINED].contains(kind);
        kinds
            .filter(|(_, kind)| is_added(kind))
            .map(|(id, kind)| {
                json!({
                    "id": id,
                    "content": self.texts[id],
                    "single_word": false,
                    "lstrip": false,
                    "rstrip": false,
                    "normalized": false,
                    "special": *kind != kinds::USER_DEFINED,
                })
            })
            .collect()
    }

    fn merges(&self) -> Result<Vec<Value>, Error> {
        let key = "tokenizer.ggml.merges";
        let merges = self.metadata.texts(key)?;
        let merges = merges.ok_or_else(|| metadata::Error::Missing { key: key.to_owned() })?;
        let pair = |(number, merge): (usize, &String)| {
            // A token can start with a space in some files, never end with one.
            let at = merge.char_indices().skip(1).find(|(_, character)| *character == ' ');
            let (at, _) = at.ok_or(Error::Merge { number })?;
            Ok(json!([merge[..at], merge[at + 1..]]))
        };
        merges.iter().enumerate().map(pair).collect()
    }
}

fn with_start(id: u32, text: &str) -> Value {
    let special = json!({"SpecialToken": {"id": text, "type_id": 0}});
    let sequence = |name| json!({"Sequence": {"id": name, "type_id": 0}});
    json!({
        "type": "TemplateProcessing",
        "single": [special, sequence("A")],
        "pair": [special, sequence("A"), sequence("B")],
        "special_tokens": {text: {"id": text, "ids": [id], "tokens": [text]}},
    })
}
