//! A hostile agent with a valid token: all its texts and times are forged. The campaign ends, terminals and reports
//! escape its texts, and its figures are marked invalid.

use model::text::is_unprintable;
use model::version::PROTOCOL;
use prost::Message as _;
use proto::codec::Codec;
use proto::wire::{self, from_agent, from_controller};
use scenarios::{JoinCommand, Workspace, waiting};
use std::path::Path;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

const REPORT: &str = r#"
[report]
formats = ["json", "html", "markdown", "junit", "csv"]
sample_texts = 4
"#;

/// Markup, a path, terminal control, a right-to-left override, separators of lines and commands of CI systems.
const LIE: &str = "::error::<script>alert(1)</script>../../x\u{1b}[2J\u{7}\u{202e}\n::error::\u{2028}\u{200b}\u{e0041}##[error]";

fn say(message: from_agent::Message) -> wire::FromAgent {
    wire::FromAgent { message: Some(message) }
}

fn hello() -> wire::Hello {
    let lie = || LIE.to_owned();
    wire::Hello {
        protocol: Some(PROTOCOL.into()),
        agent_id: "<b>liar</b>".to_owned(),
        agent_version: lie(),
        target: "there".to_owned(),
        host: Some(wire::Host {
            boot_id: "../../../tmp/<i>".to_owned(),
            name: lie(),
            cpu_model: lie(),
            kernel: lie(),
            operating_system: lie(),
            cpu_features: vec![lie(); 1000],
            ..wire::Host::default()
        }),
        devices: vec![wire::Device { gpu_name: lie(), ..wire::Device::default() }],
        ..wire::Hello::default()
    }
}

fn ready() -> wire::Ready {
    let facts = wire::EngineFacts {
        model_sha256: "0a".repeat(32),
        device: LIE.to_owned(),
        kernel: LIE.to_owned(),
        notes: vec![LIE.to_owned(); 1000],
        ..wire::EngineFacts::default()
    };
    wire::Ready { engines: vec![wire::EngineReport { facts: Some(facts), refusal: String::new() }] }
}

/// Samples that claim to have taken a year each.
fn samples(offer: &wire::ShardOffer, batch: &wire::Batch, sequence: u64) -> wire::Samples {
    let sample = |request: &wire::Request| wire::Sample {
        sample_id: request.sample_id.clone(),
        start_ns: 1,
        latency_ns: 31_536_000_000_000_000,
        input_tokens: Some(u32::MAX),
        output_tokens: Some(u32::MAX),
        finish: "eos".to_owned(),
        text: Some(LIE.to_owned()),
        ..wire::Sample::default()
    };
    wire::Samples {
        shard: offer.shard,
        attempt: offer.attempt,
        sequence,
        batch: batch.index,
        samples: batch.requests.iter().map(sample).collect(),
        window: None,
    }
}

/// A connection, and a request with the token.
async fn dial<T>(url: String, token: &Path, messages: T) -> (Channel, Request<T>) {
    let token = std::fs::read_to_string(token).expect("the controller wrote it");
    let channel = Endpoint::from_shared(url).expect("a URL").connect().await.expect("it listens");
    let mut request = Request::new(messages);
    let header = format!("Bearer {token}").parse().expect("a token is plain");
    request.metadata_mut().insert("authorization", header);
    (channel, request)
}

