//! A scripted endpoint.

use super::*;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode as Status, Uri};
use axum::response::{IntoResponse, Response};
use model::endpoint::HttpVersion;
use model::engine::{AdapterMode, Dtype, EngineName};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

mod accuracy;
mod http2;
mod streams;

const SECRET: &str = "Bearer s3cret-of-the-endpoint";

/// Selects its behavior by the prompt.
#[derive(Default)]
struct Stub {
    asked: Mutex<Vec<(HeaderMap, String)>>,
}

async fn answer(
    State(stub): State<Arc<Stub>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    stub.asked.lock().unwrap().push((headers.clone(), body.clone()));
    let sent = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
    let ok = |text: &str| {
        let body =
            format!(r#"[{{"generated_text": "{text}", "output_tokens": 3, "finish": "length"}}]"#);
        ([("server-timing", "total;dur=1")], body).into_response()
    };
    match () {
        () if sent != SECRET => {
            // Some servers echo what they received.
            (Status::FORBIDDEN, format!("who is {sent}? {uri}")).into_response()
        }
        () if body.contains("busy") => (Status::TOO_MANY_REQUESTS, "later").into_response(),
        () if body.contains("broken") => {
            (Status::INTERNAL_SERVER_ERROR, format!("not with {sent}")).into_response()
        }
        () if body.contains("garbage") => "<html>".into_response(),
        () if body.contains("nothing") => ok(""),
        () if body.contains("given up") => ended("abort").into_response(),
        () if body.contains("withheld") => ended("content_filter").into_response(),
        () if body.contains("uncounted") => r#"[{"generated_text": "so"}]"#.into_response(),
        () if body.contains("overloaded") => {
            r#"{"error": {"message": "overloaded", "code": 503}}"#.into_response()
        }
        () if body.contains("container") => {
            let said = r#"{"ErrorCode": "CLIENT_ERROR_FROM_MODEL", "OriginalStatusCode": 503}"#;
            (Status::FAILED_DEPENDENCY, said).into_response()
        }
        () if body.contains("events") => {
            let events = tokio_stream::pending::<Result<String, std::io::Error>>();
            let body = axum::body::Body::from_stream(events);
            ([("content-type", "text/event-stream")], body).into_response()
        }
        () if body.contains("moved") => (Status::FOUND, [("location", "/x")]).into_response(),
        () if body.contains("slow") => std::future::pending().await,
        () => ok("so"),
    }
}

fn ended(finish: &str) -> String {
    format!(r#"[{{"generated_text": "so", "output_tokens": 3, "finish": "{finish}"}}]"#)
}

struct Served {
    stub: Arc<Stub>,
    address: String,
    _runtime: tokio::runtime::Runtime,
}

fn serve() -> Served {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("http://{}/ask?key=of-the-address", listener.local_addr().unwrap());
    let stub = Arc::new(Stub::default());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&stub));
    runtime.spawn(async move { axum::serve(listener, router).await });
    Served { stub, address, _runtime: runtime }
}

pub(super) fn spec(address: &str) -> EngineSpec {
    EngineSpec {
        model: address.to_owned(),
        revision: None,
        adapter: None,
        adapter_mode: AdapterMode::default(),
        tokenizer: None,
        dtype: Dtype::F32,
        endpoint: Some(Endpoint {
            request: r#"{"inputs": "{prompt}", "most": "{max_new_tokens}"}"#.to_owned(),
            content_type: "application/json".to_owned(),
            headers: BTreeMap::from([("authorization".to_owned(), "STUB_KEY".to_owned())]),
            answer: "/0/generated_text".to_owned(),
            input_tokens: None,
            output_tokens: Some("/0/output_tokens".to_owned()),
            finish: Some("/0/finish".to_owned()),
            server_ms: None,
            timeout_ms: 60_000,
            region: None,
            stream: None,
            metrics_url: None,
            http_version: HttpVersion::Http1,
        }),
        engine: EngineName::default(),
    }
}

