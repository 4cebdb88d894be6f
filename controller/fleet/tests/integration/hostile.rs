//! An agent that may join and lies: malformed, oversized, replayed, reordered, foreign and endless messages. Nothing
//! of it arrives, it is refused once, and an honest agent beside it is heard all along.

use campaign::AgentReport;
use fleet::identity::{Guard, Roster, Token, tls::Tls};
use fleet::{
    self, ConnectionLimits, Event, FleetMetrics, Listener, Options, Outbox, Reason, Socket,
};
use model::engine::{AdapterMode, AskedEngine, Dtype, EngineName, EngineSpec};
use model::generation::{Generation, Settings, Stop};
use model::version::PROTOCOL;
use proto::wire::{self, from_agent::Message};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status, Streaming};

pub(super) const FINE: &str = "the test's own side works";

pub(super) struct Served {
    pub(super) url: String,
    client: Option<ClientTlsConfig>,
    pub(super) header: String,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) metrics: Arc<FleetMetrics>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

pub(super) async fn serve() -> Served {
    serve_with(ConnectionLimits::new(1024)).await
}

pub(super) async fn serve_with(limits: ConnectionLimits) -> Served {
    serve_over(limits, None).await
}

/// Certificates of the controller, and what an agent needs to connect.
pub(super) struct Certificates {
    pub(super) controller: Arc<Tls>,
    pub(super) agent: ClientTlsConfig,
}

pub(super) async fn serve_over(limits: ConnectionLimits, tls: Option<Certificates>) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect(FINE);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", listener.local_addr().expect(FINE));
    let (tls, client) = tls.map(|tls| (tls.controller, tls.agent)).unzip();
    let token = Token::make().expect(FINE);
    let mut secret = Vec::new();
    token.hand_over(&mut secret).await.expect(FINE);
    let header = format!("Bearer {}", String::from_utf8(secret).expect(FINE).trim());
    let (sender, events) = mpsc::channel(64);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let metrics = Arc::<FleetMetrics>::default();
    let spec = EngineSpec {
        model: "builtin:tiny".to_owned(),
        revision: None,
        adapter: None,
        adapter_mode: AdapterMode::default(),
        tokenizer: None,
        dtype: Dtype::F32,
        endpoint: None,
        engine: EngineName::default(),
    };
    let generation = Generation {
        prompt: None,
        max_input_tokens: 8,
        settings: Settings { max_new_tokens: Some(8), ..Settings::default() },
        stop: Stop::Eos,
    };
    let options = Options {
        campaign: "c".try_into().expect(FINE),
        guard: Arc::new(Guard::new(token, Roster::default())),
        metrics: Arc::clone(&metrics),
        targets: vec!["here".try_into().expect(FINE)],
        engines: vec![vec![AskedEngine { spec, generation }]],
        heartbeat: Duration::from_secs(1),
        telemetry: Duration::from_millis(250),
        trace_parent: String::new(),
    };
    let listener = Listener { socket: Socket::Tcp(listener), tls, limits };
    tokio::spawn(fleet::serve(listener, options, sender, async {
        drop(stopped.await);
    }));
    Served { url, client, header, events, metrics, _stop: stop }
}

/// A raw client: it says whatever it is given.
pub(super) struct Client {
    out: mpsc::Sender<wire::FromAgent>,
    heard: Streaming<wire::FromController>,
}

impl Client {
    async fn dial(served: &Served, first: Message) -> Result<Self, Status> {
        let mut endpoint = Endpoint::from_shared(served.url.clone()).expect(FINE);
        if let Some(tls) = &served.client {
            endpoint = endpoint.tls_config(tls.clone()).expect(FINE);
        }
        let channel = endpoint.connect().await.expect(FINE);
        let mut client = wire::fleet_client::FleetClient::new(channel);
        let (out, receiver) = mpsc::channel(16);
        out.send(wire::FromAgent { message: Some(first) }).await.expect(FINE);
        let mut request = Request::new(ReceiverStream::new(receiver));
        request.metadata_mut().insert("authorization", served.header.parse().expect(FINE));
        let heard = client.join(request).await?.into_inner();
        Ok(Self { out, heard })
    }

    pub(super) async fn say(&self, message: Message) {
        // Whoever was cut off can't say more.
        drop(self.out.send(wire::FromAgent { message: Some(message) }).await);
    }

    /// Reads until the controller ends the stream, and says why it did.
    pub(super) async fn refusal(mut self) -> Status {
        loop {
            match self.heard.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("closed"),
                Err(status) => return status,
            }
        }
    }
}

