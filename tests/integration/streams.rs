//! Campaigns against a server that streams: what is measured, how each broken stream is counted, and loads of requests
//! that arrive while others are in flight.

use scenarios::bad_endpoint::{Asked, BadEndpoint, Reply};
use scenarios::serving::Serving;
use scenarios::{Finished, Workspace};
use serde_json::{Value, json};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(30);
const NEXT: Duration = Duration::from_millis(15);

/// "ok fine so" as an OpenAI-style server streams it: a token every 15 ms after the first one.
fn events() -> Vec<(Duration, String)> {
    let choice = |delta: Value, finish: Value| {
        json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] }).to_string()
    };
    let text = |text: &str| choice(json!({ "content": text }), Value::Null);
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 9, "completion_tokens": 4 } });
    vec![
        (Duration::ZERO, choice(json!({ "role": "assistant", "content": "" }), Value::Null)),
        (FIRST, text("ok")),
        (NEXT, text(" fine")),
        (NEXT, text(" so")),
        (Duration::ZERO, choice(json!({}), json!("stop"))),
        (Duration::ZERO, usage.to_string()),
        (Duration::ZERO, "[DONE]".to_owned()),
    ]
}

fn ok() -> Reply {
    Reply::paced_events(events())
}

/// A campaign of 2 runs of 12 dialogues each, and its results.
fn campaign(
    script: impl Fn(Asked) -> Reply + Send + Sync + 'static,
    endpoint: &str,
    load: &str,
) -> (Workspace, BadEndpoint, Finished) {
    let (workspace, server) = (Workspace::default(), BadEndpoint::start(script));
    let matrix = format!(
        r#"
name = "streams"
[dataset]
source = "builtin:dialogues"
samples = 12
[[model]]
name = "served"
id = "{}"
[model.endpoint]
api = "openai-chat"
model = "m"
timeout = "5s"
idle_timeout = "1s"
{endpoint}
{load}
[[fleet.local]]
target = "behind"
threads = 1
usd_per_hour = 0.36
[report]
formats = ["markdown"]
"#,
        server.url
    );
    workspace.write("matrix.toml", matrix);
    let ended = workspace.run(&["run", "matrix.toml", "--output", "results.json"]);
    (workspace, server, ended)
}

const CLOSED: &str = "[factors]\nbatch_sizes = [4]\n[protocol]\nruns = 2\nwarmup = 0";

fn cell(workspace: &Workspace) -> Value {
    workspace.results("results.json")["results"][0]["cells"][0].take()
}

/// The Markdown report.
fn report(workspace: &Workspace) -> String {
    std::fs::read_to_string(workspace.path("report.md")).expect("the report is written")
}

#[test]
fn a_stream_has_first_tokens_gaps_and_time_per_token() {
    let (workspace, server, ended) = campaign(|_| ok(), "", CLOSED);
    let _ = ended.expect(0);
    let cell = cell(&workspace);
    assert_eq!((&cell["counted_samples"], &cell["failed_samples"]), (&json!(24), &json!(0)));
    // The probe, and two runs.
    assert_eq!(server.asked(), 1 + 24);
    let estimates = &cell["estimates"];
    let figure = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value} in {cell}"));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    // The server sends nothing early; how late the client is, is up to the machine.
    assert!(figure(&estimates["ttft_ms"]["min"]) >= ms(FIRST), "{}", estimates["ttft_ms"]);
    assert!(figure(&estimates["latency_ms"]["min"]) >= ms(FIRST + 2 * NEXT));
    // Four tokens, of which the last one ends the summary.
    let (latency, ttft) = (&estimates["latency_ms"]["mean"], &estimates["ttft_ms"]["mean"]);
    let tpot = figure(&estimates["tpot_ms"]["mean"]["value"]);
    let expected = (figure(&latency["value"]) - figure(&ttft["value"])) / 3.0;
    assert!((tpot - expected).abs() < 1e-6, "{tpot}, expected {expected}");
    let stream = &cell["stream"];
    assert_eq!((&stream["requests"], &stream["chunks"]), (&json!(24), &json!(72)));
    assert_eq!((&stream["tokens_per_chunk"], &stream["is_per_token"]), (&json!(1.0), &json!(true)));
    assert_eq!(stream["gap_ms"]["n"], 48);
    assert!(figure(&stream["gap_ms"]["p50"]) > 0.0);
    assert_eq!(stream["gap_ms"]["p99"], Value::Null, "too few gaps");
    let report = report(&workspace);
    assert!(report.contains("Gaps between"), "{report}");
    assert!(!report.contains("chunks of several tokens"), "{report}");
    let notes = &workspace.results("results.json")["results"][0]["engine"]["notes"];
    assert!(notes.to_string().contains("counted by the endpoint"), "{notes}");
    // A report from the store alone holds the same figures.
    let again = workspace.run(&["report", "latest", "--output", "again.json"]);
    let _ = again.expect(0);
    let again = workspace.results("again.json");
    assert_eq!(&again["results"][0]["cells"][0]["stream"], stream);
}

