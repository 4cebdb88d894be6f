//! Clients without a token that hold on to a controller's connections: half of what a request needs, or requests whose
//! responses they don't read. One that is disconnected comes back.

use crate::{Running, Workspace, scripted};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// As many as the documentation promises to withstand.
pub const STRANGERS: usize = 512;
/// Address space of the controller, in KiB.
const ADDRESSES: usize = 1 << 20;

/// A target with two agents.
pub const TARGET: &str = r#"
[[target]]
name = "there"
agents = 2
usd_per_hour = 0.1
"#;

/// Starts a program under limits of the shell.
///
/// # Panics
/// If it doesn't start.
pub fn limited(command: &Command, limits: &str) -> Running {
    let script = format!("{limits} && exec \"$0\" \"$@\"");
    let mut limited = Command::new("sh");
    limited.args(["-c", &script]).arg(command.get_program()).args(command.get_args());
    limited.current_dir(command.get_current_dir().expect("it runs in a workspace"));
    Running::of(&mut limited)
}

/// Runs a workspace's campaign for [`TARGET`] in 1 GiB of addresses. Its agents start after `strangers` have
/// connected; the returned time begins then.
///
/// # Panics
/// If the controller or an agent fails.
pub fn run_amid(strangers: usize, workspace: &Workspace) -> Duration {
    let further = ["--web", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--log-level", "info"];
    let command = workspace.controller(&[&scripted::RUN[..], &further].concat());
    let mut running = limited(&command, &format!("ulimit -v {ADDRESSES}"));
    let join = running.join_command();
    let listeners = Listeners {
        agents: address(&join.controller),
        web: address(&running.until("live page on ")),
        metrics: address(&running.until("serving metrics")),
    };
    let strangers = Strangers::connect(listeners, strangers);
    let start = Instant::now();
    let agents = ["one", "two"].map(|host| {
        let own = ["join", "--controller", &join.controller, "--token-file", &join.token_file];
        let further = ["--target", "there", "--threads", "1", "--simulate-host", host];
        workspace.start_agent(&[&own[..], &further].concat())
    });
    let _ = running.finish().expect(0);
    let took = start.elapsed();
    for agent in agents {
        let _ = agent.finish().expect(0);
    }
    drop(strangers);
    took
}

/// The address at the end of a line or URL.
fn address(line: &str) -> SocketAddr {
    let word = line.trim().trim_end_matches('/').rsplit(['/', '=', ' ']).next();
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no address in {line}"))
}

/// The listeners of one controller.
#[derive(Debug, Clone, Copy)]
struct Listeners {
    agents: SocketAddr,
    web: SocketAddr,
    metrics: SocketAddr,
}

/// Strangers that stay until this is dropped.
#[derive(Debug)]
struct Strangers {
    _runtime: Runtime,
}

impl Strangers {
    /// Connects `count` of them, as many of each kind as possible.
    fn connect(listeners: Listeners, count: usize) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads can be started");
        for stranger in kinds(listeners).into_iter().cycle().take(count) {
            let stream = runtime.block_on(TcpStream::connect(stranger.at));
            runtime.spawn(stranger.stay(stream.expect("the system queues it")));
        }
        Self { _runtime: runtime }
    }
}

/// Pause before a stranger comes back, and between the bytes that it sends meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

/// What a stranger sends; it never reads.
#[derive(Debug, Clone)]
struct Stranger {
    at: SocketAddr,
    opening: Vec<u8>,
    /// Sent again and again after the opening.
    more: Vec<u8>,
    pause: Option<Duration>,
}

impl Stranger {
    async fn stay(self, mut stream: TcpStream) {
        loop {
            let mut sent = stream.write_all(&self.opening).await;
            while sent.is_ok() {
                if let Some(pause) = self.pause {
                    tokio::time::sleep(pause).await;
                }
                sent = stream.write_all(&self.more).await;
            }
            drop(stream);
            stream = loop {
                tokio::time::sleep(PAUSE).await;
                if let Ok(stream) = TcpStream::connect(self.at).await {
                    break stream;
                }
            };
        }
    }
}

fn kinds(listeners: Listeners) -> Vec<Stranger> {
    let Listeners { agents, web, metrics } = listeners;
    let slow = |at, opening: &[u8], more: &[u8]| Stranger {
        at,
        opening: opening.to_vec(),
        more: more.to_vec(),
        pause: Some(PAUSE),
    };
    let request = |path| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let half_request = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ";
    let half = |path| [PREFACE, &half_messages(path)].concat();
    vec![
        slow(agents, &half("/grpc.health.v1.Health/Check"), PING),
        slow(agents, &half("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), PING),
        slow(agents, &half("/fleetmark.v1.Fleet/Join"), PING),
        Stranger { at: agents, opening: PREFACE.to_vec(), more: PING.repeat(1000), pause: None },
        slow(agents, &PREFACE[..16], b""),
        slow(agents, &[PREFACE, &half_headers()].concat(), b""),
        slow(web, half_request, b"x"),
        slow(web, b"", b""),
        slow(web, request("/inter.woff2").repeat(200).as_bytes(), b""),
        slow(web, request("/events").as_bytes(), b""),
        slow(metrics, half_request, b"x"),
        slow(metrics, request("/metrics").repeat(1000).as_bytes(), b""),
    ]
}

/// The connection preface and empty settings (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A PING (RFC 9113, 6.7).
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\08 octets";
/// Streams on one connection, and bytes sent on each: as many as the first window takes.
const STREAMS: u32 = 16;
const STREAM_BYTES: usize = 4000;

/// On every stream, a message that announces 4 MiB and doesn't arrive.
fn half_messages(path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let headers: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    let mut message = vec![0; STREAM_BYTES];
    message[1..5].copy_from_slice(&(4_u32 << 20).to_be_bytes());
    let streams = (0..STREAMS).map(|number| 2 * number + 1);
    streams
        .flat_map(|stream| {
            [frame(HEADERS, END_HEADERS, stream, &headers), frame(DATA, 0, stream, &message)]
                .concat()
        })
        .collect()
}

/// Headers whose continuation doesn't come.
fn half_headers() -> Vec<u8> {
    frame(HEADERS, 0, 1, &field(":method", "POST"))
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("it is short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// A header field without compression (RFC 7541, 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("it is short");
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}
