//! Who is let in, and who is told why not: raw wire messages against the served fleet.

use campaign::AgentReport;
use fleet::identity::{Guard, Roster, Token};
use fleet::{self, ConnectionLimits, Event, Listener, Options, Socket};
use model::version::PROTOCOL;
use proto::wire::{self, from_agent::Message, from_controller};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

struct Served {
    url: String,
    header: String,
    events: mpsc::Receiver<Event>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

async fn serve() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("the fleet is served");
    let url = format!("http://{}", listener.local_addr().expect("the fleet is served"));
    let token = Token::make().expect("the fleet is served");
    let mut secret = Vec::new();
    token.hand_over(&mut secret).await.expect("the fleet is served");
    let header =
        format!("Bearer {}", String::from_utf8(secret).expect("the fleet is served").trim());
    let (sender, events) = mpsc::channel(8);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let options = Options {
        campaign: "c".try_into().expect("the fleet is served"),
        guard: Arc::new(Guard::new(token, Roster::default())),
        metrics: Arc::default(),
        targets: vec!["here".try_into().expect("the fleet is served")],
        engines: vec![Vec::new()],
        heartbeat: Duration::from_secs(1),
        telemetry: Duration::from_millis(250),
        trace_parent: String::new(),
    };
    let limits = ConnectionLimits::new(1024);
    let listener = Listener { socket: Socket::Tcp(listener), tls: None, limits };
    tokio::spawn(fleet::serve(listener, options, sender, async {
        drop(stopped.await);
    }));
    Served { url, header, events, _stop: stop }
}

fn hello() -> wire::Hello {
    wire::Hello {
        protocol: Some(PROTOCOL.into()),
        agent_id: "a".to_owned(),
        target: "here".to_owned(),
        host: Some(wire::Host { boot_id: "h".to_owned(), ..wire::Host::default() }),
        ..wire::Hello::default()
    }
}

/// Sends `messages` and returns what comes back until the stream ends.
async fn talk(
    served: &Served,
    header: Option<&str>,
    messages: Vec<Message>,
) -> Result<Vec<from_controller::Message>, Status> {
    let channel = Endpoint::from_shared(served.url.clone())
        .expect("the fleet is served")
        .connect()
        .await
        .expect("the fleet is served");
    let mut client = wire::fleet_client::FleetClient::new(channel);
    let (sender, receiver) = mpsc::channel(16);
    for message in messages {
        sender.send(wire::FromAgent { message: Some(message) }).await.expect("the fleet is served");
    }
    drop(sender);
    let mut request = Request::new(ReceiverStream::new(receiver));
    if let Some(header) = header {
        request
            .metadata_mut()
            .insert("authorization", header.parse().expect("the fleet is served"));
    }
    let mut stream = client.join(request).await?.into_inner();
    let mut heard = Vec::new();
    while let Some(message) = stream.message().await? {
        heard.extend(message.message);
    }
    Ok(heard)
}

#[tokio::test]
async fn an_agent_without_the_token_is_refused() {
    let served = serve().await;
    for header in [None, Some("Bearer wrong"), Some("Bearer ")] {
        let status = talk(&served, header, vec![Message::Hello(hello())]).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("--token-file"), "{status}");
    }
}

#[tokio::test]
async fn an_agent_of_another_protocol_is_told_both_versions() {
    let served = serve().await;
    let old = wire::Hello { protocol: Some(wire::Version { major: 0, minor: 9 }), ..hello() };
    let status = talk(&served, Some(&served.header), vec![Message::Hello(old)]).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        status.message().starts_with("the agent speaks protocol 0.9, this program 4."),
        "{status}"
    );
}

#[tokio::test]
async fn an_agent_of_a_newer_minor_version_is_welcome() {
    let served = serve().await;
    let newer = wire::Version { major: PROTOCOL.major, minor: PROTOCOL.minor + 1 };
    let newer = wire::Hello { protocol: Some(newer), ..hello() };
    let heard = talk(&served, Some(&served.header), vec![Message::Hello(newer)]).await.unwrap();
    assert!(matches!(&heard[..], [from_controller::Message::Welcome(_)]), "{heard:?}");
}

#[tokio::test]
async fn an_unknown_target_is_told_with_the_known_ones() {
    let served = serve().await;
    let lost = wire::Hello { target: "there".to_owned(), ..hello() };
    let status = talk(&served, Some(&served.header), vec![Message::Hello(lost)]).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().ends_with("one of: here"), "{status}");
}

#[tokio::test]
async fn samples_of_nobodys_shard_end_the_stream_and_never_arrive() {
    let mut served = serve().await;
    let samples = wire::Samples { samples: Vec::new(), ..wire::Samples::default() };
    let messages = vec![
        Message::Hello(hello()),
        Message::Ready(wire::Ready::default()),
        Message::Samples(samples),
    ];
    let status = talk(&served, Some(&served.header), messages).await.unwrap_err();
    assert!(status.message().contains("was not offered to this agent"), "{status}");
    assert!(matches!(served.events.recv().await.unwrap().report, AgentReport::Joined(_)));
    assert!(matches!(served.events.recv().await.unwrap().report, AgentReport::Gone));
}

#[tokio::test]
async fn whoever_does_not_begin_with_hello_is_refused() {
    let served = serve().await;
    let messages = vec![Message::Leaving(wire::Leaving::default())];
    let status = talk(&served, Some(&served.header), messages).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}