/// Allows the variable of the stub.
fn permissions() -> Permissions {
    Permissions { variables: ["STUB_KEY".to_owned()].into(), ..Permissions::default() }
}

pub(super) fn open(spec: &EngineSpec) -> Http {
    Http::open(spec, &permissions(), &|name| (name == "STUB_KEY").then(|| SECRET.to_owned()))
        .unwrap()
}

pub(super) fn ask(engine: &mut Http, dialogues: &[&str]) -> Vec<Result<Row, Failure>> {
    let generation = Generation {
        prompt: Some("Say: {dialogue}".to_owned()),
        max_input_tokens: 512,
        settings: Settings { max_new_tokens: Some(60), ..Settings::default() },
        stop: Stop::Eos,
    };
    let request = |dialogue: &&str| Request {
        sample_id: (*dialogue).to_owned(),
        dialogue: (*dialogue).to_owned(),
        earlier: Vec::new(),
        reference: None,
    };
    let batch: Vec<Request> = dialogues.iter().map(request).collect();
    engine.generate(&batch, &generation, &Stopwatch::start()).unwrap()
}

#[test]
fn requests_go_through_the_proxy_of_the_environment() {
    let served = serve();
    let proxy = served.address.replace("http://", "http://ann:s3cret@");
    let variable = |name: &str| match name {
        "STUB_KEY" => Some(SECRET.to_owned()),
        "HTTP_PROXY" => Some(proxy.clone()),
        _ => None,
    };
    let permissions = Permissions { allows_plain_http: true, ..permissions() };
    let spec = spec("http://models.example:81/ask?x=1");
    let mut engine = Http::open(&spec, &permissions, &variable).unwrap();
    assert!(ask(&mut engine, &["a"])[0].is_ok());
    let asked = served.stub.asked.lock().unwrap();
    assert_eq!(asked[0].0["host"], "models.example:81");
    assert_eq!(asked[0].0["proxy-authorization"], "Basic YW5uOnMzY3JldA==");
    let shown = served.address.trim_start_matches("http://").split('/').next().unwrap();
    let note = format!("requests go through the proxy {shown}");
    assert!(engine.facts().notes.contains(&note), "{:?}", engine.facts().notes);
}

