//! Dialogues in, texts out: the engine as the runner sees it.

use super::fixture::{folder, open, spec};
use agent::engines::{self, http::Permissions};
use agent::model_source;
use engine::files::{Blob, ChatFiles, TokenizerFiles};
use engine::{Engine, Request, Role, Turn};
use generation::chat_form::{Asked, ChatForm};
use generation::tokenizer::{PromptForm, Tokenizer};
use model::engine::{EngineFacts, EngineSpec};
use model::failure::Kind;
use model::generation::{Generation, Settings, Stop};
use model::sample::Finish;
use ops::error_chain::one_line;
use seq2seq::device::Device;
use std::fs;
use stopwatch::Stopwatch;

fn request(id: &str, reference: Option<&str>) -> Request {
    Request {
        sample_id: id.to_owned(),
        dialogue: "Ann: Is the soup ready?\nBob: Nearly.".to_owned(),
        earlier: Vec::new(),
        reference: reference.map(str::to_owned),
    }
}

fn generation(stop: Stop) -> Generation {
    Generation {
        prompt: None,
        max_input_tokens: 16,
        settings: Settings { max_new_tokens: Some(12), ..Settings::default() },
        stop,
    }
}

fn inspect(spec: &EngineSpec) -> Result<EngineFacts, engines::Error> {
    let asked = generation(Stop::Eos);
    let mut found = engines::inspect(spec, &[&asked], &Device::cpu(), &Permissions::default())?;
    assert_eq!(found.len(), 1);
    found.remove(0)
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
    let text = "x".repeat(generation::tokenizer::MAX_TEXT_BYTES + 1);
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
    let TokenizerFiles::Whole(tiny) = tiny else { panic!("{}", tiny.name()) };
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
    let notes = inspect(&with_file).unwrap().notes.join("\n");
    assert!(notes.contains("truncation to 3 tokens in the tokenizer file is disabled"), "{notes}");
    assert!(notes.contains("padding in the tokenizer file is disabled"), "{notes}");
}

#[test]
fn a_model_without_a_tokenizer_is_refused_where_dialogues_come() {
    let error = inspect(&spec(folder("relu-tied").to_str().unwrap())).unwrap_err();
    assert!(error.to_string().contains("has no tokenizer: specify a tokenizer.json"), "{error}");
}

#[test]
fn what_is_found_is_told() {
    let facts = inspect(&spec("builtin:tiny")).unwrap();
    assert_eq!(facts.device, "cpu");
    assert_eq!(facts.prompt.as_deref(), Some("Summarize: {dialogue}"));
    assert_eq!(facts.model_sha256.as_ref().unwrap().len(), 64);
    assert_eq!(facts.tokenizer_sha256.map(|hash| hash.len()), Some(64));
    assert_eq!(facts.model_size_bytes, 4 * facts.parameters);
    let base = open(&spec("dummy:flan-t5-base")).unwrap();
    assert!(base.facts().random_weights);
    // The published flan-t5-base: embedding and head of its own, 12 and 12 blocks.
    assert_eq!(base.facts().parameters, 247_577_856);
    // facebook/bart-base and facebook/bart-large-cnn.
    let bart = open(&spec("dummy:bart-base")).unwrap().facts();
    assert_eq!(bart.parameters, 139_420_416);
    assert!(bart.kernel.starts_with("fleetmark cpu, bart, "), "{}", bart.kernel);
    let cnn = open(&spec("dummy:bart-large-cnn")).unwrap();
    assert_eq!(cnn.facts().parameters, 406_290_432);
}

/// A byte-level BPE over all bytes with two merges, as the two files that GPT-2 and BART have.
fn bpe_files() -> (String, String) {
    let mut visible: Vec<u32> = (33..127).chain(161..173).chain(174..256).collect();
    let hidden = (0..256 - visible.len()).map(|place| 256 + u32::try_from(place).unwrap());
    visible.extend(hidden);
    let special = ["<s>", "<pad>", "</s>", "<unk>"].map(str::to_owned);
    let bytes = visible.into_iter().map(|code| char::from_u32(code).unwrap().to_string());
    let merged = ["so", "\u{120}so"].map(str::to_owned);
    let tokens = special.into_iter().chain(bytes).chain(merged).chain(["<mask>".to_owned()]);
    let ids: serde_json::Map<String, serde_json::Value> =
        tokens.enumerate().map(|(id, token)| (token, id.into())).collect();
    (serde_json::Value::from(ids).to_string(), "#version: 0.2\ns o\n\u{120} so\n".to_owned())
}

/// The smallest BART with these tokenizer files.
fn tiny_bart(files: &[(&str, &str)]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for file in ["config.json", "generation_config.json", "model.safetensors"] {
        let from = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/families/bart");
        fs::copy(std::path::Path::new(from).join(file), place.path().join(file)).unwrap();
    }
    for (name, text) in files {
        fs::write(place.path().join(name), text).unwrap();
    }
    place
}

