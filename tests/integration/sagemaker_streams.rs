//! Campaigns against SageMaker's response streams: a stub that checks signatures and sends messages as AWS does.

use super::endpoint::expected_signature;
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use scenarios::{Finished, Workspace};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";
const PATH: &str = "/endpoints/summaries/invocations-response-stream";

fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let message = headers.iter().fold(Message::new(payload.to_vec()), |message, (name, value)| {
        let value = HeaderValue::String((*value).to_owned().into());
        message.add_header(Header::new((*name).to_owned(), value))
    });
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("memory takes it");
    bytes
}

/// A part of the container's response.
fn part(payload: &[u8]) -> Vec<u8> {
    let headers = [(":message-type", "event"), (":event-type", "PayloadPart")];
    message(&headers, payload)
}

/// The container's events, in messages that end anywhere.
fn stream() -> Vec<u8> {
    let events = "data: {\"text\": \"so \"}\n\ndata: {\"text\": \"it is\"}\n\ndata: [DONE]\n\n";
    events.as_bytes().chunks(25).flat_map(part).collect()
}

/// The names of the signed headers, and the signature.
fn signature(headers: &HeaderMap) -> Option<(&str, &str)> {
    let text = headers.get("authorization")?.to_str().ok()?;
    text.split_once(", SignedHeaders=")?.1.split_once(", Signature=")
}

/// Answers requests with a right signature, three of them with broken streams.
async fn answer(
    State(asked): State<Arc<AtomicUsize>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_signed = signature(&headers).is_some_and(|(signed, signature)| {
        expected_signature(PATH, &headers, &body, signed, SECRET) == signature
    });
    if uri.path() != PATH || !is_signed {
        let said = json!({ "message": "The request signature we calculated does not match the signature you provided." });
        return (StatusCode::FORBIDDEN, said.to_string()).into_response();
    }
    let mut bytes = stream();
    match asked.fetch_add(1, Ordering::SeqCst) + 1 {
        3 => bytes.truncate(bytes.len() - 3),
        5 => *bytes.last_mut().expect("it isn't empty") ^= 1,
        7 => {
            let headers = [(":message-type", "exception"), (":exception-type", "ModelStreamError")];
            let said = br#"{"ErrorCode": "StreamBroken", "Message": "the container left"}"#;
            bytes = [part(b"data: {\"text\": \"so \"}\n\n"), message(&headers, said)].concat();
        }
        9 => bytes = part(b"data: {\"text\": \"so \"}\n\n"),
        _ => {}
    }
    ([("content-type", "application/vnd.amazon.eventstream")], bytes).into_response()
}

fn campaign(secret: &str) -> (Workspace, Arc<AtomicUsize>, Finished) {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("a port is free");
    let address = format!("http://{}", listener.local_addr().expect("it has one"));
    let asked = Arc::new(AtomicUsize::new(0));
    let router = Router::new().fallback(answer).with_state(Arc::clone(&asked));
    runtime.spawn(async move { axum::serve(listener, router).await });
    let workspace = Workspace::default();
    let matrix = r#"
name = "streams"
[dataset]
source = "builtin:dialogues"
samples = 12
[[model]]
name = "served"
id = "sagemaker:summaries"
[model.endpoint]
region = "eu-west-1"
stream = true
answer = "/text"
[protocol]
runs = 2
warmup = 0
[[fleet.local]]
target = "behind"
threads = 1
usd_per_hour = 0.36
"#;
    workspace.write("matrix.toml", matrix);
    let mut command = workspace.controller(&["run", "matrix.toml", "--output", "results.json"]);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", &address)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let ended = Finished::of(&mut command);
    (workspace, asked, ended)
}

#[test]
fn response_streams_are_signed_and_each_way_to_break_has_its_class() {
    let (workspace, asked, ended) = campaign(SECRET);
    let ended = ended.expect(0);
    // The probe, and two runs: nothing is asked twice.
    assert_eq!(asked.load(Ordering::SeqCst), 1 + 24);
    let entry = workspace.results("results.json")["results"][0].take();
    let endpoint = entry["engine"]["endpoint"].as_str().expect("it is recorded");
    assert!(endpoint.ends_with(PATH), "{endpoint}");
    let cell = &entry["cells"][0];
    let by = json!({ "corrupt": 1, "cut_off": 1, "stream_error": 1, "unfinished": 1 });
    assert_eq!((&cell["failed_by"], &cell["counted_samples"]), (&by, &json!(20)), "{}", ended.out);
    assert_eq!((&cell["stream"]["requests"], &cell["stream"]["chunks"]), (&json!(20), &json!(40)));
    assert!(cell["estimates"]["ttft_ms"]["mean"]["value"].as_f64() > Some(0.0), "{cell}");
}

#[test]
fn a_wrong_signature_ends_the_campaign_before_anything_is_measured() {
    let (_, asked, ended) = campaign("another-secret");
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("403 Forbidden"), "{}", ended.err);
    assert!(ended.err.contains("sagemaker:InvokeEndpoint"), "{}", ended.err);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}
