//! A model folder in the Hugging Face layout.

use super::choice::{
    self, CHAT_TEMPLATE, CONFIG, Chosen, GENERATION, INDEX, MERGES, PIECES, TOKENIZER,
    TOKENIZER_SETTINGS, VOCABULARY, WEIGHTS,
};
use super::folder::{self, Folder};
use super::{Error, given_tokenizer};
use engine::files::{Blob, ChatFiles, Model, TokenizerFiles, Weights};
use std::path::Path;

pub(super) fn find(path: &Path, tokenizer: Option<&str>) -> Result<Model, Error> {
    let root = Folder::new(path);
    let files = root.files(choice::is_model_file, choice::begins_model)?;
    let chosen = choice::model(&root.name(), &files)?;
    open(&root.below(&chosen.folder), &chosen, tokenizer)
}

/// Opens the chosen files, which are in this folder.
pub(super) fn open(
    folder: &Folder,
    chosen: &Chosen,
    tokenizer: Option<&str>,
) -> Result<Model, Error> {
    let if_chosen = |name: &str| chosen.has(name).then(|| folder.open(name)).transpose();
    let weights = match if_chosen(WEIGHTS)? {
        Some(weights) => vec![weights],
        None => shards(folder)?,
    };
    let tokenizer = match given_tokenizer(tokenizer)? {
        Some(given) => Some(TokenizerFiles::Whole(given)),
        None => match (if_chosen(TOKENIZER)?, if_chosen(VOCABULARY)?, if_chosen(MERGES)?) {
            (Some(whole), _, _) => Some(TokenizerFiles::Whole(whole)),
            (None, Some(vocabulary), Some(merges)) => {
                Some(TokenizerFiles::Bpe { vocabulary, merges })
            }
            (None, _, _) => None,
        },
    };
    let pieces = (tokenizer.is_none() && chosen.has(PIECES)).then(|| folder.name_of(PIECES));
    Ok(Model {
        config: folder.open(CONFIG)?,
        generation: if_chosen(GENERATION)?,
        weights: Weights::Stored(weights),
        tokenizer,
        pieces,
        chat: ChatFiles {
            template: if_chosen(CHAT_TEMPLATE)?,
            settings: if_chosen(TOKENIZER_SETTINGS)?,
        },
        revision: None,
        notes: Vec::new(),
    })
}

/// `path` is a `tokenizer.json` or its folder.
pub(super) fn tokenizer(path: &Path, name: &str) -> Result<Blob, Error> {
    if path.extension().is_some_and(|ending| ending == "model") {
        return Err(Error::Pieces { file: name.to_owned() });
    }
    if path.is_dir() {
        let files = [TOKENIZER, PIECES].map(str::to_owned);
        let there: Vec<String> =
            files.into_iter().filter(|file| path.join(file).exists()).collect();
        choice::tokenizer(name.trim_end_matches('/'), &there)?;
        return Ok(Folder::copy(path.to_owned(), name).open(TOKENIZER)?);
    }
    Ok(folder::open(path, name)?)
}

fn shards(folder: &Folder) -> Result<Vec<Blob>, Error> {
    let index = folder.open(INDEX)?;
    let open = |name: &String| {
        if folder.path.join(name).exists() {
            Ok(folder.open(name)?)
        } else {
            Err(Error::Missing { folder: folder.name(), file: name.clone() })
        }
    };
    choice::shards(index.name(), index.text()?.as_bytes())?.iter().map(open).collect()
}
