//! Endpoints: requests, streams, loads, and what is refused.

use super::*;

#[test]
fn an_endpoint_has_a_default_request_that_its_section_overrides() {
    let plain = check_model("id = \"sagemaker:summaries\"").unwrap();
    let endpoint = plain.models[0].endpoint.as_ref().unwrap();
    assert_eq!(
        endpoint.request,
        r#"{"inputs":"{prompt}","parameters":{"max_new_tokens":"{max_new_tokens}"}}"#
    );
    assert_eq!((endpoint.answer.as_str(), endpoint.timeout_ms), ("/0/generated_text", 60_000));
    let whole = check_model(
        r#"id = "https://h.example/v1"
        [model.endpoint]
        request = { messages = [{ role = "user", content = "{prompt}" }], temperature = 0.0, n = 1, stream = false }
        answer = "/choices/0/message/content"
        output_tokens = "/usage/completion_tokens"
        headers = { Authorization = "MODELS_KEY" }
        timeout = "5s""#,
    )
    .unwrap();
    let endpoint = whole.models[0].endpoint.as_ref().unwrap();
    assert_eq!(
        endpoint.request,
        r#"{"messages":[{"content":"{prompt}","role":"user"}],"n":1,"stream":false,"temperature":0.0}"#
    );
    assert_eq!(endpoint.headers["authorization"], "MODELS_KEY");
    assert_eq!(endpoint.output_tokens.as_deref(), Some("/usage/completion_tokens"));
}

fn endpoint_of(section: &str) -> Endpoint {
    let lines = format!("id = \"https://h/v1\"\n[model.endpoint]\n{section}");
    check_model(&lines).unwrap().models[0].endpoint.clone().unwrap()
}

#[test]
fn an_api_sets_the_keys_of_a_stream_and_each_can_be_overridden() {
    let chat = endpoint_of("api = \"openai-chat\"\nmodel = \"m\"");
    assert_eq!(
        chat.request,
        r#"{"messages":[{"role":"user","content":"{prompt}"}],"model":"m","max_tokens":"{max_new_tokens}","temperature":0,"stream":true,"stream_options":{"include_usage":true}}"#
    );
    assert_eq!(chat.answer, "/choices/0/delta/content");
    assert_eq!(chat.output_tokens.as_deref(), Some("/usage/completion_tokens"));
    let stream = chat.stream.unwrap();
    assert_eq!((stream.done.as_str(), stream.idle_timeout_ms), ("[DONE]", 10_000));

    let whole = endpoint_of("api = \"openai-chat\"\nmodel = \"m\"\nstream = false");
    assert_eq!((whole.answer.as_str(), whole.stream), ("/choices/0/message/content", None));
    assert!(!whole.request.contains("stream"), "{}", whole.request);

    let tgi = endpoint_of(
        "api = \"tgi-stream\"\nfinish = \"/why\"\ninput_tokens = \"tokenizer\"\nidle_timeout = \"3s\"",
    );
    assert_eq!((tgi.answer.as_str(), tgi.finish.as_deref()), ("/token/text", Some("/why")));
    assert_eq!(tgi.input_tokens, None);
    let stream = tgi.stream.unwrap();
    assert_eq!((stream.done.as_str(), stream.idle_timeout_ms), ("/generated_text", 3_000));
    assert_eq!(stream.skip.as_deref(), Some("/token/special"));

    let own = endpoint_of("request = { q = \"{prompt}\" }\nanswer = \"/t\"\nstream = true");
    assert_eq!((own.answer.as_str(), own.output_tokens), ("/t", None));
    assert_eq!(own.stream.unwrap().done, "[DONE]");
}

#[test]
fn a_system_message_is_a_message_of_its_own() {
    let of = |lines: &str| check_model(&format!("id = \"https://h/v1\"\n{lines}"));
    let system = "generation.system = \"Be brief.\"\n[model.endpoint]\n";
    let chat = of(&format!("{system}api = \"openai-chat\"\nmodel = \"m\"")).unwrap();
    let request = &chat.models[0].endpoint.as_ref().unwrap().request;
    let messages = r#"{"messages":[{"role":"system","content":"{system}"},{"role":"user","content":"{prompt}"}],"#;
    assert!(request.starts_with(messages), "{request}");
    let own = of(&format!("{system}request = {{ s = \"{{system}}\", p = \"{{prompt}}\" }}"));
    assert!(own.is_ok(), "{own:?}");
    for (lines, problem) in [
        (
            format!("{system}api = \"openai-completions\"\nmodel = \"m\""),
            "endpoint.request: has no place for generation.system",
        ),
        (
            "[model.endpoint]\nrequest = { s = \"{system}\", p = \"{prompt}\" }".to_owned(),
            "contains {system}, and there is no generation.system",
        ),
        ("generation.system = \" \"".to_owned(), "generation.system: is empty"),
        (format!("generation.system = \"{}\"", "x".repeat(65_537)), "expected at most 65536 bytes"),
    ] {
        let error = of(&lines).unwrap_err().to_string();
        assert!(error.contains(problem), "{problem} is missing in {error}");
    }
    let all = format!("{SMALL}[generation]\nsystem = \"Be brief.\"\n");
    let matrix = check(&all).unwrap();
    let asked = matrix.asked(&matrix.models[0], &Settings::default());
    assert_eq!(asked.settings.system.as_deref(), Some("Be brief."));
}

