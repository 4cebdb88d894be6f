use super::*;
use crate::runner::{Engines, MachineLock};
use engine::Engine;
use model::engine::{EngineFacts, EngineSpec};
use model::failure::Failure;
use model::generation::Generation;
use telemetry::{InstrumentSet, InstrumentSources, Sampler};

struct NoEngines;

impl Engines for NoEngines {
    fn inspect(&self, _: &EngineSpec, _: &[&Generation]) -> Vec<Result<EngineFacts, Failure>> {
        unreachable!("nobody asks")
    }

    fn load(&self, _: &EngineSpec) -> Result<Box<dyn Engine>, Failure> {
        unreachable!("nobody asks")
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_dials_for_hours_at_times_of_its_own_and_then_says_so() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (hours, reconnect_time) = (3_u64, Duration::from_hours(3));
    let options = Options {
        controller: format!("http://{port}"),
        target: String::new(),
        identity: Identity { token: TokenSource::None, ca: None, certificate: None },
        agent_id: "a".to_owned(),
        threads: 1,
        devices: Vec::new(),
        instruments: Instruments::default(),
        reconnect_time,
        traces: Traces::off(),
    };
    let (told, reports) = tokio::sync::mpsc::unbounded_channel();
    let (sampler, observations) =
        Sampler::start(InstrumentSet::find(InstrumentSources::default())).unwrap();
    let runner = Runner::start(NoEngines, told, MachineLock::on("nobody"), sampler).unwrap();
    let mut inbox = Inbox { reports, observations };
    let (host, metrics) = (Host::simulated("h"), Metrics::default());
    let start = tokio::time::Instant::now();
    let never = std::future::pending();
    let error = join(&options, &host, &runner, &mut inbox, &metrics, never).await.unwrap_err();
    assert!(error.to_string().contains("for 10800 s"), "{error}");
    assert!(start.elapsed() >= reconnect_time);
    // Pauses are between half of and the full longest pause.
    let dialled = metrics.connections.get();
    assert!((hours * 300..=hours * 760).contains(&dialled), "{dialled}");
}
