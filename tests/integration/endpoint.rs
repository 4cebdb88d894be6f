//! Campaigns against an existing endpoint: `agent serve`, and a stub that refuses, fails and checks signatures.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use scenarios::serving::Serving;
use scenarios::{Finished, Workspace};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A matrix over 12 dialogues with a local agent.
fn matrix(model: &str, factors: &str) -> String {
    format!(
        r#"
name = "endpoint"
seed = 3
[dataset]
source = "builtin:dialogues"
columns = {{ summary = "minutes" }}
samples = 12
[[model]]
name = "served"
{model}
[factors]
{factors}
[generation]
max_new_tokens = 24
[protocol]
runs = 2
warmup = 1
[[fleet.local]]
target = "behind"
threads = 1
usd_per_hour = 0.36
[report]
formats = ["json", "markdown"]
sample_texts = 12
"#
    )
}

const OURS: &str = r#"
[model.endpoint]
request = { inputs = "{prompt}", parameters = { max_new_tokens = "{max_new_tokens}" } }
answer = "/0/generated_text"
input_tokens = "/0/input_tokens"
output_tokens = "/0/output_tokens"
finish = "/0/finish"
"#;

fn run(workspace: &Workspace, matrix: &str) -> std::process::Command {
    workspace.write("matrix.toml", matrix);
    workspace.controller(&["run", "matrix.toml", "--output", "results.json"])
}

/// All files of the workspace as text, the database included.
fn all_files(workspace: &Workspace) -> String {
    let mut text = String::new();
    let mut folders = vec![workspace.path(".")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                text.push_str(&String::from_utf8_lossy(&std::fs::read(path).expect("a file")));
            }
        }
    }
    text
}

#[test]
fn a_campaign_over_http_gives_the_summaries_of_generate() {
    let workspace = Workspace::default();
    let serving = Serving::start(&workspace, "builtin:tiny", &["--batch-size", "4"]);
    let model = format!("id = \"{}\"{OURS}", serving.url());
    let ended =
        Finished::of(&mut run(&workspace, &matrix(&model, "batch_sizes = [1, 4]"))).expect(0);
    let results = workspace.results("results.json");
    let entry = &results["results"][0];

    // The endpoint is recorded; facts that can't be observed are null.
    assert_eq!(entry["measured_on"], "endpoint");
    assert_eq!(entry["priced_as"], "behind");
    assert_eq!((&entry["device"], &entry["gpu_name"]), (&Value::Null, &Value::Null));
    assert_eq!(entry["engine"]["model_sha256"], Value::Null);
    assert_eq!(entry["engine"]["endpoint"], serving.url());
    assert_eq!(entry["engine"]["parameters"], Value::Null);
    assert!(
        ended.out.contains("The machine behind the endpoint was not observed"),
        "{}",
        ended.out
    );
    for cell in entry["cells"].as_array().expect("cells") {
        assert_eq!((&cell["counted_samples"], &cell["failed_samples"]), (&json!(24), &json!(0)));
        let memory = cell["memory"].as_object().expect("an object");
        assert!(memory.values().all(Value::is_null), "{memory:?}");
        assert_eq!(cell["energy"]["joules_per_request"]["value"], Value::Null);
        let estimates = &cell["estimates"];
        assert_eq!(estimates["ttft_ms"]["mean"]["value"], Value::Null);
        assert!(estimates["output_token_throughput"]["per_host"]["value"].is_f64());
        // Latency is the server's time, from its Server-Timing header, and the network's.
        let mean = |part: &Value| part.as_f64().expect("a mean");
        let (network, whole) = (
            mean(&estimates["network_ms"]["mean"]["value"]),
            mean(&estimates["latency_ms"]["mean"]["value"]),
        );
        let server = mean(&cell["http"]["server_ms"]["mean"]);
        assert!(
            network > 0.0 && server > 0.0 && (network + server - whole).abs() < 1e-6,
            "{network} + {server}, {whole}"
        );
        // Connections were opened during warm-up.
        assert_eq!(cell["http"]["connect_ms"]["n"], 0);
        assert!(cell["quality"]["rougeL"]["value"].as_f64().expect("a score") > 0.0);
        assert!(cell["cost"]["usd_per_1000_requests"]["value"].as_f64().expect("a cost") > 0.0);
    }
    let rows = workspace.samples("results.json");
    assert_eq!(rows.len(), 48);
    let markdown = ended.out.clone() + &all_files(&workspace);
    assert!(markdown.contains("Network endpoints"), "the report says where the time goes");

    // The texts are those of the same engine without a network.
    let mut lines = String::new();
    for text in results["sample_texts"].as_array().expect("texts") {
        writeln!(lines, "{}", json!({ "id": text["sample_id"], "dialogue": text["dialogue"] }))
            .expect("memory takes it");
    }
    workspace.write("in.jsonl", lines);
    let generate = ["generate", "--model", "builtin:tiny", "--max-new-tokens", "24"];
    let files = ["--input", "in.jsonl", "--output", "out.jsonl"];
    let _ = Finished::of(&mut workspace.agent(&[&generate[..], &files].concat())).expect(0);
    let out = std::fs::read_to_string(workspace.path("out.jsonl")).expect("it is there");
    let expected: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    assert_eq!(expected.len(), 12);
    for (text, expected) in results["sample_texts"].as_array().expect("texts").iter().zip(expected)
    {
        assert_eq!(text["sample_id"], expected["id"]);
        for summary in text["summaries"].as_array().expect("summaries") {
            assert_eq!(summary["text"], expected["text"]);
        }
    }
    serving.signal("TERM");
    let _ = serving.finish().expect(0);
}

