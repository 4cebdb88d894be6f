//! Both doctors against real files, ports and certificates, a hub on loopback, and a controller that serves TLS.

use scenarios::hub::Hub;
use scenarios::{Finished, Workspace, waiting};
use serde_json::Value;

const MATRIX: &str = r#"
name = "looked-at"
[dataset]
source = "builtin:dialogues"
samples = 4
[[model]]
name = "hub"
id = "org/tiny"
[factors]
batch_sizes = [2]
[protocol]
runs = 1
warmup = 0
[[fleet.local]]
target = "here"
threads = 1
usd_per_hour = 0.1
[notify.slack]
url_env = "FLEETMARK_TEST_SLACK"
"#;

/// Findings as `(what, status, detail and remedy)`.
fn findings(finished: &Finished) -> Vec<(String, String, String)> {
    let seen: Value = serde_json::from_str(&finished.out).expect("it prints JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = seen["findings"].as_array().expect("findings").iter();
    all.map(|it| {
        let words = format!("{} -> {}", text(&it["detail"]), text(&it["remedy"]));
        (text(&it["what"]), text(&it["status"]), words)
    })
    .collect()
}

/// What was found of one thing.
fn of<'f>(found: &'f [(String, String, String)], what: &str) -> Vec<(&'f str, &'f str)> {
    let its = found.iter().filter(|(name, ..)| name == what);
    its.map(|(_, status, words)| (status.as_str(), words.as_str())).collect()
}

fn hub() -> Hub {
    let files = ["config.json", "model.safetensors", "tokenizer.json"];
    files.into_iter().fold(Hub::start(), |hub, file| hub.with("models/org/tiny", file, "{}"))
}

#[test]
fn the_controllers_doctor_checks_the_needs_of_a_matrix() {
    let (workspace, hub) = (Workspace::default(), hub());
    workspace.write("matrix.toml", MATRIX);
    let doctor = |arguments: &[&str], slack: &str, code| {
        let all = [&["doctor", "matrix.toml", "--json"], arguments].concat();
        let mut command = workspace.controller(&all);
        hub.at(command.env("FLEETMARK_TEST_SLACK", slack), &workspace);
        findings(&Finished::of(&mut command).expect(code))
    };
    // Slack's secret is missing: a campaign would be refused.
    let found = doctor(&[], "", 1);
    assert!(
        matches!(of(&found, "notify")[..], [("trouble", words)] if words.contains("FLEETMARK_TEST_SLACK"))
    );
    for what in ["dataset", "model", "prices", "agent", "database", "listen", "threads"] {
        assert!(matches!(of(&found, what)[..], [("ok", _)]), "{what}: {found:?}");
    }
    assert!(!workspace.path(".fleetmark").exists(), "a doctor writes nothing");

    // Listening off loopback requires certificates.
    let arguments = ["--listen", "0.0.0.0:0"];
    let found = doctor(&arguments, "http://127.0.0.1:9/hook", 1);
    assert!(
        matches!(of(&found, "certificates")[..], [("trouble", words)] if words.contains("certs init"))
    );
    let _ =
        workspace.run(&["certs", "init", "--host", "bench.example.com", "--days", "3"]).expect(0);
    let found = doctor(&arguments, "http://127.0.0.1:9/hook", 1);
    assert!(
        matches!(of(&found, "certificates")[..], [("ok", words)] if words.contains("bench.example.com"))
    );
    let ends = of(&found, "certificate");
    assert_eq!(ends.iter().filter(|(status, _)| *status == "trouble").count(), 2, "{ends:?}");
    assert!(
        ends.iter().any(|(_, words)| words.contains("controller certs controller")),
        "{ends:?}"
    );
}

#[test]
fn a_port_in_use_and_a_missing_matrix_are_reported() {
    let workspace = Workspace::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address").to_string();
    let found = findings(&workspace.run(&["doctor", "--json", "--listen", &address]).expect(1));
    assert!(
        matches!(of(&found, "listen")[..], [("trouble", words)] if words.contains("--listen")),
        "{found:?}"
    );
    let _ = workspace.run(&["doctor", "none.toml"]).expect(2);
}

#[test]
fn the_agents_doctor_reaches_for_a_controller_and_a_model() {
    let (workspace, hub) = (Workspace::default(), hub());
    workspace.write("matrix.toml", waiting::matrix("served", waiting::THERE));
    let _ = workspace.run(&["certs", "init", "--dir", "other"]).expect(0);
    let (running, port) = waiting::over_tls(&workspace, "");
    let url = format!("https://127.0.0.1:{port}");
    let doctor = |arguments: &str| {
        let all = format!("doctor --json --controller {url} {arguments}");
        let all: Vec<&str> = all.split_whitespace().collect();
        findings(&Finished::of(hub.at(&mut workspace.agent(&all), &workspace)).expect(1))
    };
    let own = "--cert certs/agent.pem --key certs/agent.key";
    let found = doctor(&format!("--ca certs/ca.pem {own} --model org/tiny --adapter org/none"));
    for what in ["controller", "controller_identity", "model"] {
        assert!(matches!(of(&found, what)[..], [("ok", _)]), "{what}: {found:?}");
    }
    assert_eq!(of(&found, "certificate").len(), 2);
    assert!(matches!(of(&found, "adapter")[..], [("trouble", _)]), "{found:?}");
    assert!(!hub.log().iter().any(|line| line.contains("/resolve/")), "a doctor fetches no file");

    let identity = |arguments: &str, words: &str| {
        let found = doctor(arguments);
        let told = of(&found, "controller_identity");
        assert!(
            matches!(told[..], [("trouble", told)] if told.contains(words)),
            "{arguments}: {told:?}"
        );
    };
    identity("", "--ca");
    identity(&format!("--ca other/ca.pem {own}"), "is not signed by the CA in --ca");
    let foreign = "--ca certs/ca.pem --cert other/agent.pem --key other/agent.key";
    identity(foreign, "rejected the certificate in --cert");
    running.signal("INT");
    let _ = running.finish().expect(3);
}
