//! `agent serve`: answers, refusals and shutdown.

use scenarios::Workspace;
use scenarios::serving::Serving;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;

/// The prompt that `agent generate` puts around a dialogue.
fn prompt(dialogue: &str) -> String {
    format!("Summarize: {dialogue}")
}

fn dialogues() -> Vec<String> {
    let file = scenarios::repository("controller/dataset/src/builtin/dialogues.jsonl");
    let text = std::fs::read_to_string(file).expect("it is there");
    let line = |line: &str| -> Value { serde_json::from_str(line).expect("it is JSON") };
    let dialogue = |line: Value| line["dialogue"].as_str().expect("it has one").to_owned();
    text.lines().take(12).map(line).map(dialogue).collect()
}

fn body(inputs: &Value) -> String {
    json!({ "inputs": inputs, "parameters": { "max_new_tokens": 24, "details": true } }).to_string()
}

#[test]
fn answers_equal_those_of_generate_in_any_batch() {
    let workspace = Workspace::default();
    let dialogues = dialogues();
    let mut lines = String::new();
    for dialogue in &dialogues {
        writeln!(lines, "{}", json!({ "dialogue": dialogue })).expect("memory takes it");
    }
    workspace.write("in.jsonl", lines);
    let generate = ["generate", "--model", "builtin:tiny", "--max-new-tokens", "24"];
    let files = ["--input", "in.jsonl", "--output", "out.jsonl"];
    let _ =
        scenarios::Finished::of(&mut workspace.agent(&[&generate[..], &files].concat())).expect(0);
    let text = std::fs::read_to_string(workspace.path("out.jsonl")).expect("it is there");
    let expected: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();

    let serving = Serving::start(&workspace, "builtin:tiny", &["--batch-size", "5"]);
    assert_eq!(serving.answer(serving.ping()), Ok((200, json!({ "status": "ready" }))));
    // All at once, so that they are decoded together; then all in one request.
    let alone: Vec<_> =
        dialogues.iter().map(|dialogue| serving.ask(&body(&json!(prompt(dialogue))))).collect();
    let alone: Vec<Value> = alone
        .into_iter()
        .map(|asked| {
            let (status, answer) = serving.answer(asked).expect("it answers");
            assert_eq!(status, 200, "{answer}");
            answer[0].clone()
        })
        .collect();
    let prompts: Vec<String> = dialogues.iter().map(|dialogue| prompt(dialogue)).collect();
    let (status, batched) =
        serving.answer(serving.ask(&body(&json!(prompts)))).expect("it answers");
    assert_eq!(status, 200, "{batched}");
    for answers in [&alone, batched.as_array().expect("a list")] {
        assert_eq!(answers.len(), expected.len());
        for (answer, expected) in answers.iter().zip(&expected) {
            assert_eq!(answer["output_ids"], expected["output_ids"]);
            assert_eq!(answer["generated_text"], expected["text"]);
            assert_eq!(answer["input_tokens"], expected["input_tokens"]);
            assert_eq!(answer["finish"], expected["finish"]);
            assert!(answer["server_ms"].as_f64().expect("a time") > 0.0);
        }
    }
    serving.signal("TERM");
    let ended = serving.finish().expect(0);
    assert!(ended.err.contains("stopped"), "{}", ended.err);
}

