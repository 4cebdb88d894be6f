//! Real servers of language models: `transformers serve`, and llama.cpp behind the server of llama-cpp-python.

use scenarios::{Row, Workspace};
use serde_json::{Value, json};

const SAMPLES: u64 = 8;
const RUNS: u64 = 2;
const MAX_NEW_TOKENS: i32 = 16;

#[expect(clippy::disallowed_methods, reason = "tests/services.sh passes addresses and files")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by tests/services.sh"))
}

/// A closed and an open loop at a chat route. `model` and `endpoint` are lines of their tables.
fn matrix(server: &str, model: &str, endpoint: &str) -> String {
    format!(
        r#"
name = "llm-server"
seed = 5
[dataset]
source = "builtin:dialogues"
samples = {SAMPLES}
[[model]]
name = "served"
id = "http://{server}/v1/chat/completions"
{model}
[model.endpoint]
api = "openai-chat"
{endpoint}
[factors]
scenarios = ["offline", "server"]
batch_sizes = [4]
[generation]
prompt = "Summarize: {{dialogue}}"
max_new_tokens = {MAX_NEW_TOKENS}
[protocol]
runs = {RUNS}
warmup = 1
server = {{ request_rates = [2] }}
[[fleet.local]]
target = "behind"
threads = 1
usd_per_hour = 0.36
"#
    )
}

struct Measured {
    cells: Vec<Value>,
    rows: Vec<Row>,
    notes: String,
}

/// Runs a campaign in which every request must return a summary.
fn measure(matrix: &str) -> Measured {
    let workspace = Workspace::default();
    workspace.write("matrix.toml", matrix);
    let _ = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let results = workspace.results("results.json");
    let entries = results["results"].as_array().expect("entries");
    let cells: Vec<Value> = entries.iter().map(|entry| entry["cells"][0].clone()).collect();
    assert_eq!(cells.len(), 2);
    for cell in &cells {
        let counts = (&cell["counted_samples"], &cell["failed_samples"]);
        assert_eq!(counts, (&json!(SAMPLES * RUNS), &json!(0)), "{cell}");
    }
    let rows = workspace.samples("results.json");
    // Nothing is lost, and nothing is counted twice.
    let mut keys: Vec<_> = rows.iter().map(|row| (&row.cell, row.run, &row.sample_id)).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len() as u64, 2 * SAMPLES * RUNS);
    let notes = entries[0]["engine"]["notes"].to_string();
    Measured { cells, rows, notes }
}

/// What every stream has: a first token before the end, chunks with gaps, and tokens that are counted.
fn check_streams(measured: &Measured) {
    for row in &measured.rows {
        let ttft = row.ttft_ns.expect("a stream has a first token");
        assert!(0 < ttft && ttft <= row.latency_ns, "{row:?}");
        assert!((1..=MAX_NEW_TOKENS).contains(&row.output_tokens), "{row:?}");
        assert!(["eos", "length"].contains(&row.outcome.as_str()), "{row:?}");
        // One that reached the limit has that many tokens, by whoever counts them.
        if row.outcome == "length" {
            assert!((MAX_NEW_TOKENS - 1..=MAX_NEW_TOKENS).contains(&row.output_tokens), "{row:?}");
        }
    }
    for cell in &measured.cells {
        let stream = &cell["stream"];
        assert_eq!(stream["requests"], json!(SAMPLES * RUNS));
        let (chunks, gaps) = (stream["chunks"].as_u64(), stream["gap_ms"]["n"].as_u64());
        let (chunks, gaps) = (chunks.expect("counted"), gaps.expect("counted"));
        assert_eq!(gaps, chunks - SAMPLES * RUNS, "one less than chunks, for each request");
        let per_chunk = stream["tokens_per_chunk"].as_f64().expect("tokens are counted");
        assert!((0.8..1.25).contains(&per_chunk), "{stream}");
        assert!(cell["estimates"]["ttft_ms"]["mean"]["value"].is_f64(), "{cell}");
        assert!(cell["estimates"]["tpot_ms"]["mean"]["value"].is_f64(), "{cell}");
    }
}

#[test]
#[ignore = "needs transformers serve: tests/services.sh transformers"]
fn transformers_serve_streams_with_its_usage_as_the_final_event() {
    let (server, model) =
        (variable("FLEETMARK_TEST_TRANSFORMERS"), variable("FLEETMARK_TEST_MODEL"));
    let model = format!("model = \"{model}\"");
    // It sends no `[DONE]`.
    let workspace = Workspace::default();
    workspace.write("matrix.toml", matrix(&server, "", &model));
    let refused = workspace.run(&["run", "matrix.toml"]).expect(2);
    let expected = "check [model.endpoint] done";
    assert!(refused.err.contains(expected), "{}", refused.err);

    let measured = measure(&matrix(&server, "", &format!("{model}\ndone = \"/usage\"")));
    check_streams(&measured);
    assert!(measured.notes.contains("counted by the endpoint"), "{}", measured.notes);
}

#[test]
#[ignore = "needs llama.cpp's server: tests/services.sh llama"]
fn llama_cpp_streams_without_usage_and_the_tokenizer_of_its_file_counts() {
    let (server, file) = (variable("FLEETMARK_TEST_LLAMA"), variable("FLEETMARK_TEST_GGUF"));
    let model = "model = \"smollm2\"";
    // Its streams ignore `stream_options`.
    let workspace = Workspace::default();
    workspace.write("matrix.toml", matrix(&server, "", model));
    let refused = workspace.run(&["run", "matrix.toml"]).expect(2);
    let expected = "if the server doesn't count tokens: output_tokens = \"tokenizer\"";
    assert!(refused.err.contains(expected), "{}", refused.err);

    let tokenizer = format!("tokenizer = \"{file}\"");
    let counted = "input_tokens = \"tokenizer\"\noutput_tokens = \"tokenizer\"";
    let streamed = measure(&matrix(&server, &tokenizer, &format!("{model}\n{counted}")));
    check_streams(&streamed);
    assert!(streamed.notes.contains("tokenizer from the matrix"), "{}", streamed.notes);

    // A document has the server's usage, which the tokenizer agrees with.
    let whole = measure(&matrix(&server, "", &format!("{model}\nstream = false")));
    assert!(whole.rows.iter().all(|row| row.ttft_ns.is_none()), "no stream, no first token");
    assert!(whole.notes.contains("counted by the endpoint"), "{}", whole.notes);
    let tokens = |measured: &Measured| {
        let mut tokens: Vec<(String, i32)> = Vec::new();
        for row in &measured.rows {
            tokens.push((format!("{} {} {}", row.cell, row.run, row.sample_id), row.output_tokens));
        }
        tokens.sort();
        tokens
    };
    for (by_tokenizer, by_server) in tokens(&streamed).iter().zip(tokens(&whole)) {
        assert_eq!(by_tokenizer.0, by_server.0);
        assert!((by_tokenizer.1 - by_server.1).abs() <= 1, "{by_tokenizer:?}, {by_server:?}");
    }
}
