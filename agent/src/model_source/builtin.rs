//! The model that is part of the program: `builtin:tiny`.
//!
//! For now about two million seeded random weights and a tokenizer whose pieces are bytes.

use super::dummy::config_json;
use super::{Blob, Error, Model, Weights, given_tokenizer};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

const SEED: u64 = 2;
/// Three special tokens and a piece for every byte, rounded up.
const VOCABULARY: usize = 264;

/// The built-in model called `name`.
pub(super) fn find(name: &str, tokenizer: Option<&str>) -> Result<Model, Error> {
    if name != "tiny" {
        return Err(Error::UnknownName {
            kind: "builtin",
            found: name.to_owned(),
            known: "tiny".to_owned(),
        });
    }
    let config = config_json(&[
        ("d_model", 160),
        ("d_kv", 32),
        ("d_ff", 384),
        ("num_heads", 4),
        ("num_layers", 4),
        ("vocab_size", VOCABULARY),
    ]);
    let own = Blob::held("builtin:tiny/tokenizer.json", byte_tokenizer().into_bytes());
    Ok(Model {
        config: Blob::held("builtin:tiny/config.json", config),
        weights: Weights::Seeded(SEED),
        tokenizer: Some(given_tokenizer(tokenizer)?.unwrap_or(own)),
        notes: vec!["builtin:tiny has random weights".to_owned()],
    })
}

/// A `tokenizer.json` with `<pad>` 0, `</s>` 1, `<unk>` 2 and one piece for every byte.
fn byte_tokenizer() -> String {
    let special = ["<pad>", "</s>", "<unk>"];
    let mut bytes: Vec<String> = ByteLevel::alphabet().into_iter().map(String::from).collect();
    bytes.sort_unstable();
    let pieces = special.iter().map(|piece| (*piece).to_owned()).chain(bytes);
    let vocabulary: Vocab = pieces.zip(0..).collect();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, Vec::new())
        .build()
        .expect("pieces without merges are a valid model");
    let template = TemplateProcessing::builder()
        .try_single("$A </s>")
        .expect("the template is valid")
        .special_tokens(vec![("</s>", 1)])
        .build()
        .expect("the template names a special token that is given");
    let level = ByteLevel::new(false, true, false);
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_pre_tokenizer(Some(level))
        .with_decoder(Some(level))
        .with_post_processor(Some(template));
    tokenizer
        .add_special_tokens(special.map(|piece| AddedToken::from(piece, true)))
        .expect("the special tokens are in the vocabulary");
    tokenizer.to_string(false).expect("a tokenizer is made of serializable parts")
}