/// An endpoint that records its requests.
#[derive(Default)]
struct Stub {
    asked: Mutex<Vec<(String, HeaderMap, Bytes)>>,
}

/// Answers, unless the dialogue asks for a failure.
async fn answer(
    State(stub): State<Arc<Stub>>,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    stub.asked.lock().expect("whole").push((uri.path().to_owned(), headers.clone(), body));
    let held = |name: &str| headers.get(name).is_some_and(|value| value == "t0ken-of-the-test");
    match () {
        () if text.contains("forbidden") && !held("x-key") => {
            (StatusCode::UNAUTHORIZED, "who are you?").into_response()
        }
        () if text.contains("d-busy") => (StatusCode::TOO_MANY_REQUESTS, "later").into_response(),
        () if text.contains("d-broken") => {
            let repeated = format!("can't do this for {:?}", headers.get("x-key"));
            (StatusCode::INTERNAL_SERVER_ERROR, repeated).into_response()
        }
        () if text.contains("d-garbage") => "<html>".into_response(),
        () if text.contains("d-slow") => std::future::pending().await,
        () => json!([{ "generated_text": "so it is" }]).to_string().into_response(),
    }
}

struct StubServer {
    stub: Arc<Stub>,
    address: String,
    _runtime: tokio::runtime::Runtime,
}

fn serve_stub() -> StubServer {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("a port is free");
    let address = format!("http://{}", listener.local_addr().expect("it has one"));
    let stub = Arc::new(Stub::default());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&stub));
    runtime.spawn(async move { axum::serve(listener, router).await });
    StubServer { stub, address, _runtime: runtime }
}

/// Twelve dialogues, of which four fail in different ways.
fn dialogues(workspace: &Workspace) {
    let mut lines = String::new();
    for index in 0..12 {
        let word = ["d-busy", "d-broken", "d-garbage", "d-slow"].get(index).unwrap_or(&"fine");
        let line = json!({ "id": format!("d{index}"), "dialogue": format!("Ann: {word} {index}"), "summary": "so it is" });
        writeln!(lines, "{line}").expect("memory takes it");
    }
    workspace.write("dialogues.jsonl", lines);
}

