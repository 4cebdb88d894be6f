//! The agents' listener from the bytes of its connections to the decisions of a campaign, in simulated time. The input
//! is a script: what peers with and without a token send, in which order, and how much time passes.
//!
//! Whatever they send, nothing panics, the campaign counts only what is planned, and once they are gone nothing of them
//! is left.

mod campaign;
mod http2;
mod messages;

use self::campaign::Campaign;
use self::http2::Peer;
use fleet::identity::{Guard, Roster, Token};
use fleet::{ConnectionLimits, FleetMetrics, Listener, Options, Socket};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

/// Connections that are open at once.
const PEERS: usize = 4;
/// Longer than any deadline of a connection.
const AFTER: Duration = Duration::from_mins(3);
/// The most steps of a script.
const STEPS: usize = 512;

static TOKEN: LazyLock<Token> = LazyLock::new(|| Token::make().expect("the system is random"));

/// The rest of the input.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// The next byte; zero at the end, where [`Self::is_over`].
    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn number(&mut self) -> u64 {
        let mut number = [0; 8];
        let bytes = self.bytes(8);
        number[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(number)
    }

    /// The next bytes, fewer at the end.
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes after their number.
    fn text(&mut self) -> &'a [u8] {
        let count = self.byte().into();
        self.bytes(count)
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

pub(crate) fn check(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads can be built");
    runtime.block_on(run(Script(bytes)));
}

async fn run(mut script: Script<'_>) {
    let campaign = Campaign::new(script.byte().is_multiple_of(2));
    let metrics = Arc::<FleetMetrics>::default();
    let options = Options {
        campaign: "fuzzed".try_into().expect("a valid name"),
        guard: Arc::new(Guard::new(TOKEN.clone(), Roster::default())),
        metrics: Arc::clone(&metrics),
        targets: campaign.targets(),
        engines: campaign.engines(),
        heartbeat: Duration::from_secs(1),
        telemetry: Duration::from_millis(250),
        trace_parent: String::new(),
    };
    let (dial, pipes) = mpsc::channel(PEERS);
    let listener =
        Listener { socket: Socket::Memory(pipes), tls: None, limits: ConnectionLimits::new(64) };
    let (sender, events) = mpsc::channel(64);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(fleet::serve(listener, options, sender, async {
        drop(stopped.await);
    }));
    let campaign = tokio::spawn(campaign.run(events));
    let mut secret = Vec::new();
    TOKEN.hand_over(&mut secret).await.expect("memory takes it");
    let header = format!("Bearer {}", String::from_utf8_lossy(&secret).trim());
    let mut peers = Vec::new();
    for _ in 0..STEPS {
        if script.is_over() {
            break;
        }
        step(&mut script, &mut peers, &dial, &header).await;
    }
    drop(peers);
    sleep(AFTER).await;
    for gauge in ["fleetmark_connections", "fleetmark_agents"] {
        let left = value(&metrics, gauge);
        assert!(left.abs() < 0.5, "{gauge}: {left}");
    }
    drop(stop);
    server.await.expect("it doesn't panic").expect("it ends when it is stopped");
    campaign.await.expect("it doesn't panic");
}

fn value(metrics: &FleetMetrics, gauge: &str) -> f64 {
    let families = metrics.collectors().into_iter().flat_map(|collector| collector.collect());
    let mut found = families.filter(|family| family.name() == gauge);
    found.next().expect("it is collected").get_metric()[0].get_gauge().get_value()
}

/// One step: a peer comes, says something or goes, or time passes.
async fn step(
    script: &mut Script<'_>,
    peers: &mut Vec<Peer>,
    dial: &mpsc::Sender<tokio::io::DuplexStream>,
    header: &str,
) {
    let kind = script.byte();
    if kind.is_multiple_of(16) || peers.is_empty() {
        if peers.len() == PEERS {
            peers.remove(0);
        }
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        // The listener is there as long as the script runs.
        dial.send(theirs).await.expect("it listens");
        peers.push(Peer::new(ours));
        return;
    }
    let which = usize::from(script.byte()) % peers.len();
    let peer = &mut peers[which];
    match kind % 16 {
        1 => drop(peers.remove(which)),
        2 => peer.send(script.text()).await,
        3 => peer.preface().await,
        4 => {
            let (kind, flags) = (script.byte(), script.byte());
            let (stream, content) = (script.byte().into(), script.text());
            peer.frame(kind, flags, stream, content).await;
        }
        5 => {
            let path = match script.byte() % 4 {
                0 => "/grpc.health.v1.Health/Check",
                1 => "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                2 => "/fleetmark.v1.Fleet/Other",
                _ => "/fleetmark.v1.Fleet/Join",
            };
            let token = (!script.byte().is_multiple_of(2)).then_some(header);
            let stream = script.byte().into();
            peer.request(stream, path, token).await;
        }
        6 => {
            peer.preface().await;
            peer.request(1, "/fleetmark.v1.Fleet/Join", Some(header)).await;
        }
        7 => sleep(Duration::from_secs(script.byte().into())).await,
        8 => {
            // A message of another length than it announces.
            let length = u32::from_le_bytes([script.byte(), script.byte(), script.byte(), 0]);
            let content = script.text();
            peer.message_of(length, content).await;
        }
        _ => {
            let message = messages::message(script, which, peer);
            peer.message(&message).await;
        }
    }
    for peer in peers {
        peer.read().await;
    }
}