#[test]
fn a_vocabulary_and_its_merges_serve_as_a_tokenizer() {
    let (vocabulary, merges) = bpe_files();
    // More tokens than the fixture has rows.
    let place = tiny_bart(&[("vocab.json", &vocabulary), ("merges.txt", &merges)]);
    let error = open(&spec(place.path().to_str().unwrap())).unwrap_err().to_string();
    assert!(
        error.contains("vocab.json has 263 tokens, but the model's embedding has 160"),
        "{error}"
    );
    let files = TokenizerFiles::Bpe {
        vocabulary: Blob::held("vocab.json", vocabulary.clone().into_bytes()),
        merges: Blob::held("merges.txt", merges.into_bytes()),
    };
    let form = PromptForm { start: Some(0), end: Some(2), longest: None };
    let bpe = Tokenizer::load(&files, form, 263).unwrap();
    assert_eq!(bpe.notes, [""; 0]);
    let id = |token: &str| -> u32 {
        let ids: std::collections::HashMap<String, u32> =
            serde_json::from_str(&vocabulary).unwrap();
        ids[token]
    };
    let prompt = bpe.prompt("so so é<mask>", 100).unwrap();
    let expected =
        [id("<s>"), id("so"), id("\u{120}so"), id("\u{120}"), id("Ã"), id("©"), id("<mask>"), 2];
    assert_eq!(prompt.ids, expected);
    assert_eq!(bpe.text(&prompt.ids).unwrap(), "so so é");
    assert_eq!(bpe.count("so so").unwrap(), 4);
    let cut = bpe.prompt("so so so so", 4).unwrap();
    assert_eq!((cut.ids, cut.cut), (vec![0, id("so"), id("\u{120}so"), 2], 2));
}

#[test]
fn broken_files_of_a_vocabulary_are_named() {
    let (vocabulary, merges) = bpe_files();
    let error = |vocabulary: &str, merges: &str| {
        let place = tiny_bart(&[("vocab.json", vocabulary), ("merges.txt", merges)]);
        let name = place.path().to_str().unwrap().to_owned();
        open(&spec(&name)).unwrap_err().to_string().replace(&name, "DIR")
    };
    assert_eq!(error("[]", &merges), "DIR/vocab.json is not the vocabulary of a byte-level BPE");
    assert_eq!(
        error(r#"{"<s>": 0}"#, &merges),
        "DIR/vocab.json lacks the token </s>: save the tokenizer as tokenizer.json"
    );
    assert_eq!(
        error(&vocabulary, "#version: 0.2\ns o\nso\n"),
        "DIR/merges.txt, line 3: expected two tokens with a space between them"
    );
    assert_eq!(error(&vocabulary, "q qq\n"), "DIR/merges.txt does not fit DIR/vocab.json");
}

/// The whole of a file as transformers writes it for BART says where prompts begin and end.
#[test]
fn a_tokenizer_without_special_tokens_around_texts_gets_them_with_a_note() {
    let tiny = model_source::find(&spec("builtin:tiny")).unwrap().tokenizer.unwrap();
    let form = PromptForm { start: Some(2), end: Some(1), longest: None };
    let tokenizer = Tokenizer::load(&tiny, form, usize::MAX).unwrap();
    let expected = "the tokenizer file does not put texts between tokens 2 and 1: prompts have both anyway, as in \
                    the model's training";
    assert_eq!((tokenizer.prompt_note.as_deref(), tokenizer.notes.len()), (Some(expected), 0));
    let ids = tokenizer.prompt("so", 10).unwrap().ids;
    assert_eq!((ids[0], ids.last()), (2, Some(&1)));
}

#[derive(serde::Deserialize)]
struct Tokenized {
    text: String,
    ids: Vec<u32>,
    cut_ids: Vec<u32>,
    decoded: String,
}

/// `tools/make_bpe.py` made the files and the ids, cut to 12 tokens.
#[test]
fn both_forms_of_a_byte_level_bpe_give_the_ids_of_transformers() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families/bpe");
    let blob = |name: &str| Blob::open(&folder.join(name)).unwrap();
    let form = PromptForm { start: Some(0), end: Some(2), longest: None };
    let whole = TokenizerFiles::Whole(blob("tokenizer.json"));
    let two = TokenizerFiles::Bpe { vocabulary: blob("vocab.json"), merges: blob("merges.txt") };
    let cases = fs::read_to_string(folder.join("cases.jsonl")).unwrap();
    assert!(cases.lines().count() >= 12);
    for files in [whole, two] {
        let tokenizer = Tokenizer::load(&files, form, 400).unwrap();
        assert_eq!(tokenizer.notes, [""; 0], "{}", files.name());
        for line in cases.lines() {
            let case: Tokenized = serde_json::from_str(line).unwrap();
            let prompt = tokenizer.prompt(&case.text, 1000).unwrap();
            assert_eq!(prompt.ids, case.ids, "{}: {:?}", files.name(), case.text);
            assert_eq!(tokenizer.text(&prompt.ids).unwrap(), case.decoded, "{:?}", case.text);
            assert_eq!(tokenizer.count(&case.text).unwrap(), case.ids.len());
            let cut = tokenizer.prompt(&case.text, 12).unwrap();
            assert_eq!(cut.ids, case.cut_ids, "{}: {:?}", files.name(), case.text);
            assert_eq!(cut.cut, case.ids.len() - case.cut_ids.len());
        }
    }
}