#[test]
fn metrics_of_another_host_are_refused() {
    let mut spec = spec("http://127.0.0.1:1/ask");
    let mut opened = |url: &str| {
        spec.endpoint.as_mut().unwrap().metrics_url = Some(url.to_owned());
        Http::open(&spec, &permissions(), &|_| Some(SECRET.to_owned())).err()
    };
    assert!(opened("http://127.0.0.1:9/metrics").is_none());
    for url in
        ["http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "http://localhost/"]
    {
        let error = opened(url);
        assert!(matches!(error, Some(Error::MetricsHost { .. })), "{url}: {error:?}");
    }
}

#[test]
fn a_batch_is_as_many_requests_and_connections_are_used_again() {
    let served = serve();
    let mut engine = open(&spec(&served.address));
    let first = ask(&mut engine, &["a", "b"]);
    let second = ask(&mut engine, &["c", "d"]);
    let rows: Vec<&Row> = first.iter().chain(&second).map(|row| row.as_ref().unwrap()).collect();
    for row in &rows {
        assert_eq!((row.text.as_deref(), row.finish), (Some("so"), Finish::Length));
        assert_eq!(
            (row.first_token_ns, row.input_tokens, row.output_tokens),
            (None, None, Some(3))
        );
        let timing = row.http.unwrap();
        assert!(timing.first_byte_ns.unwrap() <= timing.total_ns);
    }
    let waited = |row: &&Row| row.http.unwrap().connect_ns.is_some();
    assert_eq!(rows.iter().map(waited).collect::<Vec<_>>(), [true, true, false, false]);
    let asked = served.stub.asked.lock().unwrap();
    let mut bodies: Vec<&str> = asked.iter().map(|(_, body)| body.as_str()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies[0], r#"{"inputs":"Say: a","most":60}"#);
    assert_eq!(asked[0].0["content-type"], "application/json");
}

#[test]
fn a_failure_has_its_class_and_leaves_its_neighbors_alone() {
    let served = serve();
    let mut slow = spec(&served.address);
    slow.endpoint.as_mut().unwrap().timeout_ms = 300;
    let mut engine = open(&slow);
    let rows = ask(&mut engine, &["busy", "a", "broken", "garbage", "slow", "moved"]);
    let kinds: Vec<_> = rows.iter().map(|row| row.as_ref().err().map(|error| error.kind)).collect();
    let expected =
        [Kind::Throttled, Kind::ServerError, Kind::Answer, Kind::TimedOut, Kind::Rejected];
    assert_eq!(kinds[0], Some(expected[0]));
    assert_eq!(kinds[1], None);
    assert_eq!(kinds[2..], expected[1..].iter().copied().map(Some).collect::<Vec<_>>());
    let details = format!("{rows:?}");
    assert!(!details.contains("s3cret"), "{details}");
    assert!(details.contains("not with …"), "{details}");
    // A broken connection is replaced.
    assert!(ask(&mut engine, &["a", "b", "c", "d", "e", "f"]).iter().all(Result::is_ok));
}

#[test]
fn a_success_status_alone_makes_no_good_request() {
    let served = serve();
    let mut engine = open(&spec(&served.address));
    let asked =
        ["nothing", "given up", "withheld", "overloaded", "container", "events", "uncounted"];
    let rows = ask(&mut engine, &asked);
    let kinds: Vec<_> = rows.iter().map(|row| row.as_ref().err().map(|error| error.kind)).collect();
    let expected = [
        Kind::Empty,
        Kind::Aborted,
        Kind::Filtered,
        Kind::ServerError,
        Kind::ServerError,
        Kind::Answer,
    ];
    assert_eq!(kinds[..6], expected.map(Some), "{rows:?}");
    assert!(rows[5].as_ref().unwrap_err().detail.contains("turn streaming off"), "{rows:?}");
    assert_eq!(rows[6].as_ref().unwrap().output_tokens, None);
}

#[test]
fn counts_of_the_endpoint_and_of_the_tokenizer_are_not_mixed() {
    let served = serve();
    let mut counted = spec(&served.address);
    counted.tokenizer = Some("builtin:tiny".to_owned());
    let rows = ask(&mut open(&counted), &["a", "uncounted"]);
    let tokens: Vec<_> = rows.iter().map(|row| row.as_ref().unwrap().output_tokens).collect();
    assert_eq!(tokens, [Some(3), None]);
}

#[test]
fn a_trial_names_every_wrong_pointer_with_what_is_there() {
    let served = serve();
    let mut wrong = spec(&served.address);
    let endpoint = wrong.endpoint.as_mut().unwrap();
    endpoint.input_tokens = Some("/0/usage/prompt".to_owned());
    endpoint.output_tokens = Some("/0/finish".to_owned());
    endpoint.finish = Some("/0/output_tokens".to_owned());
    endpoint.server_ms = Some("/0/generated_text".to_owned());
    let error = one_line(&open(&wrong).probed(&[]).unwrap_err());
    for expected in [
        "input_tokens: nothing at /0/usage/prompt: /0 holds `generated_text`, `output_tokens`, `finish`",
        "output_tokens: /0/finish holds `\"length\"`, expected a number of tokens",
        "finish: /0/output_tokens holds `3`, expected a finish reason",
        "server_ms: /0/generated_text holds `\"so\"`, expected milliseconds",
        "check the request and the JSON pointers",
    ] {
        assert!(error.contains(expected), "{expected} in {error}");
    }
}

/// What a scripted server does with a request.
enum Step {
    Answer(String),
    /// Sends this and closes the connection.
    Break(String),
}

/// Serves scripted bytes: `script` gets the number of a request on its connection, from 1.
fn scripted(script: impl Fn(usize) -> Step + Send + 'static) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let (mut received, mut number) = (Vec::new(), 0);
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut part) {
                received.extend_from_slice(&part[..length]);
                // The tests' bodies end with their only closing brace.
                if !received.ends_with(b"}") {
                    continue;
                }
                received.clear();
                number += 1;
                let step = script(number);
                let (Step::Answer(bytes) | Step::Break(bytes)) = &step;
                stream.write_all(bytes.as_bytes()).unwrap();
                if matches!(step, Step::Break(_)) {
                    break;
                }
            }
        }
    });
    address
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_kept_connection_that_closes_before_an_answer_is_replaced_once_and_counted() {
    let ok = http("200 OK", &ended("stop"));
    // The second request of every connection is read, and then the connection closes.
    let script = move |number| match number {
        1 => Step::Answer(ok.clone()),
        _ => Step::Break(String::new()),
    };
    let mut engine = open(&spec(&scripted(script)));
    for is_reconnected in [false, true, true] {
        let rows = ask(&mut engine, &["a"]);
        let timing = rows[0].as_ref().unwrap().http.unwrap();
        assert_eq!((timing.is_reconnected, timing.connect_ns.is_some()), (is_reconnected, true));
    }
}

