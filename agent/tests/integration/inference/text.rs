//! Dialogues in, texts out: the engine as the runner sees it.

use super::fixture::{folder, open, spec};
use agent::engines::{self, http::Permissions};
use agent::model_source;
use engine::{Engine, Request};
use model::failure::Kind;
use model::generation::{Generation, Stop};
use model::sample::Finish;
use std::fs;
use stopwatch::Stopwatch;
use t5::device::Device;

fn request(id: &str, reference: Option<&str>) -> Request {
    Request {
        sample_id: id.to_owned(),
        dialogue: "Ann: Is the soup ready?\nBob: Nearly.".to_owned(),
        reference: reference.map(str::to_owned),
    }
}

fn generation(stop: Stop) -> Generation {
    Generation {
        prompt: "Summarize: {dialogue}".to_owned(),
        max_input_tokens: 16,
        max_new_tokens: 12,
        stop,
    }
}

#[test]
fn a_row_is_as_long_as_its_reference_where_that_is_asked_for() {
    let tiny = open(&spec("builtin:tiny")).unwrap().load(1).unwrap();
    let length = |text: &str| tiny.prompt(text, 1000).unwrap().ids.len().min(12);
    let expected = [length("soup"), length("The soup is nearly ready, says Bob.")];
    let mut engine =
        engines::load(&spec("builtin:tiny"), &Device::cpu(), 1, &Permissions::default()).unwrap();
    let batch = [
        request("short", Some("soup")),
        request("none", None),
        request("long", Some("The soup is nearly ready, says Bob.")),
    ];
    let rows = engine.generate(&batch, &generation(Stop::Reference), &Stopwatch::start()).unwrap();
    for (row, expected) in [&rows[0], &rows[2]].into_iter().zip(expected) {
        let row = row.as_ref().unwrap();
        assert_eq!((row.output_ids.len(), row.finish), (expected, Finish::Length));
        assert!(row.text.is_some());
        assert!(row.first_token_ns.unwrap() <= row.end_ns);
    }
    let failure = rows[1].as_ref().unwrap_err();
    assert_eq!(failure.kind, Kind::Input);
    assert_eq!(failure.detail, "none: no reference summary to match the length of");
}

#[test]
fn a_long_dialogue_is_cut_and_the_pieces_are_counted() {
    let mut engine =
        engines::load(&spec("builtin:tiny"), &Device::cpu(), 1, &Permissions::default()).unwrap();
    let whole = Generation { max_input_tokens: 4096, ..generation(Stop::Eos) };
    let input_tokens = |engine: &mut Box<dyn Engine>, generation| {
        let rows =
            engine.generate(&[request("a", None)], generation, &Stopwatch::synthetic()).unwrap();
        let row = rows[0].as_ref().unwrap();
        (row.input_tokens.unwrap(), row.cut_tokens)
    };
    let (all, none) = input_tokens(&mut engine, &whole);
    assert_eq!(none, 0);
    assert_eq!(input_tokens(&mut engine, &generation(Stop::Eos)), (16, all - 16));
}

#[test]
fn a_text_too_long_to_tokenize_is_refused_by_name() {
    let mut engine =
        engines::load(&spec("builtin:tiny"), &Device::cpu(), 1, &Permissions::default()).unwrap();
    let text = "x".repeat(t5::tokenizer::MAX_TEXT_BYTES + 1);
    let batch = [
        request("short", Some("soup")),
        Request { dialogue: text.clone(), ..request("long", Some("soup")) },
        request("matched", Some(&text)),
    ];
    let rows = engine.generate(&batch, &generation(Stop::Reference), &Stopwatch::start()).unwrap();
    assert!(rows[0].is_ok());
    for (row, reason) in
        [(1, "long: a text of 1048588 bytes"), (2, "matched: a text of 1048577 bytes")]
    {
        let failure = rows[row].as_ref().unwrap_err();
        assert_eq!(failure.kind, Kind::Input);
        let expected = format!("{reason} is too long to tokenize: the limit is 1048576 bytes");
        assert_eq!(failure.detail, expected);
    }
}

#[test]
fn settings_in_a_tokenizer_file_are_switched_off_and_said_so() {
    let tiny = model_source::find(&spec("builtin:tiny")).unwrap().tokenizer.unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&tiny.read().unwrap()).unwrap();
    file["truncation"] = serde_json::json!({
        "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0
    });
    file["padding"] = serde_json::json!({
        "strategy": { "Fixed": 128 }, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, file.to_string()).unwrap();
    let with_file = model::engine::EngineSpec {
        tokenizer: Some(path.to_str().unwrap().to_owned()),
        ..spec("builtin:tiny")
    };
    let text = "as long as it is";
    let prompt = |spec| open(spec).unwrap().load(1).unwrap().prompt(text, 1000).unwrap();
    assert_eq!(prompt(&with_file), prompt(&spec("builtin:tiny")));
    let notes = engines::inspect(&with_file, &Device::cpu(), &Permissions::default())
        .unwrap()
        .notes
        .join("\n");
    assert!(notes.contains("truncation to 3 tokens in the tokenizer file is disabled"), "{notes}");
    assert!(notes.contains("padding in the tokenizer file is disabled"), "{notes}");
}

#[test]
fn a_model_without_a_tokenizer_is_refused_where_dialogues_come() {
    let error = engines::inspect(
        &spec(folder("relu-tied").to_str().unwrap()),
        &Device::cpu(),
        &Permissions::default(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("has no tokenizer: specify a tokenizer.json"), "{error}");
}

#[test]
fn what_is_found_is_told() {
    let facts =
        engines::inspect(&spec("builtin:tiny"), &Device::cpu(), &Permissions::default()).unwrap();
    assert_eq!(facts.device, "cpu");
    assert_eq!(facts.model_sha256.as_ref().unwrap().len(), 64);
    assert_eq!(facts.tokenizer_sha256.map(|hash| hash.len()), Some(64));
    assert_eq!(facts.model_size_bytes, 4 * facts.parameters);
    let base = open(&spec("dummy:flan-t5-base")).unwrap();
    assert!(base.facts().random_weights);
    // The published flan-t5-base: embedding and head of its own, 12 and 12 blocks.
    assert_eq!(base.facts().parameters, 247_577_856);
}
