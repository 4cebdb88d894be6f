//! The binary as users meet it: help, results, errors and exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_agent"))
        .args(arguments)
        .env("COLUMNS", "100")
        // No test here asks anybody else.
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HUB_CACHE", "/none")
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_reads_as_it_did() {
    for (name, arguments) in [
        ("help", &["--help"][..]),
        ("generate", &["generate", "--help"]),
        ("bench", &["bench", "--help"]),
        ("serve", &["serve", "--help"]),
        ("doctor", &["doctor", "--help"]),
    ] {
        let output = agent(arguments);
        assert_eq!(output.status.code(), Some(0));
        insta::assert_snapshot!(name, String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn generate_writes_a_line_for_each_line_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(
        path("in.jsonl"),
        "{\"id\": \"a\", \"dialogue\": \"Ann: Hi\"}\n\n{\"id\": 7, \"input_ids\": [5, 6, 1], \"more\": 0}\n",
    )
    .unwrap();
    let output = agent(&[
        "generate",
        "--model",
        "builtin:tiny",
        "--batch-size",
        "2",
        "--max-new-tokens",
        "3",
        "--input",
        &path("in.jsonl"),
        "--output",
        &path("out.jsonl"),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<serde_json::Value> = fs::read_to_string(path("out.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: Vec<_> = lines.iter().map(|line| line["id"].clone()).collect();
    assert_eq!(ids, [serde_json::json!("a"), serde_json::json!(7)]);
    assert_eq!(lines[1]["input_tokens"], 3);
    for line in lines {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["id", "output_ids", "text", "input_tokens", "finish"]);
        assert!(line["text"].is_string());
    }
}

#[test]
fn bench_prints_one_line_of_json_per_batch_size() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.jsonl");
    fs::write(&input, "{\"id\": 1, \"dialogue\": \"Ann: Hi\"}\n".repeat(3)).unwrap();
    let output = agent(&[
        "bench",
        "--model",
        "builtin:tiny",
        "--batch-size",
        "1,2",
        "--new-tokens",
        "2",
        "--threads",
        "1",
        "--samples",
        "3",
        "--json",
        "--input",
        input.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    for (line, batch_size) in lines.iter().zip([1, 2]) {
        assert_eq!(line["batch_size"], batch_size);
        assert_eq!((&line["samples"], &line["new_tokens"]), (&3.into(), &2.into()));
        assert!(line["samples_per_s"].as_f64().unwrap() > 0.0);
        let roofline = line["roofline"].as_object().unwrap();
        for key in ["bytes_per_token", "operations_per_token", "bandwidth_gb_per_s"] {
            assert!(roofline[key].as_f64().unwrap() > 0.0, "{key}");
        }
        assert!(roofline["peak_gop_per_s"]["f32"].as_f64().unwrap() > 0.0);
        let (limit, share) = (&roofline["limit_samples_per_s"], &roofline["share_of_limit"]);
        let reached = limit.as_f64().unwrap() * share.as_f64().unwrap();
        assert!((reached / line["samples_per_s"].as_f64().unwrap() - 1.0).abs() < 1e-9);
        assert!(
            line["batch_ms"]["p95"].as_f64().unwrap() >= line["batch_ms"]["p50"].as_f64().unwrap()
        );
    }
}

#[test]
fn input_in_any_encoding_is_read() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let text = "\u{feff}{\"id\": \"a\", \"dialogue\": \"Ann: Café?\"}\r\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let utf_16 = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut written = Vec::new();
    for bytes in [text.as_bytes()[3..].to_vec(), text.into(), utf_16, gzip.finish().unwrap()] {
        fs::write(path("in.jsonl"), bytes).unwrap();
        let model = ["--model", "builtin:tiny", "--input", &path("in.jsonl")];
        let more = ["--max-new-tokens", "3", "--output", &path("out.jsonl")];
        let output = agent(&[&["generate"], &model[..], &more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        written.push(fs::read_to_string(path("out.jsonl")).unwrap());
        let more = ["--new-tokens", "2", "--samples", "1", "--threads", "1"];
        let output = agent(&[&["bench"], &model[..], &more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    assert!(written.iter().all(|summary| *summary == written[0]), "{written:?}");
}

#[test]
fn user_errors_exit_with_2_and_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.jsonl");
    let run = |model: &str, more: &[&str], text: &[u8]| {
        fs::write(&input, text).unwrap();
        let (input, output) = (input.to_str().unwrap(), folder.path().join("out.jsonl"));
        let fixed =
            ["generate", "--input", input, "--output", output.to_str().unwrap(), "--model", model];
        let output = agent(&[&fixed[..], more].concat());
        assert_eq!(output.status.code(), Some(2), "{model} {more:?}");
        stderr(&output).replace(folder.path().to_str().unwrap(), "DIR")
    };
    let dialogue = br#"{"id": "a", "dialogue": "Ann: Hi"}"#;
    let relu = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/relu-tied");
    let relu = relu.to_str().unwrap();
    let said = [
        run("./none", &[], dialogue),
        run("google/flan-t5-small", &[], dialogue),
        run("builtin:small", &[], dialogue),
        run("dummy:flan-t5-small", &[], dialogue),
        run("builtin:tiny", &["--dtype", "fp8"], dialogue),
        run("builtin:tiny", &["--tokenizer", "./none.json"], dialogue),
        run("builtin:tiny", &[], b""),
        run("builtin:tiny", &[], b"\xff\xff"),
        run("builtin:tiny", &[], b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        run("builtin:tiny", &[], b"{}\n{\"id\": 1}"),
        run("builtin:tiny", &[], b"[1, 2"),
        run(relu, &[], br#"{"id": "a", "input_ids": []}"#),
        run(relu, &[], br#"{"id": "a", "input_ids": [5, 320]}"#),
    ];
    insta::assert_snapshot!(said.join("\n"));
}
