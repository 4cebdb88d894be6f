//! Bundles of measured campaigns: every kind of row is written, read back, and brings the same figures.

use scenarios::{Workspace, processor, repository, scripted, waiting};

const CERTIFICATE: &str = ".fleetmark/certs/controller.pem";

/// Writes a bundle of the latest campaign and verifies it; gives what `verify` said.
fn verified(workspace: &Workspace, more: &[&str]) -> String {
    let _ =
        workspace.run(&[&["bundle", "latest", "--output", "made.tar"], more].concat()).expect(0);
    let verified = workspace.run(&["verify", "made.tar", "--certificate", CERTIFICATE]).expect(0);
    assert!(verified.out.contains(", 0 differ\n"), "{}", verified.out);
    verified.out
}

#[test]
fn a_measured_campaign_verifies_with_and_without_its_texts() {
    let _processor = processor();
    let workspace = Workspace::default();
    let matrix = repository("examples/quickstart.toml");
    let matrix = matrix.to_str().expect("the path is UTF-8");
    let arguments = ["run", matrix, "--samples", "12", "--runs", "2", "--batch-sizes", "1", "2"];
    let _ = workspace.run(&arguments).expect(0);
    let _ = workspace.run(&["certs", "init"]).expect(0);

    let said = verified(&workspace, &["--texts"]);
    assert!(!said.contains("not recomputed"), "{said}");
    let said = verified(&workspace, &[]);
    let expected = "not recomputed without texts: comparisons[";
    assert!(said.contains(expected), "token agreement rests on texts: {said}");

    let mut bytes = std::fs::read(workspace.path("made.tar")).expect("it was written");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(workspace.path("made.tar"), bytes).expect("the folder is writable");
    let refused = workspace.run(&["verify", "made.tar", "--certificate", CERTIFICATE]).expect(1);
    assert!(refused.out.starts_with("not verified: "), "{}", refused.out);
}

/// Every kind of row: batches, requests that arrive or find a full queue, and windows.
const LOADS: &str = r#"
[factors]
batch_sizes = [2]
scenarios = ["offline", "server", "stress"]
[protocol]
warmup = 1
runs = 2
server = { request_rates = [400], max_queue = 5 }
stress = { duration = "10m", concurrency = 4 }
[slo]
request_latency_ms = 100
percentile = 90
"#;
const SCRIPT: &str = r#"{"prompt_ms": 4, "token_ms": 1, "output_tokens": 7}"#;

/// Requests that arrive, fail at a full queue or repeat for a time have columns and files of their own.
#[test]
fn loads_verify() {
    let matrix = scripted::matrix("loads", 60, LOADS) + scripted::HERE;
    let workspace = scripted::workspace(SCRIPT, &matrix);
    let _ = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let _ = workspace.run(&["certs", "init"]).expect(0);
    let not_sent = &workspace.results("results.json")["results"][1]["cells"][0]["not_sent"];
    assert!(not_sent.as_u64() > Some(0), "some requests find the queue full: {not_sent}");
    let said = verified(&workspace, &["--texts"]);
    assert!(!said.contains("not recomputed"), "{said}");
}

/// Every kind of row is signed: samples of batches, requests that arrive or find a full queue, and windows.
#[test]
fn loads_are_signed_by_an_agent_with_a_certificate() {
    let matrix = scripted::matrix("signed", 60, LOADS) + waiting::THERE;
    let workspace = scripted::workspace(SCRIPT, &matrix);
    let (running, port) = waiting::over_tls(&workspace, "");
    let url = format!("https://127.0.0.1:{port}");
    let join = ["join", "--controller", &url, "--target", "there", "--threads", "1"];
    let own = ["--ca", "certs/ca.pem", "--cert", "certs/agent.pem", "--key", "certs/agent.key"];
    let _ = workspace.start_agent(&[&join[..], &own].concat()).finish().expect(0);
    let _ = running.finish().expect(0);
    let bundle = ["bundle", "latest", "--key", "certs/controller.key", "--output", "made.tar"];
    let _ = workspace.run(&bundle).expect(0);
    let verify = ["verify", "made.tar", "--certificate", "certs/controller.pem"];
    let verified =
        workspace.run(&[&verify[..], &["--agent-ca", "certs/ca.pem"]].concat()).expect(0);
    let line = verified.out.lines().find(|line| line.starts_with("agents ")).expect("it is there");
    let counts: Vec<&str> =
        line.split_whitespace().filter(|word| word.parse::<u32>().is_ok()).collect();
    assert!(counts.len() == 2 && counts[0] == counts[1] && counts[0] != "0", "{line}");
    assert!(line.ends_with("; all verify, issued by certs/ca.pem"), "{line}");
}