#[test]
fn chunks_of_several_tokens_are_called_chunks() {
    let script = |_: Asked| {
        let of_twelve = |(pause, event): (Duration, String)| (pause, event.replace(":4", ":12"));
        Reply::paced_events(events().into_iter().map(of_twelve))
    };
    let (workspace, _, ended) = campaign(script, "", CLOSED);
    let _ = ended.expect(0);
    assert_eq!(cell(&workspace)["stream"]["is_per_token"], false);
    let report = report(&workspace);
    assert!(report.contains("chunks of several tokens"), "{report}");
}

#[test]
fn every_broken_stream_is_a_failed_sample_of_its_class() {
    let error = |error: &str| {
        let mut all = events();
        all[3].1 = error.to_owned();
        Reply::paced_events(all)
    };
    let script = move |asked: Asked| match asked.number {
        3 => ok().after(3).silent(),
        5 => ok().after(3).closing(),
        7 => {
            let mut all = events();
            all.pop();
            Reply::paced_events(all)
        }
        9 => error(r#"{"error": {"message": "out of memory", "code": 500}}"#),
        11 => error("<html>"),
        13 => Reply::new("200 OK", "{}"),
        15 => Reply::new("429 Too Many Requests", "later"),
        _ => ok(),
    };
    let closed = CLOSED.replace("[4]", "[1]");
    let (workspace, server, ended) = campaign(script, "", &closed);
    let ended = ended.expect(0);
    let cell = cell(&workspace);
    let by = json!({
        "answer": 2, "cut_off": 1, "stalled": 1, "stream_error": 1, "throttled": 1, "unfinished": 1,
    });
    assert_eq!((&cell["failed_by"], &cell["counted_samples"]), (&by, &json!(17)), "{}", ended.out);
    assert_eq!(cell["stream"]["requests"], 17);
    assert_eq!((&cell["failed_samples"], &cell["missing_samples"]), (&json!(7), &json!(0)));
    assert_eq!(server.asked(), 1 + 24, "nothing is asked twice");
}

#[test]
fn tokens_are_counted_by_the_tokenizer_if_the_matrix_says_so() {
    let script = |_: Asked| {
        let without_usage = events().into_iter().filter(|(_, event)| !event.contains("usage"));
        Reply::paced_events(without_usage)
    };
    let (_, server, ended) = campaign(script, "", CLOSED);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    let expected = "output_tokens: nothing at /usage/completion_tokens in any event";
    assert!(ended.err.contains(expected), "{}", ended.err);
    assert_eq!(server.asked(), 1, "nothing is measured");
    let counted = "input_tokens = \"tokenizer\"\noutput_tokens = \"tokenizer\"";
    let (workspace, _, ended) = campaign(script, counted, CLOSED);
    let _ = ended.expect(0);
    assert_eq!(cell(&workspace)["stream"]["tokens_per_chunk"], Value::Null, "no tokenizer");
}

const SERVER: &str =
    "[factors]\nscenarios = [\"server\"]\n[protocol]\nruns = 2\nwarmup = 0\nserver = ";

#[test]
fn requests_of_an_open_loop_arrive_whatever_is_in_flight() {
    // Every answer takes longer than all arrivals together.
    let slow = |_: Asked| {
        let mut all = events();
        all[1].0 = Duration::from_millis(400);
        Reply::paced_events(all)
    };
    let load = format!("{SERVER}{{ request_rates = [100], arrivals = \"constant\" }}");
    let (workspace, server, ended) = campaign(slow, "", &load);
    let _ = ended.expect(0);
    let cell = cell(&workspace);
    assert_eq!((&cell["counted_samples"], &cell["failed_samples"]), (&json!(24), &json!(0)));
    assert_eq!(server.asked(), 1 + 24);
    // One after the other, a run would take 12 times 430 ms.
    let wall = cell["estimates"]["runs"][0]["host_seconds"].as_f64().expect("seconds");
    assert!(wall < 12.0 * 0.4, "{wall}");
    assert!(cell["schedule_delay_ms"]["max"].as_f64().expect("a delay") >= 0.0);
    let load = &workspace.results("results.json")["results"][0]["load"];
    assert_eq!((&load["max_in_flight"], &load["max_queue"]), (&json!(1000), &Value::Null));
}

#[test]
fn arrivals_beyond_the_limit_of_requests_in_flight_are_counted_and_not_sent() {
    // The first three of a run are never answered while others arrive.
    let slow = |_: Asked| {
        let mut all = events();
        all[1].0 = Duration::from_millis(1_500);
        Reply::paced_events(all)
    };
    let load =
        format!("{SERVER}{{ request_rates = [100], arrivals = \"constant\", max_in_flight = 3 }}");
    let (workspace, server, ended) = campaign(slow, "", &load);
    let _ = ended.expect(0);
    let cell = cell(&workspace);
    assert_eq!((&cell["counted_samples"], &cell["not_sent"]), (&json!(6), &json!(18)));
    assert_eq!(cell["failed_by"], json!({ "not_sent": 18 }));
    assert_eq!(server.asked(), 1 + 6);
}

#[test]
fn a_sustained_load_of_an_endpoint_has_windows_with_gaps() {
    let load = "[factors]\nscenarios = [\"stress\"]\n[protocol]\nruns = 1\nwarmup = 0\nstress = { duration = \"2s\", window = \"1s\", concurrency = 5 }";
    let (workspace, _, ended) = campaign(|_| ok(), "", load);
    let _ = ended.expect(0);
    let cell = cell(&workspace);
    let stream = &cell["stream"];
    assert_eq!(cell["failed_samples"], 0);
    let requests = stream["requests"].as_u64().expect("a number");
    assert!(requests >= 5, "{requests}");
    assert_eq!(stream["chunks"].as_u64(), Some(3 * requests));
    assert_eq!((&stream["tokens_per_chunk"], &stream["is_per_token"]), (&json!(1.0), &json!(true)));
    assert!(cell["estimates"]["ttft_ms"]["mean"]["value"].as_f64().expect("a mean") >= 30.0);
}

#[test]
fn agent_serve_streams_what_a_campaign_measures() {
    let workspace = Workspace::default();
    let serving = Serving::start(&workspace, "builtin:tiny", &["--batch-size", "4"]);
    let matrix = format!(
        r#"
name = "ours"
[dataset]
source = "builtin:dialogues"
samples = 12
[[model]]
name = "served"
id = "http://{}/v1/completions"
[model.endpoint]
api = "openai-completions"
model = "fleetmark"
[generation]
max_new_tokens = 24
[factors]
scenarios = ["offline", "server"]
[protocol]
runs = 1
warmup = 1
server = {{ request_rates = [50] }}
[[fleet.local]]
target = "behind"
threads = 1
usd_per_hour = 0.36
"#,
        serving.address()
    );
    workspace.write("matrix.toml", matrix);
    let run = ["run", "matrix.toml", "--output", "results.json"];
    let _ = workspace.run(&run).expect(0);
    let results = workspace.results("results.json");
    for entry in results["results"].as_array().expect("entries") {
        let cell = &entry["cells"][0];
        assert_eq!((&cell["counted_samples"], &cell["failed_samples"]), (&json!(12), &json!(0)));
        let mean = |of: &str| cell["estimates"][of]["mean"]["value"].as_f64().expect("a mean");
        assert!(mean("ttft_ms") > 0.0 && mean("ttft_ms") < mean("latency_ms"), "{cell}");
        assert!(cell["stream"]["chunks"].as_u64().expect("a count") > 12, "{}", cell["stream"]);
    }
    // A bundle restores the gaps from its Parquet files.
    let _ = workspace.run(&["certs", "init"]).expect(0);
    let _ = workspace.run(&["bundle", "latest", "--output", "made.tar"]).expect(0);
    let certificate = ".fleetmark/certs/controller.pem";
    let verified = workspace.run(&["verify", "made.tar", "--certificate", certificate]).expect(0);
    assert!(verified.out.contains(", 0 differ\n"), "{}", verified.out);
    serving.signal("TERM");
    let _ = serving.finish().expect(0);
}

#[test]
fn the_servers_own_figures_are_beside_the_latency() {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("a port is free");
    let address = listener.local_addr().expect("it has one");
    let (read, reads) = tokio::sync::watch::channel(0_u64);
    let metrics = move || {
        read.send_modify(|count| *count += 1);
        async {
            "vllm:num_requests_running 3\nvllm:num_requests_waiting 5\nvllm:kv_cache_usage_perc 0.25\n"
        }
    };
    // Answers once its metrics were read twice more, so that a window has them. The probe comes before they are read.
    let answer = move |body: String| {
        let mut reads = reads.clone();
        async move {
            if !body.contains("Is the report done?") {
                let enough = *reads.borrow() + 2;
                drop(reads.wait_for(|count| *count >= enough).await);
            }
            let usage = json!({ "prompt_tokens": 3, "completion_tokens": 4 });
            let choice = json!({ "text": "so it is", "finish_reason": "stop" });
            json!({ "choices": [choice], "usage": usage }).to_string()
        }
    };
    let router = axum::Router::new()
        .route("/metrics", axum::routing::get(metrics))
        .route("/v1/completions", axum::routing::post(answer));
    runtime.spawn(async move { axum::serve(listener, router).await });
    let workspace = Workspace::default();
    let matrix = format!(
        r#"
name = "server"
[dataset]
source = "builtin:dialogues"
samples = 1
[[model]]
name = "served"
id = "http://{address}/v1/completions"
[model.endpoint]
api = "openai-completions"
model = "m"
stream = false
[protocol]
runs = 1
warmup = 0
[[fleet.local]]
target = "behind"
threads = 1
usd_per_hour = 0.36
[report]
formats = ["html"]
"#
    );
    workspace.write("matrix.toml", matrix);
    let _ = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let readings = cell(&workspace)["telemetry"]["readings"].take();
    let mean = |name: &str| readings[name]["mean"].as_f64().map(|mean| (1e6 * mean).round() / 1e6);
    assert_eq!(mean("endpoint_running_requests"), Some(3.0), "{readings}");
    assert_eq!(mean("endpoint_waiting_requests"), Some(5.0));
    assert_eq!(mean("endpoint_cache_used_pct"), Some(25.0));
    let report = std::fs::read_to_string(workspace.path("report.html"));
    assert!(report.expect("it is written").contains("Endpoint, waiting"));
}
