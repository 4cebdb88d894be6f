//! Any text as a chat template: refused or rendered within its limits, never a panic.

use chat::{Message, Template};
use std::collections::BTreeMap;

pub fn check(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let tokens = BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())]);
    let now = chrono::DateTime::UNIX_EPOCH;
    let messages = [
        Message { role: "system", content: "Be brief." },
        Message { role: "user", content: " Amy: \"hi\"\nBob: é 😀 <b> " },
    ];
    let rendered = Template::compile("template", source, &tokens, now)
        .and_then(|template| template.render(&messages));
    if let Err(error) = rendered {
        assert!(error.to_string().starts_with("template"), "{error}");
    }
}

#[test]
fn kept_templates_are_checked() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/chat");
    let inputs: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!inputs.is_empty());
    for path in inputs {
        check(&std::fs::read(path).unwrap());
    }
}