#[test]
fn a_new_connection_that_closes_and_an_answer_that_breaks_off_are_not_asked_again() {
    let rows = ask(&mut open(&spec(&scripted(|_| Step::Break(String::new())))), &["a"]);
    assert_eq!(rows[0].as_ref().unwrap_err().kind, Kind::Unreachable);
    // The second answer on a kept connection breaks off within its head, then within its body.
    for half in ["HTTP/1.1 200 O".to_owned(), http("200 OK", "[").replace(": 1", ": 9")] {
        let ok = http("200 OK", &ended("stop"));
        let script = move |number| match number {
            1 => Step::Answer(ok.clone()),
            _ => Step::Break(half.clone()),
        };
        let mut engine = open(&spec(&scripted(script)));
        assert!(ask(&mut engine, &["a"])[0].is_ok());
        assert_eq!(ask(&mut engine, &["b"])[0].as_ref().unwrap_err().kind, Kind::Unreachable);
    }
}

#[test]
fn a_trial_waits_for_a_busy_container_behind_sagemaker() {
    let busy = http("424 Failed Dependency", r#"{"OriginalStatusCode": 503}"#);
    let ok = http("200 OK", &ended("stop"));
    let script = move |number| Step::Answer(if number == 1 { busy.clone() } else { ok.clone() });
    assert!(open(&spec(&scripted(script))).probed(&[]).is_ok());
    let refused = http("424 Failed Dependency", r#"{"OriginalStatusCode": 400}"#);
    let error =
        open(&spec(&scripted(move |_| Step::Answer(refused.clone())))).probed(&[]).unwrap_err();
    assert!(one_line(&error).contains("rejected: 424 Failed Dependency"), "{error}");
}

#[test]
fn a_trial_without_a_summary_is_noted() {
    let empty = http("200 OK", &ended("stop").replace("so", ""));
    let engine = open(&spec(&scripted(move |_| Step::Answer(empty.clone())))).probed(&[]).unwrap();
    let notes = engine.facts().notes.join("\n");
    assert!(notes.contains("returned no summary: empty: the text at /0/generated_text"), "{notes}");
}

#[test]
fn nobody_there_is_a_failure_and_no_crash() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rows = ask(&mut open(&spec(&format!("http://{gone}/"))), &["a"]);
    assert_eq!(rows[0].as_ref().unwrap_err().kind, Kind::Unreachable);
}

#[test]
fn a_trial_tells_wrong_keys_before_anything_is_measured() {
    let served = serve();
    let wrong =
        Http::open(&spec(&served.address), &permissions(), &|_| Some("Bearer an0ther".to_owned()));
    let error = one_line(&wrong.unwrap().probed(&[]).unwrap_err());
    assert!(error.contains("403 Forbidden: who is …? /ask?key=…"), "{error}");
    assert!(error.contains("check the environment variables for authorization"), "{error}");
    assert!(!error.contains("an0ther") && !error.contains("key=of"), "{error}");
    let address = "http://no host/ask?key=of-the-address";
    let invalid = Http::open(&spec(address), &permissions(), &|_| Some("x".to_owned()));
    let invalid = invalid.unwrap_err().to_string();
    assert!(invalid.contains("http://no host/ask") && !invalid.contains("key=of"), "{invalid}");
    let missing = Http::open(&spec(&served.address), &permissions(), &|_| None);
    let missing = missing.unwrap_err().to_string();
    assert!(missing.contains("variable STUB_KEY"), "{missing}");
    let engine = open(&spec(&served.address)).probed(&[]).unwrap();
    let facts = engine.facts();
    assert_eq!((facts.model_sha256.as_deref(), facts.device.as_str()), (None, "endpoint"));
    assert!(!format!("{engine:?}").contains("s3cret"));
}

#[test]
fn tokens_are_counted_where_the_answer_does_not_say() {
    let served = serve();
    let mut counted = spec(&served.address);
    counted.tokenizer = Some("builtin:tiny".to_owned());
    counted.endpoint.as_mut().unwrap().output_tokens = None;
    let mut engine = open(&counted);
    let rows = ask(&mut engine, &["a"]);
    let row = rows[0].as_ref().unwrap();
    assert_eq!(row.input_tokens, engine.count_tokens("Say: a"));
    // The text was truncated, so the end-of-sequence token that the tokenizer counts is missing.
    assert_eq!(row.output_tokens, engine.count_tokens("so").map(|tokens| tokens - 1));
    assert!(engine.facts().tokenizer_sha256.is_some());
}

#[test]
fn a_variable_that_the_agent_does_not_allow_is_refused_by_name_before_it_is_read() {
    let served = serve();
    let mut spying = spec(&served.address);
    let headers = &mut spying.endpoint.as_mut().unwrap().headers;
    headers.insert("x-a".to_owned(), "AWS_SECRET_ACCESS_KEY".to_owned());
    headers.insert("x-b".to_owned(), "HF_TOKEN".to_owned());
    let read = |name: &str| -> Option<String> { panic!("{name} was read") };
    let error = Http::open(&spying, &permissions(), &read).unwrap_err().to_string();
    assert!(error.contains("AWS_SECRET_ACCESS_KEY, HF_TOKEN"), "{error}");
    assert!(
        error.contains("--endpoint-env AWS_SECRET_ACCESS_KEY --endpoint-env HF_TOKEN"),
        "{error}"
    );
    assert!(!error.contains("STUB_KEY"), "{error}");
    assert!(served.stub.asked.lock().unwrap().is_empty());
}

#[test]
fn plain_http_to_another_machine_needs_a_permission() {
    let address = "http://192.0.2.1/ask?key=of-the-address";
    let variable = |_: &str| Some(SECRET.to_owned());
    let error = Http::open(&spec(address), &permissions(), &variable).unwrap_err().to_string();
    assert!(error.starts_with("http://192.0.2.1/ask is plain HTTP"), "{error}");
    assert!(error.contains("--allow-plain-http"), "{error}");
    let allowed = Permissions { allows_plain_http: true, ..permissions() };
    assert!(Http::open(&spec(address), &allowed, &variable).is_ok());
    assert!(Http::open(&spec("https://192.0.2.1/ask"), &permissions(), &variable).is_ok());
}