/// Serves the controller to the end of the campaign with forged messages.
async fn lie(url: String, token: &Path) {
    let (out, receiver) = mpsc::channel(64);
    let (channel, request) = dial(url, token, ReceiverStream::new(receiver)).await;
    out.send(say(from_agent::Message::Hello(hello()))).await.expect("it listens");
    let mut client = wire::fleet_client::FleetClient::new(channel);
    let mut heard = client.join(request).await.expect("it is let in").into_inner();
    // The end of the stream is the end of the campaign.
    while let Ok(Some(message)) = heard.message().await {
        match message.message {
            Some(from_controller::Message::Welcome(_)) => {
                out.send(say(from_agent::Message::Ready(ready()))).await.expect("it listens");
            }
            Some(from_controller::Message::ShardOffer(offer)) => {
                for (batch, sequence) in offer.batches.iter().zip(1..) {
                    let samples = samples(&offer, batch, sequence);
                    out.send(say(from_agent::Message::Samples(samples))).await.expect("it listens");
                }
                let finished = wire::ShardFinished {
                    shard: offer.shard,
                    attempt: offer.attempt,
                    last_sequence: offer.batches.len() as u64,
                    segment: Some(wire::Segment::default()),
                    signature: None,
                };
                let finished = from_agent::Message::ShardFinished(finished);
                out.send(say(finished)).await.expect("it listens");
            }
            Some(from_controller::Message::Drain(_)) => return,
            _ => {}
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives a runtime")
}

#[test]
fn forged_figures_are_marked_and_forged_texts_escaped() {
    let workspace = Workspace::default();
    workspace.write("matrix.toml", waiting::matrix("hostile", waiting::THERE) + REPORT);
    let mut running = workspace.start(&["run", "matrix.toml", "--output", "results.json"]);
    let JoinCommand { controller, token_file } = running.join_command();
    runtime().block_on(lie(controller, &workspace.path(&token_file)));
    let finished = running.finish().expect(0);

    let acts = |c: char| is_unprintable(c) && c != '\n';
    let commands = |text: &str| {
        text.contains("##[") || text.lines().any(|line| line.trim_start().starts_with("::"))
    };
    for text in [&finished.out, &finished.err] {
        assert!(!text.contains(acts) && !commands(text), "{text:?}");
    }
    let read = |name: &str| std::fs::read_to_string(workspace.path(name)).expect("it is written");
    let results = read("results.json");
    assert!(!results.contains(acts), "{results:?}");
    assert!(results.contains("INVALID"), "a year has not passed: {results}");
    for name in ["report.html", "report.md", "junit.xml", "cells.csv"] {
        let text = read(name);
        assert!(!text.contains(acts) && !commands(&text), "{name}: {text:?}");
        assert!(!text.contains("<script>alert"), "{name}: {text}");
    }
    assert!(read("report.html").contains("&lt;script&gt;alert"), "the page shows the escaped text");
    assert_eq!(workspace.samples("results.json").len(), 4);
    // No forged text became a path.
    let folder: Vec<_> = std::fs::read_dir(workspace.path(".fleetmark/campaigns"))
        .expect("it is there")
        .map(|entry| entry.expect("it can be listed").file_name())
        .collect();
    assert_eq!(folder.len(), 1, "{folder:?}");
}

/// [`wire::FromAgent`], of which a part is given as bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct Raw {
    #[prost(bytes = "vec", tag = "1")]
    hello: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    samples: Vec<u8>,
}

/// Peak resident memory of a process, in MiB.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is running");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is listed");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024
}

/// Says Hello, and then a message of these samples. Returns the refusal.
async fn refusal(url: String, token: &Path, samples: Vec<u8>) -> Status {
    let messages = [
        Raw { hello: hello().encode_to_vec(), samples: Vec::new() },
        Raw { hello: Vec::new(), samples },
    ];
    let (channel, request) = dial(url, token, tokio_stream::iter(messages)).await;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("it listens");
    let path = PathAndQuery::from_static("/fleetmark.v1.Fleet/Join");
    let codec = Codec::<Raw, wire::FromController>::default();
    let mut heard =
        client.streaming(request, path, codec).await.expect("it is let in").into_inner();
    loop {
        match heard.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it was not refused"),
            Err(status) => return status,
        }
    }
}

#[test]
fn a_message_of_empty_samples_is_refused_before_it_is_decoded() {
    let workspace = Workspace::default();
    workspace.write("matrix.toml", waiting::matrix("hostile", waiting::THERE));
    let mut running = workspace.start(&["run", "matrix.toml"]);
    let JoinCommand { controller, token_file } = running.join_command();
    // Two bytes each on the wire.
    let samples = [0x2a, 0].repeat(proto::MAX_BATCH_BYTES / 2 - 8);
    let token = workspace.path(&token_file);
    let told = runtime().block_on(refusal(controller, &token, samples));
    assert_eq!(told.code(), Code::OutOfRange, "{told}");
    let peak = peak_mib(running.id());
    assert!(peak < 256, "{peak} MiB");
    running.signal("KILL");
    let _ = running.finish();
}
