//! Templates in the forms of different authors, rendered like transformers 5.24 renders them:
//! `tools/make_chat.py` writes what is expected.

use chat::{Message, Template};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Expected {
    now: chrono::DateTime<chrono::Utc>,
    tokens: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    messages: Vec<Turn>,
    prompt: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: String,
}

#[test]
fn prompts_are_those_of_transformers() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let text = std::fs::read_to_string(format!("{folder}/expected.json")).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();
    let mut templates = std::collections::BTreeSet::new();
    for case in &expected.cases {
        let path = format!("{folder}/templates/{}", case.template);
        let source = std::fs::read_to_string(path).unwrap();
        let template =
            Template::compile(&case.template, &source, &expected.tokens, expected.now).unwrap();
        let turns = case.messages.iter();
        let chat: Vec<Message> =
            turns.map(|turn| Message { role: &turn.role, content: &turn.content }).collect();
        let rendered = template.render(&chat);
        match (&case.prompt, &case.error) {
            (Some(prompt), None) => {
                let rendered = rendered.unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(&rendered, prompt, "{}", case.template);
            }
            (None, Some(message)) => {
                let error = rendered.unwrap_err().to_string();
                assert!(error.contains(message.as_str()), "{error}");
                assert!(error.contains(", line "), "{error}");
            }
            _ => panic!("{}: expected either a prompt or an error", case.template),
        }
        templates.insert(&case.template);
    }
    assert!(templates.len() >= 8, "{templates:?}");
}