#[test]
fn contradictions_in_a_stream_are_reported() {
    for (section, problem) in [
        ("api = \"openai\"", "openai-chat"),
        ("api = \"openai-chat\"", "endpoint.model: is missing"),
        (
            "api = \"openai-chat\"\nmodel = \"m\"\nrequest = { a = \"{prompt}\" }",
            "has no effect beside request",
        ),
        ("model = \"m\"", "has no effect without api"),
        ("api = \"tgi-stream\"\nstream = false", "is always a stream"),
        ("done = \"[END]\"", "has no effect without stream = true"),
        ("api = \"tgi-stream\"\nskip = \"special\"", "expected a JSON pointer"),
        ("api = \"tgi-stream\"\nidle_timeout = \"soon\"", "expected a time such as"),
    ] {
        let error = check_model(&format!("id = \"https://h/v1\"\n[model.endpoint]\n{section}"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(problem), "{problem} is missing in {error}");
    }
}

#[test]
fn a_load_of_an_endpoint_has_one_level_and_counted_tokens() {
    let text = SMALL
        .replace("id = \"builtin:tiny\"", "id = \"https://h/v1\"\n[model.endpoint]\nAPI")
        .replace("API", "api = \"openai-chat\"\nmodel = \"m\"")
        + "\n[factors]\nbatch_sizes = [1, 8]\nscenarios = [\"offline\", \"server\", \"stress\"]\n\
           [protocol]\nserver = { request_rates = [5], max_in_flight = 70 }\nstress = { duration = \"5m\" }\n";
    let matrix = check(&text).unwrap();
    assert_eq!(matrix.loads.server.as_ref().unwrap().queue.max_in_flight, 70);
    let plan = plan::Plan::make(&matrix, 10).unwrap();
    let sizes = |scenario| -> Vec<u32> {
        let cells = plan.cells.iter().filter(|cell| cell.scenario == scenario);
        cells.map(|cell| cell.batch_size).collect()
    };
    assert_eq!(sizes(Scenario::Offline), [1, 8]);
    assert_eq!((sizes(Scenario::Server), sizes(Scenario::Stress)), (vec![1], vec![1]));
    let uncounted = text.replace("model = \"m\"", "model = \"m\"\noutput_tokens = \"tokenizer\"");
    let error = check(&uncounted).unwrap_err().to_string();
    assert!(error.contains("whose tokens are not counted"), "{error}");
}

#[test]
fn invalid_endpoints_are_reported_without_secrets() {
    for (lines, reason) in [
        ("id = \"https://me:secret@h/x\"", "would appear in every report"),
        ("id = \"sagemaker:a/b\"", "invalid endpoint name"),
        ("id = \"https://h/x\"\nrevision = \"main\"", "can't be set for an endpoint"),
        ("id = \"builtin:tiny\"\n[model.endpoint]\nanswer = \"/x\"", "is not an endpoint"),
        ("id = \"https://h/x\"\n[model.endpoint]\nanswer = \"x\"", "expected a JSON pointer"),
        ("id = \"https://h/x\"\n[model.endpoint]\nrequest = { a = \"b\" }", "contains no {prompt}"),
        (
            "id = \"https://h/x\"\n[model.endpoint]\nrequest = { a = \"{prompt}\", b = \"{top_k}\" }",
            "unknown placeholder `{top_k}`",
        ),
        ("id = \"https://h/x\"\n[model.endpoint]\nregion = \"eu-west-1\"", "SageMaker endpoints"),
        ("id = \"https://h/x\"\n[model.endpoint]\nheaders = { host = \"X\" }", "can't be set"),
        (
            "id = \"https://h/x\"\n[model.endpoint]\nheaders = { a = \"sk-12\" }",
            "a value would be stored",
        ),
        ("id = \"builtin:tiny\"\ntargets = [\"hare\"]", "did you mean `here`?"),
    ] {
        let error = check_model(lines).unwrap_err().to_string();
        assert!(error.contains(reason), "{lines}: {error}");
        assert!(!error.contains("secret") && !error.contains("sk-12"), "{error}");
    }
}