pub(super) fn hello(agent: &str) -> wire::Hello {
    wire::Hello {
        protocol: Some(PROTOCOL.into()),
        agent_id: agent.to_owned(),
        target: "here".to_owned(),
        host: Some(wire::Host { boot_id: "h".to_owned(), ..wire::Host::default() }),
        ..wire::Hello::default()
    }
}

fn ready() -> Message {
    let facts = wire::EngineFacts { model_sha256: "0a".repeat(32), ..wire::EngineFacts::default() };
    let engines = vec![wire::EngineReport { facts: Some(facts), refusal: String::new() }];
    Message::Ready(wire::Ready { engines })
}

pub(super) fn offer() -> wire::ShardOffer {
    let request = |id: &str| wire::Request { sample_id: id.to_owned(), ..wire::Request::default() };
    let batch = |index, id| wire::Batch { index, requests: vec![request(id)] };
    let batches = vec![batch(4, "s4"), batch(5, "s5")];
    let (cell, run) = ("cell".to_owned(), 2);
    wire::ShardOffer { shard: 3, attempt: 7, cell, run, batches, ..wire::ShardOffer::default() }
}

pub(super) fn samples(sequence: u64, batch: u32) -> wire::Samples {
    let sample = wire::Sample {
        sample_id: format!("s{batch}"),
        latency_ns: 9,
        finish: "eos".to_owned(),
        ..wire::Sample::default()
    };
    wire::Samples { shard: 3, attempt: 7, sequence, batch, samples: vec![sample], window: None }
}

/// An agent that joined and was offered a shard.
pub(super) async fn joined(served: &mut Served, agent: &str) -> (Client, Outbox) {
    let client = Client::dial(served, Message::Hello(hello(agent))).await.expect(FINE);
    client.say(ready()).await;
    loop {
        let event = served.events.recv().await.expect(FINE);
        if let Some(outbox) = event.outbox {
            outbox.offer(offer());
            return (client, outbox);
        }
    }
}

/// Says `lies` as an agent with a shard; returns the refusal, and how many batches were taken before it.
async fn lie(lies: Vec<Message>) -> (Status, usize) {
    let mut served = serve().await;
    let (client, _outbox) = joined(&mut served, "liar").await;
    for lie in lies {
        client.say(lie).await;
    }
    let status = client.refusal().await;
    let mut taken = 0;
    loop {
        match served.events.recv().await.expect(FINE).report {
            AgentReport::Batch(_) => taken += 1,
            AgentReport::Gone => break,
            _ => {}
        }
    }
    let counts = Reason::ALL.map(|reason| (reason.as_str(), served.metrics.refusals.count(reason)));
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 1, "{counts:?}");
    assert_eq!(served.metrics.refusals.count(Reason::Message), 1, "{counts:?}");
    (status, taken)
}

#[tokio::test]
async fn a_foreign_shard_is_not_touched() {
    for (shard, attempt) in [(2, 7), (3, 6), (u64::MAX, u64::MAX)] {
        let foreign = wire::Samples { shard, attempt, ..samples(1, 4) };
        let (status, taken) = lie(vec![Message::Samples(foreign)]).await;
        assert!(status.message().contains("was not offered to this agent"), "{status}");
        assert_eq!(taken, 0);
        let failed = wire::ShardFailed { shard, attempt, failure: None };
        let (status, _) = lie(vec![Message::ShardFailed(failed)]).await;
        assert!(status.message().contains("was not offered to this agent"), "{status}");
    }
}

#[tokio::test]
async fn replayed_and_reordered_messages_are_taken_once() {
    let first = Message::Samples(samples(1, 4));
    let (status, taken) = lie(vec![first.clone(), first.clone()]).await;
    assert!(status.message().contains(": expected 2"), "{status}");
    assert_eq!(taken, 1);
    let again = Message::Samples(samples(2, 4));
    let (status, taken) = lie(vec![first, again]).await;
    assert!(status.message().contains("was not offered or is a duplicate"), "{status}");
    assert_eq!(taken, 1);
    let (status, taken) = lie(vec![Message::Samples(samples(2, 5))]).await;
    assert!(status.message().contains(": expected 1"), "{status}");
    assert_eq!(taken, 0);
}

#[tokio::test]
async fn a_shard_that_is_not_through_can_not_be_finished() {
    let finished = wire::ShardFinished { shard: 3, attempt: 7, ..wire::ShardFinished::default() };
    let (status, _) = lie(vec![Message::ShardFinished(finished)]).await;
    assert!(status.message().contains("2 batches missing"), "{status}");
}