fn stub_matrix(model: &str) -> String {
    matrix(model, "batch_sizes = [4]")
        .replace("builtin:dialogues", "dialogues.jsonl")
        .replace("columns = { summary = \"minutes\" }", "")
        .replace("warmup = 1", "warmup = 0")
}

/// A model at the stub whose requests hold a secret of the environment.
fn asks_for_key(address: &str) -> String {
    format!(
        "id = \"{address}/ask\"\n[model.endpoint]\nrequest = {{ text = \"{{prompt}}\", forbidden = true }}\nheaders = {{ x-key = \"STUB_KEY\" }}"
    )
}

#[test]
fn failures_are_counted_by_class_and_secrets_are_not_written() {
    let (workspace, server) = (Workspace::default(), serve_stub());
    dialogues(&workspace);
    let model = format!("{}\ntimeout = \"1s\"", asks_for_key(&server.address));
    let mut command = run(&workspace, &stub_matrix(&model));
    let ended = Finished::of(command.env("STUB_KEY", "t0ken-of-the-test")).expect(0);
    let results = workspace.results("results.json");
    let cell = &results["results"][0]["cells"][0];
    assert_eq!((&cell["counted_samples"], &cell["failed_samples"]), (&json!(16), &json!(8)));
    let by = json!({ "answer": 2, "server_error": 2, "throttled": 2, "timed_out": 2 });
    assert_eq!(cell["failed_by"], by);
    assert!(
        ended.out.contains("failed: 2 answer, 2 server_error, 2 throttled, 2 timed_out"),
        "{}",
        ended.out
    );
    // Tokens and the server's time are unknown: null, never zero.
    let estimates = &cell["estimates"];
    assert_eq!(estimates["output_tokens"]["mean"], Value::Null);
    assert_eq!(estimates["output_token_throughput"]["per_host"]["value"], Value::Null);
    assert_eq!(estimates["network_ms"], Value::Null);
    assert_eq!(estimates["runs"][0]["output_tokens"], Value::Null);
    assert_eq!(cell["cost"]["usd_per_million_output_tokens"]["value"], Value::Null);
    assert_eq!(cell["quality"]["gen_len"]["value"], Value::Null);
    assert_eq!(cell["quality"]["rougeL"]["value"], json!(1.0));
    assert!(ended.out.contains("the server reports no timing"), "{}", ended.out);
    let told = ended.out + &ended.err + &all_files(&workspace);
    assert!(!told.contains("t0ken-of-the-test"));
    let sent =
        format!("environment variable STUB_KEY is sent to the endpoint {}/ask", server.address);
    assert!(told.contains(&sent), "{told}");
}

#[test]
fn a_local_agent_sends_no_variable_beyond_those_that_the_user_allows() {
    let (workspace, server) = (Workspace::default(), serve_stub());
    dialogues(&workspace);
    let model = asks_for_key(&server.address);
    let mut command = run(&workspace, &stub_matrix(&model));
    let ended = Finished::of(
        command.args(["--endpoint-env", "OTHER"]).env("STUB_KEY", "t0ken-of-the-test"),
    );
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("allow it with --endpoint-env STUB_KEY"), "{}", ended.err);
    assert!(!ended.err.contains("is sent to the endpoint"), "{}", ended.err);
    assert!(server.stub.asked.lock().expect("whole").is_empty(), "nothing is sent");
}

