//! Any bytes from a client of `agent serve`, whose engine is a script: it answers or refuses, and never by a panic.

use agent::http_server::{Limits, Options, RequestSampling, Service};
use engine::scripted::Scripted;
use model::engine::{AdapterMode, Dtype, EngineName, EngineSpec};
use model::generation::Settings;
use ops::http::serve_connection;
use std::sync::LazyLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

/// The engine serves all inputs. It has loaded once this is built.
static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    let script = format!("/dev/shm/fleetmark-script-{}.json", std::process::id());
    std::fs::write(&script, r#"{"prompt_ms": 1, "token_ms": 1, "output_tokens": 3}"#)
        .expect("there is memory");
    let engine = Scripted::load(&EngineSpec {
        model: format!("scripted:{script}"),
        revision: None,
        adapter: None,
        adapter_mode: AdapterMode::default(),
        tokenizer: None,
        dtype: Dtype::F32,
        endpoint: None,
        engine: EngineName::default(),
    });
    drop(std::fs::remove_file(script));
    let engine = engine.expect("it is a script");
    let limits = Limits { max_input_tokens: 512, max_new_tokens: 64 };
    let settings = Settings::default();
    let sampling = RequestSampling::Allowed;
    let options = Options { limits, settings, sampling, queue: 64, batch_size: 4 };
    Service::start(options, || Ok(Box::new(engine)), || {}).expect("the system gives a thread")
});

/// Time passes only while nothing happens: a connection that waits for its client reaches its deadline at once, and one
/// that waits for the engine has none.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without threads can be built")
});

pub(crate) fn check(bytes: &[u8]) {
    let answers = RUNTIME.block_on(async {
        let (mut ours, theirs) = tokio::io::duplex(1 << 16);
        let client = async {
            // A server that closes the connection doesn't read the rest.
            drop(ours.write_all(bytes).await);
            let mut answers = Vec::new();
            ours.read_to_end(&mut answers).await.expect("memory doesn't break");
            answers
        };
        tokio::join!(client, serve_connection(theirs, SERVICE.router.clone())).0
    });
    let answers = String::from_utf8_lossy(&answers);
    assert!(answers.is_empty() || answers.starts_with("HTTP/1."), "{answers}");
    assert!(!answers.contains("panicked"), "{answers}");
}