#[tokio::test]
async fn samples_that_cannot_be_true_are_refused() {
    type Change = fn(&mut wire::Sample);
    let with = |change: Change| {
        let mut message = samples(1, 4);
        message.samples.iter_mut().for_each(change);
        vec![Message::Samples(message)]
    };
    let lies: [(Change, &str); 6] = [
        (|sample| sample.start_ns = u64::MAX, "inconsistent times"),
        (|sample| sample.ttft_ns = Some(10), "inconsistent times"),
        (|sample| sample.sample_id = "../../etc/passwd\0".to_owned(), "control character"),
        (|sample| sample.sample_id = "x".repeat(1000), "the limit is 256"),
        (|sample| sample.text = Some("x".repeat(1 << 20)), "the limit is 16384"),
        (|sample| sample.finish = "<b>".to_owned(), "unknown finish"),
    ];
    for (change, words) in lies {
        let (status, taken) = lie(with(change)).await;
        assert!(status.message().contains(words), "{status}");
        assert_eq!(taken, 0);
    }
}

#[tokio::test]
async fn more_samples_than_were_asked_for_are_refused() {
    let mut flood = samples(1, 4);
    flood.samples = vec![flood.samples[0].clone(); 500];
    let (status, taken) = lie(vec![Message::Samples(flood)]).await;
    assert!(status.message().contains("500 samples, expected 1"), "{status}");
    assert_eq!(taken, 0);
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused() {
    let mut long = samples(1, 4);
    long.samples[0].text = Some("x".repeat(proto::MAX_BATCH_BYTES + 1));
    let (status, taken) = lie(vec![Message::Samples(long)]).await;
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    assert_eq!(taken, 0);
}

#[tokio::test]
async fn whoever_says_hello_or_ready_twice_is_refused() {
    let (status, _) = lie(vec![ready()]).await;
    assert!(status.message().contains("duplicate Ready"), "{status}");
    let (status, _) = lie(vec![Message::Hello(hello("liar"))]).await;
    assert!(status.message().contains("duplicate Hello"), "{status}");
}

#[tokio::test]
async fn names_with_characters_that_act_are_refused_and_texts_are_escaped() {
    let mut served = serve().await;
    for name in
        ["a\u{1b}[2J", "a\nb", "a\u{202e}b", "a\u{2028}b", "a\u{200b}", "", &"x".repeat(300)]
    {
        let client = Client::dial(&served, Message::Hello(hello(name))).await.expect(FINE);
        assert_eq!(client.refusal().await.code(), Code::InvalidArgument);
    }
    let host = wire::Host {
        boot_id: "h".to_owned(),
        name: "<script>\u{1b}]0;x\u{7}\u{202e}".to_owned(),
        cpu_model: "x".repeat(100_000),
        ..wire::Host::default()
    };
    let dressed = wire::Hello { host: Some(host), ..hello("a") };
    let client = Client::dial(&served, Message::Hello(dressed)).await.expect(FINE);
    client.say(ready()).await;
    let AgentReport::Joined(joined) = served.events.recv().await.expect(FINE).report else {
        panic!("it joined");
    };
    assert_eq!(joined.facts.host.cpu_model.map(|name| name.len()), Some(256));
    assert_eq!(joined.facts.host.name, "<script>\\u{1b}]0;x\\u{7}\\u{202e}");
}

#[tokio::test]
async fn what_is_not_a_message_ends_the_stream_and_nothing_else() {
    use tonic::codegen::http::uri::PathAndQuery;
    // As long as a message and no message: a field of a type that proto3 doesn't have.
    let mut served = serve().await;
    let endpoint = Endpoint::from_shared(served.url.clone()).expect(FINE);
    let channel = endpoint.connect().await.expect(FINE);
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.expect(FINE);
    let mut request = Request::new(tokio_stream::iter([vec![0xff_u8; 64]]));
    request.metadata_mut().insert("authorization", served.header.parse().expect(FINE));
    let path = PathAndQuery::from_static("/fleetmark.v1.Fleet/Join");
    let answer = grpc.streaming(request, path, raw::Codec).await.expect(FINE);
    let mut heard = answer.into_inner();
    let status = loop {
        match heard.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it was refused"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Internal, "{status}");
    assert_eq!(served.metrics.refusals.count(Reason::Message), 1);
    let _ = joined(&mut served, "honest").await;
}

#[tokio::test]
async fn an_honest_agent_is_heard_beside_a_flood() {
    let mut served = serve().await;
    let (flood, _flooded) = joined(&mut served, "flood").await;
    let flooding = tokio::spawn(async move {
        loop {
            flood.say(Message::Heartbeat(wire::Heartbeat::default())).await;
        }
    });
    let (honest, _outbox) = joined(&mut served, "honest").await;
    honest.say(Message::Samples(samples(1, 4))).await;
    loop {
        let event = served.events.recv().await.expect(FINE);
        if matches!(event.report, AgentReport::Batch(_)) {
            assert_eq!(event.agent.as_str(), "honest");
            break;
        }
    }
    flooding.abort();
}

#[tokio::test]
async fn an_agent_that_does_not_read_is_cut_off() {
    let mut served = serve().await;
    let (client, outbox) = joined(&mut served, "deaf").await;
    // Flow control holds what it doesn't read; then the outbox fills.
    let offer = wire::ShardOffer { cell: "x".repeat(1 << 12), ..offer() };
    while !matches!(served.events.try_recv(), Ok(Event { report: AgentReport::Gone, .. })) {
        outbox.offer(offer.clone());
        tokio::task::yield_now().await;
    }
    while served.metrics.refusals.count(Reason::SlowReader) == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
}

#[tokio::test]
async fn a_client_that_ignores_its_refusal_is_not_heard() {
    let mut served = serve().await;
    let (client, outbox) = joined(&mut served, "liar").await;
    outbox.refuse(Status::invalid_argument("a batch that does not match the plan"));
    client.say(Message::Samples(samples(1, 4))).await;
    loop {
        match served.events.recv().await.expect(FINE).report {
            AgentReport::Batch(_) => panic!("a batch after the refusal arrived"),
            AgentReport::Gone => break,
            _ => {}
        }
    }
    assert_eq!(client.refusal().await.code(), Code::InvalidArgument);
    while served.metrics.refusals.count(Reason::Message) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_id_of_an_open_stream_is_taken() {
    let mut served = serve().await;
    let (victim, _outbox) = joined(&mut served, "a.1").await;
    let thief = Client::dial(&served, Message::Hello(hello("a.1"))).await.expect(FINE);
    assert_eq!(thief.refusal().await.code(), Code::AlreadyExists);
    victim.say(Message::Samples(samples(1, 4))).await;
    loop {
        let event = served.events.recv().await.expect(FINE);
        match event.report {
            AgentReport::Gone => panic!("the victim is gone"),
            AgentReport::Batch(_) => break,
            _ => {}
        }
    }
}

#[tokio::test]
async fn messages_to_the_open_services_are_short() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let served = serve().await;
    let channel =
        Endpoint::from_shared(served.url.clone()).expect(FINE).connect().await.expect(FINE);
    let request = HealthCheckRequest { service: "x".repeat(1 << 20) };
    let refused = HealthClient::new(channel).check(request).await.expect_err("it is too long");
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
}

#[tokio::test]
async fn health_and_reflection_answer_anybody() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let served = serve().await;
    let endpoint = Endpoint::from_shared(served.url.clone()).expect(FINE);
    let channel = endpoint.connect().await.expect(FINE);
    let request = HealthCheckRequest { service: "fleetmark.v1.Fleet".to_owned() };
    let health = HealthClient::new(channel.clone()).check(request).await.expect("it answers");
    assert_eq!(health.into_inner().status, 1, "serving");
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answer = client.server_reflection_info(tokio_stream::iter([request])).await;
    let answer = answer.expect("it answers").into_inner().message().await.expect("it answers");
    let Some(MessageResponse::ListServicesResponse(services)) =
        answer.and_then(|answer| answer.message_response)
    else {
        panic!("services are listed");
    };
    let names: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&"fleetmark.v1.Fleet".to_owned()), "{names:?}");
}

/// A codec that sends bytes as they are.
mod raw {
    use bytes::BufMut;
    use prost::Message;
    use tonic::Status;
    use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};

    #[derive(Debug, Clone, Copy, Default)]
    pub(super) struct Codec;

    impl tonic::codec::Codec for Codec {
        type Encode = Vec<u8>;
        type Decode = proto::wire::FromController;
        type Encoder = Self;
        type Decoder = Self;

        fn encoder(&mut self) -> Self {
            *self
        }

        fn decoder(&mut self) -> Self {
            *self
        }
    }

    impl Encoder for Codec {
        type Item = Vec<u8>;
        type Error = Status;

        fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
            buffer.put_slice(&item);
            Ok(())
        }
    }

    impl Decoder for Codec {
        type Item = proto::wire::FromController;
        type Error = Status;

        fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
            let message = Self::Item::decode(buffer);
            message.map(Some).map_err(|error| Status::internal(error.to_string()))
        }
    }
}