#[test]
fn an_agent_of_another_machine_sends_only_what_its_operator_allows() {
    let (workspace, server) = (Workspace::default(), serve_stub());
    dialogues(&workspace);
    let model = asks_for_key(&server.address);
    let matrix = stub_matrix(&model)
        .replace("[[fleet.local]]", "[[target]]")
        .replace("target = \"behind\"\nthreads = 1\n", "name = \"behind\"\n");
    workspace.write("matrix.toml", matrix);
    let mut running = workspace.start(&["run", "matrix.toml"]);
    let line = running.until("agent join");
    assert!(line.trim_end().ends_with("--endpoint-env STUB_KEY"), "{line}");
    let [url, token_file] =
        ["--controller", "--token-file"].map(|name| scenarios::option(&line, name));
    let join = ["join", "--controller", &url, "--target", "behind", "--token-file", &token_file];
    let mut agent = workspace.agent(&[&join[..], &["--patience", "0"]].concat());
    let agent = scenarios::Running::of(agent.env("STUB_KEY", "t0ken-of-the-test"));
    let ended = running.finish();
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("allow it with --endpoint-env STUB_KEY"), "{}", ended.err);
    assert!(server.stub.asked.lock().expect("whole").is_empty(), "nothing is sent");
    drop(agent.finish());
}

#[test]
fn a_wrong_key_ends_the_campaign_before_anything_is_measured() {
    let (workspace, server) = (Workspace::default(), serve_stub());
    dialogues(&workspace);
    let model = asks_for_key(&server.address);
    let mut command = run(&workspace, &stub_matrix(&model));
    let ended = Finished::of(command.env("STUB_KEY", "an0ther-t0ken"));
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("401 Unauthorized: who are you?"), "{}", ended.err);
    assert!(ended.err.contains("check the environment variables for x-key"), "{}", ended.err);
    assert_eq!(server.stub.asked.lock().expect("whole").len(), 1, "the probe only");
    let mut command = run(&workspace, &stub_matrix(&model));
    let ended = Finished::of(command.env_remove("STUB_KEY"));
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("environment variable STUB_KEY"), "{}", ended.err);
}

/// HMAC-SHA256 by its definition (RFC 2104), without the library that signed.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("memory takes it");
        text
    })
}