#[test]
fn invalid_requests_are_refused_with_a_reason() {
    let workspace = Workspace::default();
    let serving = Serving::start(&workspace, "builtin:tiny", &["--queue", "2"]);
    for (body, status, reason) in [
        ("{", 400, "EOF"),
        (r#"{"text": "a"}"#, 422, "text"),
        (r#"{"inputs": "a", "parameters": {"temperature": 0.5}}"#, 422, "temperature"),
        (r#"{"inputs": "a", "parameters": {"max_new_tokens": 9000}}"#, 400, "1 to 200"),
        (r#"{"inputs": []}"#, 400, "expected 1 to 2 texts, found 0"),
        (r#"{"inputs": ["a", "b", "c"]}"#, 400, "expected 1 to 2 texts, found 3"),
    ] {
        let (found, answer) = serving.answer(serving.ask(body)).expect("it answers");
        assert_eq!(found, status, "{body}: {answer}");
        assert!(answer["error"].as_str().expect("a reason").contains(reason), "{body}: {answer}");
    }
    serving.signal("INT");
    let _ = serving.finish().expect(0);
}

#[test]
fn json_lines_are_answered_line_by_line() {
    let workspace = Workspace::default();
    let serving = Serving::start(&workspace, "builtin:tiny", &["--queue", "3"]);
    let alone = |inputs: Value| serving.answer(serving.ask(&body(&inputs))).expect("it answers").1;
    let texts = |answer: &Value| -> Vec<Value> {
        let answers = answer.as_array().expect("a list").iter();
        answers.map(|answer| answer["output_ids"].clone()).collect()
    };
    let (one, two) = (json!(prompt("Ann: Hi")), json!([prompt("Ben: Bye"), prompt("Cem: Ok")]));
    let lines = format!("{}\n\n{}\r\n", body(&one), body(&two));
    let (status, kind, answers) = serving.ask_lines(&lines);
    assert_eq!((status, kind.as_str()), (200, "application/jsonlines"), "{answers}");
    let answers: Vec<Value> =
        answers.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    assert_eq!(answers.len(), 2);
    assert_eq!(texts(&answers[0]), texts(&alone(one)));
    assert_eq!(texts(&answers[1]), texts(&alone(two)));

    let good = body(&json!("a"));
    let (status, _, answers) = serving.ask_lines(&format!("\u{feff}{good}\n"));
    assert_eq!(status, 200, "a byte order mark: {answers}");
    let (status, answer) =
        serving.answer(serving.ask(&format!("\u{feff}{good}"))).expect("it answers");
    assert_eq!(status, 200, "{answer}");
    for (lines, status, reason) in [
        (format!("{good}\n{{\n"), 400, "record 2: "),
        (format!("{good}\n{{\"text\": 1}}\n"), 422, "record 2: "),
        (String::new(), 400, "expected 1 to 3 texts, found 0"),
        (format!("{good}\n").repeat(4), 400, "expected 1 to 3 texts, found 4"),
    ] {
        let (found, _, answer) = serving.ask_lines(&lines);
        assert_eq!(found, status, "{lines}: {answer}");
        assert!(answer.contains(reason), "{lines}: {answer}");
    }
    serving.signal("TERM");
    let _ = serving.finish().expect(0);
}

#[test]
fn settings_that_change_nothing_are_accepted() {
    let workspace = Workspace::default();
    let serving = Serving::start(&workspace, "builtin:tiny", &["--max-input-tokens", "8"]);
    let asked = |parameters: &str, text: &str| {
        let body = format!(r#"{{"inputs": "{text}", "parameters": {{{parameters}}}}}"#);
        serving.answer(serving.ask(&body)).expect("it answers")
    };
    let neutral = r#""do_sample": false, "num_beams": 1, "truncation": true, "temperature": 0.7"#;
    let long = "one two three four five six seven eight nine ten";
    assert_eq!(asked(neutral, long).0, 200);
    let (status, answer) = asked(r#""truncation": false"#, long);
    assert_eq!(status, 400);
    let reason = answer["error"].as_str().expect("a reason");
    assert!(reason.contains("more than the limit of 8, and truncation is off"), "{reason}");
    assert_eq!(asked(r#""truncation": false"#, "one").0, 200);
    serving.signal("TERM");
    let _ = serving.finish().expect(0);
}

#[test]
fn pending_requests_are_answered_before_shutdown() {
    let workspace = Workspace::default();
    // Two seconds a request, so that shutdown begins during one.
    workspace.write("script.json", r#"{"prompt_ms": 2000, "token_ms": 0, "paced": true}"#);
    let mut serving = Serving::start(&workspace, "scripted:script.json", &["--queue", "1"]);
    let mut asked = serving.ask_often("/invocations", 6, &body(&json!("a")));
    // One is decoded and one waits: the others are rejected at once.
    for _ in 0..4 {
        let (status, answer) = serving.next(&mut asked).expect("it answers");
        assert_eq!(
            (status, &answer["error"]),
            (503, &json!("the queue of 1 texts is full; try again later"))
        );
    }
    serving.signal("TERM");
    let _ = serving.until("shutting down after the accepted requests");
    let rest = [0; 2].map(|_| serving.next(&mut asked).expect("it answers").0);
    assert!(rest.contains(&200), "{rest:?}");
    assert!(serving.answer(serving.ask(&body(&json!("b")))).is_err(), "it accepts no new requests");
    let _ = serving.finish().expect(0);
}

#[test]
fn a_full_queue_is_429_in_openais_api() {
    let workspace = Workspace::default();
    workspace.write("script.json", r#"{"prompt_ms": 2000, "token_ms": 0, "paced": true}"#);
    let serving = Serving::start(&workspace, "scripted:script.json", &["--queue", "1"]);
    let prompt = json!({ "prompt": "a" }).to_string();
    let mut asked = serving.ask_often("/v1/completions", 6, &prompt);
    // One is decoded and one waits.
    for _ in 0..4 {
        let (status, answer) = serving.next(&mut asked).expect("it answers");
        assert_eq!((status, &answer["error"]["type"]), (429, &json!("rate_limit_error")));
    }
    drop(asked);
    serving.signal("TERM");
    let _ = serving.finish().expect(0);
}

#[test]
fn half_a_request_does_not_delay_the_shutdown() {
    let workspace = Workspace::default();
    let serving = Serving::start(&workspace, "builtin:tiny", &[]);
    let head =
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let half_a_body = format!("{head}content-length: 100\r\n\r\n{{\"inputs\": ");
    let strangers = ["", head, &half_a_body].map(|text| {
        let mut stranger = TcpStream::connect(serving.address()).expect("it listens");
        stranger.write_all(text.as_bytes()).expect("it listens");
        stranger
    });
    // It has accepted them all when it answers a later one.
    assert_eq!(serving.answer(serving.ping()).expect("it answers").0, 200);
    serving.signal("TERM");
    let ended = serving.finish().expect(0);
    assert!(!ended.err.contains("timed out"), "{}", ended.err);
    drop(strangers);
}

#[test]
fn half_sent_bodies_share_a_budget_of_memory() {
    const LENGTH: usize = 25 << 20;
    let workspace = Workspace::default();
    let serving = Serving::start(&workspace, "builtin:tiny", &[]);
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {LENGTH}\r\n\r\n"
    );
    let half = vec![b' '; LENGTH - 1];
    let strangers: Vec<_> = (0..40)
        .map(|_| {
            let mut stranger = TcpStream::connect(serving.address()).expect("it listens");
            stranger.write_all(head.as_bytes()).expect("it listens");
            // Fails once the body is refused.
            drop(stranger.write_all(&half));
            stranger
        })
        .collect();
    assert_eq!(serving.answer(serving.ping()).expect("it answers").0, 200);
    let peak = serving.peak_memory_bytes() >> 20;
    assert!(peak < 400, "{peak} MiB for 40 bodies of 25 MiB");
    drop(strangers);
    serving.signal("TERM");
    let _ = serving.finish().expect(0);
}

#[test]
fn a_text_above_the_limit_is_refused() {
    let workspace = Workspace::default();
    let serving = Serving::start(&workspace, "builtin:tiny", &[]);
    let ask = |bytes: usize| {
        let asked = serving.ask(&body(&json!(["a", "x".repeat(bytes)])));
        serving.answer(asked).expect("it answers")
    };
    let (status, answer) = ask((1 << 20) + 1);
    assert_eq!(status, 413, "{answer}");
    let reason = answer["error"].as_str().expect("a reason");
    assert!(reason.contains("a text of 1048577 bytes is too long to tokenize"), "{reason}");
    assert_eq!(ask(1 << 20).0, 200);
    serving.signal("TERM");
    let _ = serving.finish().expect(0);
}

#[test]
fn a_port_in_use_and_a_missing_model_are_errors() {
    let workspace = Workspace::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address").to_string();
    let serve = |model, address: &str| {
        let mut command = workspace.agent(&["serve", "--model", model, "--listen", address]);
        scenarios::Finished::of(&mut command).expect(2).err
    };
    assert!(serve("builtin:tiny", &address).contains("choose another --listen"));
    assert!(serve("./nothing", "127.0.0.1:0").contains("nothing"));
}

#[test]
fn a_panic_of_the_engine_is_the_answer_and_the_end() {
    let workspace = Workspace::default();
    // The first of a batch, whether it holds one text or both.
    workspace.write("script.json", r#"{"samples": {"request-0": {"breaks": "panic"}}}"#);
    let serving = Serving::start(&workspace, "scripted:script.json", &["--batch-size", "4"]);
    let (status, said) =
        serving.answer(serving.ask(&body(&json!(["one", "two"])))).expect("it answers");
    let told = json!({ "error": "the engine panicked: the script panics" });
    assert_eq!((status, said), (500, told));
    let ended = serving.finish().expect(70);
    let told = "the engine's thread panicked: the script panics; this is a bug";
    assert!(ended.err.contains(told), "{}", ended.err);
}

#[test]
fn a_panic_while_the_model_loads_ends_the_service_with_its_words() {
    let workspace = Workspace::default();
    workspace.write("script.json", r#"{"loading": "panic"}"#);
    let options = ["serve", "--model", "scripted:script.json", "--listen", "127.0.0.1:0"];
    let ended = scenarios::Finished::of(&mut workspace.agent(&options)).expect(70);
    assert!(ended.err.contains("panicked: the script panics; this is a bug"), "{}", ended.err);
}

/// Sends a request with one connection; gives its status line and its body.
fn post(serving: &Serving, path: &str, body: &Value) -> (String, String) {
    use std::io::Read as _;
    let mut stream = TcpStream::connect(serving.address()).expect("it listens");
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.lines().next().expect("a status").to_owned(), body.to_owned())
}

/// The data of the events of a stream with chunked encoding: lines of JSON, and the final one.
fn events(body: &str) -> Vec<String> {
    body.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

#[test]
fn openai_clients_get_the_same_text_whole_and_as_a_stream() {
    let workspace = Workspace::default();
    let serving = Serving::start(&workspace, "builtin:tiny", &["--batch-size", "2"]);
    let text = prompt(&dialogues()[0]);
    let (_, expected) = serving.answer(serving.ask(&body(&json!(text)))).expect("it answers");
    let expected = &expected[0];
    let finish = if expected["finish"] == "eos" { "stop" } else { "length" };
    // A model without a chat template gets the texts of a chat one per line.
    let (start, end) = text.split_once('\n').expect("several lines");
    let system = json!({ "role": "system", "content": start });
    let message = json!({ "role": "user", "content": [{ "type": "text", "text": end }] });
    for (path, input) in [
        ("/v1/completions", json!({ "prompt": text })),
        ("/v1/chat/completions", json!({ "messages": [system, message] })),
    ] {
        let is_chat = path.contains("chat");
        let mut request = input;
        request["model"] = json!("any");
        request["max_tokens"] = json!(24);
        let (status, whole) = post(&serving, path, &request);
        assert!(status.contains("200"), "{status}: {whole}");
        let whole: Value = serde_json::from_str(&whole).expect("it is JSON");
        let choice = &whole["choices"][0];
        let found = if is_chat { &choice["message"]["content"] } else { &choice["text"] };
        assert_eq!(*found, expected["generated_text"], "{path}");
        assert_eq!(choice["finish_reason"], finish);
        assert_eq!(whole["usage"]["completion_tokens"], expected["output_tokens"]);
        assert_eq!(whole["usage"]["prompt_tokens"], expected["input_tokens"]);

        request["stream"] = json!(true);
        request["stream_options"] = json!({ "include_usage": true });
        let (status, streamed) = post(&serving, path, &request);
        assert!(status.contains("200"), "{status}: {streamed}");
        let mut events = events(&streamed);
        assert_eq!(events.pop().as_deref(), Some("[DONE]"), "{streamed}");
        let parts: Vec<Value> =
            events.iter().map(|event| serde_json::from_str(event).expect("it is JSON")).collect();
        let pieces: Vec<&str> = parts
            .iter()
            .map(|part| {
                let choice = &part["choices"][0];
                let piece = if is_chat { &choice["delta"]["content"] } else { &choice["text"] };
                piece.as_str().unwrap_or_default()
            })
            .filter(|piece| !piece.is_empty())
            .collect();
        assert_eq!(json!(pieces.concat()), expected["generated_text"], "{path}");
        assert!(pieces.len() > 4, "a piece for each token with text: {pieces:?}");
        let reasons: Vec<&Value> =
            parts.iter().map(|part| &part["choices"][0]["finish_reason"]).collect();
        assert_eq!(reasons.iter().filter(|reason| ***reason == json!(finish)).count(), 1);
        let usage = &parts.last().expect("a part")["usage"];
        assert_eq!(usage["completion_tokens"], expected["output_tokens"], "{streamed}");
    }
    let refused = [
        (
            "/v1/completions",
            json!({ "prompt": "a", "temperature": 0.7 }),
            "temperature = 0.7 asks for sampling, which this server does not allow",
        ),
        ("/v1/completions", json!({ "messages": [] }), "expected prompt"),
        ("/v1/chat/completions", json!({ "messages": [] }), "at least one"),
        (
            "/v1/chat/completions",
            json!({ "messages": [{ "role": "assistant", "content": "a" }] }),
            "the last message has the role assistant: expected user",
        ),
        (
            "/v1/chat/completions",
            json!({ "messages": [{ "role": "tool", "content": "a" }] }),
            "unknown variant `tool`",
        ),
        ("/v1/completions", json!({ "prompt": "a", "max_tokens": 9000 }), "1 to 200"),
        ("/v1/completions", json!({ "prompt": "a", "tools": [] }), "tools"),
    ];
    for (path, request, reason) in refused {
        let (status, answer) = post(&serving, path, &request);
        assert!(status.contains("400"), "{status}: {answer}");
        let answer: Value = serde_json::from_str(&answer).expect("it is JSON");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains(reason), "{message}");
    }
    serving.signal("TERM");
    let _ = serving.finish().expect(0);
}

#[test]
fn the_turns_of_a_chat_go_through_the_models_template() {
    let workspace = Workspace::default();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/gguf/tests/smollm.gguf");
    let serving = Serving::start(&workspace, model, &["--max-new-tokens", "1"]);
    let tokens = |messages: Value| {
        let request = json!({ "messages": messages, "max_tokens": 1 });
        let (status, answer) = post(&serving, "/v1/chat/completions", &request);
        assert!(status.contains("200"), "{status}: {answer}");
        let answer: Value = serde_json::from_str(&answer).expect("it is JSON");
        answer["usage"]["prompt_tokens"].as_u64().expect("a number")
    };
    let turn = |role: &str| json!({ "role": role, "content": "Ann: Hi" });
    let one = tokens(json!([turn("user")]));
    let three = tokens(json!([turn("user"), turn("assistant"), turn("user")]));
    // Each turn has the same marks, and the last one those that ask for an answer.
    let five = tokens(json!([
        turn("user"),
        turn("assistant"),
        turn("user"),
        turn("assistant"),
        turn("user")
    ]));
    assert_eq!(five - three, three - one);
    let merged = tokens(json!([{ "role": "user", "content": "Ann: Hi\nAnn: Hi\nAnn: Hi" }]));
    assert!(three > merged, "{three} tokens of three turns, {merged} of one");
    serving.signal("TERM");
    let _ = serving.finish().expect(0);

    let mut refused =
        workspace.agent(&["serve", "--model", "builtin:tiny", "--system", "Be brief."]);
    let ended = scenarios::Finished::of(&mut refused).expect(2);
    assert!(ended.err.contains("`system` is not supported for builtin:tiny"), "{}", ended.err);
}

#[test]
fn requests_sample_where_the_server_lets_them() {
    let workspace = Workspace::default();
    let options = ["--batch-size", "4", "--allow-sampling", "--max-new-tokens", "24"];
    let serving = Serving::start(&workspace, "builtin:tiny", &options);
    let text = prompt(&dialogues()[0]);
    let completion = |parameters: Value| {
        let mut request = json!({ "prompt": text });
        for (name, value) in parameters.as_object().expect("an object") {
            request[name] = value.clone();
        }
        let (status, answer) = post(&serving, "/v1/completions", &request);
        assert!(status.contains("200"), "{status}: {answer}");
        let answer: Value = serde_json::from_str(&answer).expect("it is JSON");
        answer["choices"][0]["text"].as_str().expect("a text").to_owned()
    };
    let greedy = completion(json!({}));
    assert_eq!(completion(json!({ "temperature": 0 })), greedy);
    assert_eq!(completion(json!({ "temperature": 0, "top_p": 0.5, "seed": 9 })), greedy);
    let sampled = completion(json!({ "temperature": 2, "seed": 1 }));
    assert_ne!(sampled, greedy);
    assert_eq!(completion(json!({ "temperature": 2, "seed": 1, "top_p": 1 })), sampled);
    assert_ne!(completion(json!({ "temperature": 2, "seed": 2 })), sampled);
    // The same request in the other form, and in a batch of others.
    let parameters = json!({
        "max_new_tokens": 24, "do_sample": true, "temperature": 2, "top_k": 0, "seed": 1,
    });
    let inputs = json!([prompt(&dialogues()[1]), text, prompt(&dialogues()[2])]);
    let body = json!({ "inputs": inputs, "parameters": parameters }).to_string();
    let (status, answer) = serving.answer(serving.ask(&body)).expect("it answers");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer[1]["generated_text"], json!(sampled));
    let (status, answer) =
        post(&serving, "/v1/completions", &json!({ "prompt": "a", "temperature": 2.5 }));
    assert!(
        status.contains("400") && answer.contains("temperature = 2.5: expected 0 to 2"),
        "{answer}"
    );
    serving.signal("TERM");
    let _ = serving.finish().expect(0);
}