#[test]
fn a_long_chat_loses_the_end_of_its_dialogue_and_nothing_else() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/gguf/tests/smollm.gguf");
    let model = model_source::find(&spec(path)).unwrap();
    let form = PromptForm { start: None, end: Some(2), longest: Some(1000) };
    let chat = ChatForm::open(&model.chat).unwrap().unwrap();
    assert!(chat.note.starts_with("prompts are written by the model's chat template (SHA-256 "));
    let tokenizer = Tokenizer::load(&model.tokenizer.unwrap(), form, 400).unwrap().with_chat(chat);
    let dialogue =
        "Amy: They're late, naïve 日本 😀😀 meeting!\n\nBob: 12345 meet summarize \u{1F600}";
    let prompt = |dialogue: &str, limit| {
        let instruction = "Summarize: {dialogue} <end>";
        tokenizer.prompt_of(&Asked { system: None, instruction, earlier: &[], dialogue }, limit)
    };
    let whole = prompt(dialogue, 2000).unwrap();
    let empty = prompt("", 2000).unwrap();
    assert_eq!((whole.cut, whole.ids[0]), (0, 1));
    let text = "<|im_start|>user\nSummarize: ";
    assert_eq!(whole.ids[..8], tokenizer.prompt(text, 1000).unwrap().ids[..8]);
    for limit in empty.ids.len()..whole.ids.len() {
        let prompt = prompt(dialogue, limit).unwrap();
        assert!(prompt.ids.len() <= limit && prompt.ids.len() + 4 > limit, "{limit}");
        assert_eq!(prompt.ids.len() + prompt.cut, whole.ids.len());
        let (start, end) = (&prompt.ids[..8], &prompt.ids[prompt.ids.len() - 6..]);
        assert_eq!((start, end), (&whole.ids[..8], &whole.ids[whole.ids.len() - 6..]), "{limit}");
    }
    let error = prompt(dialogue, empty.ids.len() - 1).unwrap_err().to_string();
    assert!(error.starts_with("without the dialogue a prompt has "), "{error}");
}

/// Like `agent/chat/tests`, whose prompts are those of transformers.
#[test]
fn turns_and_a_system_message_go_through_the_template() {
    let chat = |template: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/chat/tests/templates");
        let template = Some(Blob::open(format!("{folder}/{template}.jinja").as_ref()).unwrap());
        ChatForm::open(&ChatFiles { template, settings: None }).unwrap().unwrap()
    };
    let turn = |role, content: &str| Turn { role, content: content.to_owned() };
    let earlier = [turn(Role::User, "Hi"), turn(Role::Assistant, "Yes?")];
    let instructed = [turn(Role::System, "Be long."), turn(Role::User, "Hi")];
    let asked = Asked {
        system: Some("Be brief."),
        instruction: "Sum: {dialogue}",
        earlier: &earlier,
        dialogue: "A: b",
    };
    let chatml = chat("chatml");
    let turns = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n";
    let last = "<|im_start|>user\nSum: A: b<|im_end|>\n<|im_start|>assistant\n";
    let whole = format!("<|im_start|>system\nBe brief.<|im_end|>\n{turns}{last}");
    assert_eq!(chatml.prompt(&asked).unwrap(), whole);
    // That of a request replaces that of the server.
    let own = chatml.prompt(&Asked { earlier: &instructed, ..asked }).unwrap();
    assert!(own.contains("Be long.") && !own.contains("Be brief."), "{own}");

    let rejecting = chat("no_system");
    let words = "the template takes no system message: ";
    for asked in [asked, Asked { system: None, earlier: &instructed, ..asked }] {
        let error = rejecting.prompt(&asked).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}");
        assert!(
            error.ends_with(
                "no_system.jinja, line 1: the template rejects the chat: System role not supported"
            ),
            "{error}"
        );
    }
    let prompt = rejecting.prompt(&Asked { system: None, ..asked }).unwrap();
    assert!(prompt.contains("Yes?"), "{prompt}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat_template.jinja");
    let source = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}";
    std::fs::write(&path, source).unwrap();
    let files = ChatFiles { template: Some(Blob::open(&path).unwrap()), settings: None };
    let ignoring = ChatForm::open(&files).unwrap().unwrap();
    let error = ignoring.prompt(&asked).unwrap_err().to_string();
    assert!(error.ends_with("chat_template.jinja ignores system messages"), "{error}");
}

#[test]
fn a_model_without_a_chat_template_refuses_a_system_message() {
    let settings = Settings { system: Some("Be brief.".to_owned()), ..Settings::default() };
    let error = open(&spec("builtin:tiny")).unwrap().decoding(&settings).unwrap_err();
    assert_eq!(
        one_line(&error),
        "`system` is not supported for builtin:tiny: remove it: a model without a chat template takes no system message"
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/gguf/tests/smollm.gguf");
    assert!(open(&spec(path)).unwrap().decoding(&settings).is_ok());
}