/// The signature by AWS's description of Signature Version 4.
pub(super) fn expected_signature(
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
    signed: &str,
    secret: &str,
) -> String {
    use sha2::{Digest, Sha256};
    let value = |name: &str| headers[name].to_str().expect("a text").to_owned();
    let canonical: String = signed.split(';').fold(String::new(), |mut text, name| {
        writeln!(text, "{name}:{}", value(name)).expect("memory takes it");
        text
    });
    let hash = |bytes: &[u8]| hexadecimal(&Sha256::digest(bytes));
    let request = format!("POST\n{path}\n\n{canonical}\n{signed}\n{}", hash(body));
    let stamp = value("x-amz-date");
    let day = &stamp[..8];
    let scope = format!("{day}/eu-west-1/sagemaker/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hash(request.as_bytes()));
    let parts = [day, "eu-west-1", "sagemaker", "aws4_request"];
    let start = format!("AWS4{secret}").into_bytes();
    let key = parts.iter().fold(start, |key, part| hmac(&key, part.as_bytes()));
    hexadecimal(&hmac(&key, text.as_bytes()))
}

#[test]
fn requests_to_sagemaker_are_signed() {
    const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";
    const SESSION: &str = "a-session-t0ken-of-the-test";
    let (workspace, server) = (Workspace::default(), serve_stub());
    dialogues(&workspace);
    let model =
        "id = \"sagemaker:summaries\"\n[model.endpoint]\nregion = \"eu-west-1\"\ntimeout = \"1s\"";
    let mut command = run(&workspace, &stub_matrix(model));
    command
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_SESSION_TOKEN", SESSION)
        .env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", &server.address)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let ended = Finished::of(&mut command).expect(0);
    let results = workspace.results("results.json");
    let engine = &results["results"][0]["engine"];
    assert_eq!(engine["endpoint"], format!("{}/endpoints/summaries/invocations", server.address));
    assert_eq!(results["results"][0]["model_id"], "sagemaker:summaries");
    let asked = server.stub.asked.lock().expect("whole");
    // The probe, and two runs.
    assert_eq!(asked.len(), 25);
    let mut signatures = BTreeSet::new();
    for (path, headers, body) in asked.iter() {
        assert_eq!(path, "/endpoints/summaries/invocations");
        let sent: Value = serde_json::from_slice(body).expect("it is JSON");
        assert!(sent["inputs"].as_str().expect("a text").starts_with("Summarize: "));
        let authorization = headers["authorization"].to_str().expect("a text");
        let rest = authorization
            .strip_prefix("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            .expect("its form");
        let (scope, rest) = rest.split_once(", SignedHeaders=").expect("its form");
        assert!(scope.ends_with("/eu-west-1/sagemaker/aws4_request"), "{scope}");
        let (signed, signature) = rest.split_once(", Signature=").expect("its form");
        assert_eq!(signed, "content-type;host;x-amz-date;x-amz-security-token");
        assert_eq!(signature, expected_signature(path, headers, body, signed, SECRET));
        signatures.insert(signature.to_owned());
    }
    assert!(signatures.len() >= 13, "each body has its own signature");
    let told = ended.out + &ended.err + &all_files(&workspace);
    assert!(!told.contains(SECRET) && !told.contains(SESSION));
}

#[test]
fn a_plan_refuses_what_an_endpoint_cannot_do() {
    let workspace = Workspace::default();
    let text = matrix(
        "id = \"https://models.example/ask\"\nadapter = \"builtin:tiny-minutes\"\n[model.endpoint]\nheaders = { authorization = \"Bearer abc\" }",
        "scenarios = [\"stress\"]\ndtypes = [\"f32\", \"int8\"]",
    )
    .replace("[protocol]", "[protocol]\nstress = { duration = \"10s\" }");
    workspace.write("matrix.toml", text);
    let ended = workspace.run(&["plan", "matrix.toml"]).expect(2);
    for reason in [
        "can't be set for an endpoint",
        "expected the name of an environment variable",
        "whose tokens are not counted, which scenario `stress` sums up",
        "is an endpoint with a single dtype",
    ] {
        assert!(ended.err.contains(reason), "{reason}: {}", ended.err);
    }
    assert!(!ended.err.contains("abc"), "{}", ended.err);
}

/// As it stands, apart from the port; with fewer dialogues and runs.
#[test]
fn the_example_of_an_openai_server_runs() {
    let workspace = Workspace::default();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/openai.toml");
    let example = std::fs::read_to_string(example).expect("the example exists");
    let serve = example.lines().find_map(|line| line.split_once("agent serve --model "));
    let (_, serve) = serve.expect("it says how to start a server");
    let (model, options) = serve.split_once(" --threads 1 ").expect("with one thread");
    let options: Vec<&str> = options.split_whitespace().collect();
    let serving = Serving::start(&workspace, model, &options);
    workspace.write("openai.toml", example.replace("127.0.0.1:8080", serving.address()));
    let run = ["run", "openai.toml", "--samples", "8", "--runs", "1", "--output", "results.json"];
    let _ = workspace.run(&run).expect(0);
    let results = workspace.results("results.json");
    let entries = results["results"].as_array().expect("entries");
    let scenario = |entry: &Value| entry["scenario"].as_str().expect("a scenario").to_owned();
    let scenarios: BTreeSet<String> = entries.iter().map(scenario).collect();
    assert_eq!(scenarios.into_iter().collect::<Vec<_>>(), ["server", "single_stream"]);
    for cell in entries.iter().flat_map(|entry| entry["cells"].as_array().expect("cells")) {
        assert_eq!((&cell["counted_samples"], &cell["failed_samples"]), (&json!(8), &json!(0)));
        assert!(cell["estimates"]["ttft_ms"]["mean"]["value"].is_f64(), "{cell}");
        assert!(cell["goodput"]["slo"]["request_latency_ms"].is_f64(), "{cell}");
    }
    serving.signal("TERM");
    let _ = serving.finish().expect(0);
}
