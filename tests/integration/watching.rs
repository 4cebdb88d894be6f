//! Following a running campaign: events as JSON, and viewers of the live page.

use scenarios::{Row, Workspace, columns, repository};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

const QUICKSTART: &str = "examples/quickstart.toml";

fn quickstart() -> String {
    repository(QUICKSTART).display().to_string()
}

/// One HTTP/1.0 request: the server closes the connection after its answer.
fn get(address: &str, path: &str, host: &str, more: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).expect("the page is served");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n{more}\r\n").expect("it reads");
    BufReader::new(stream)
}

fn answer(address: &str, path: &str, host: &str, more: &str) -> String {
    let mut text = Vec::new();
    get(address, path, host, more).read_to_end(&mut text).expect("it answers");
    String::from_utf8_lossy(&text).into_owned()
}

/// All boards of the event stream.
fn boards(address: &str) -> Vec<Value> {
    let lines = get(address, "/events", "localhost", "").lines().map_while(Result::ok);
    lines
        .filter_map(|line| {
            line.strip_prefix("data: ")
                .map(|data| serde_json::from_str(data).expect("a board is JSON"))
        })
        .collect()
}

#[test]
fn viewers_see_a_campaign_until_it_ends() {
    let workspace = Workspace::default();
    let matrix = quickstart();
    let mut running = workspace.start(&[
        "run",
        &matrix,
        "--web",
        "127.0.0.1:0",
        "--data-dir",
        "data",
        "--samples",
        "16",
    ]);
    let line = running.until("live page on http://");
    let address = line.trim().rsplit_once("http://").unwrap().1.trim_end_matches('/').to_owned();
    let at = address.clone();
    let viewers: Vec<_> = (0..10)
        .map(|_| {
            let address = at.clone();
            std::thread::spawn(move || boards(&address))
        })
        .collect();
    let page = answer(&address, "/", "localhost", "");
    assert!(page.contains("<script src=\"/page.js\""), "{page}");
    assert!(page.to_lowercase().contains("content-security-policy: default-src 'none'"), "{page}");
    assert!(answer(&address, "/", "evil.example", "").starts_with("HTTP/1.0 403"));
    assert!(answer(&address, "/", "localhost", "").starts_with("HTTP/1.0 200"));
    // The page is read-only.
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "POST /events HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut refused = String::new();
    stream.read_to_string(&mut refused).unwrap();
    assert!(refused.starts_with("HTTP/1.0 405"), "{refused}");
    let finished = running.finish().expect(0);
    for viewer in viewers {
        let seen = viewer.join().unwrap();
        let last = seen.last().unwrap();
        assert_eq!(last["is_over"], true, "{}", finished.err);
        assert_eq!(last["done"], last["total"]);
        assert!(last["agents"].as_array().unwrap().len() >= 2, "{last}");
        let done: Vec<u64> = seen.iter().filter_map(|board| board["done"].as_u64()).collect();
        assert!(done.is_sorted(), "{done:?}");
    }
}

#[test]
fn off_loopback_a_token_opens_the_page() {
    let workspace = Workspace::default();
    let matrix = quickstart();
    let refused = workspace.run(&["run", &matrix, "--web", "0.0.0.0:0", "--data-dir", "data"]);
    let refused = refused.expect(2);
    assert!(refused.err.contains("--web-token-file"), "{}", refused.err);
    workspace.write("token", "0123456789abcdef0123\n");
    let mut running = workspace.start(&[
        "run",
        &matrix,
        "--web",
        "0.0.0.0:0",
        "--web-token-file",
        "token",
        "--data-dir",
        "data",
        "--samples",
        "16",
    ]);
    let line = running.until("live page on http://");
    let port = line.trim().trim_end_matches('/').rsplit_once(':').unwrap().1.to_owned();
    let address = format!("127.0.0.1:{port}");
    assert!(answer(&address, "/state.json", "localhost", "").starts_with("HTTP/1.0 403"));
    let wrong = answer(&address, "/?token=wrong", "bench", "");
    assert!(wrong.starts_with("HTTP/1.0 403"), "{wrong}");
    let right = answer(&address, "/?token=0123456789abcdef0123", "bench", "");
    assert!(right.starts_with("HTTP/1.0 303") && right.contains("HttpOnly"), "{right}");
    let bearer = "Authorization: Bearer 0123456789abcdef0123\r\n";
    let state = answer(&address, "/state.json", "bench", bearer);
    assert!(state.starts_with("HTTP/1.0 200"), "{state}");
    let finished = running.finish().expect(0);
    assert!(!finished.err.contains("0123456789abcdef0123"), "{}", finished.err);
}

#[test]
fn programs_read_events() {
    let workspace = Workspace::default();
    let matrix = quickstart();
    let finished = workspace
        .run(&[
            "run",
            &matrix,
            "--json",
            "--data-dir",
            "data",
            "--samples",
            "16",
            "--output",
            "r.json",
        ])
        .expect(0);
    let events: Vec<Value> =
        finished.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!((of("began"), of("ended")), (1, 1), "{}", finished.out);
    assert!(of("joined") >= 2 && of("batch") > 4, "{}", finished.out);
    let planned = workspace.results("r.json")["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["cells"].as_array().unwrap().len())
        .sum::<usize>();
    assert_eq!((of("cell_ended"), of("verdict")), (planned, 1), "{}", finished.out);
    let is_timed = |event: &Value| event["time"].as_str().is_some_and(|time| time.ends_with('Z'));
    assert!(events.iter().all(is_timed), "{}", finished.out);
    let verdict = &events[events.len() - 2];
    assert_eq!(verdict["event"], "verdict");
    assert!(verdict["text"].as_str().is_some_and(|text| !text.is_empty()));
    assert!(verdict["gates_passed"].is_null());
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["state"]), (&"ended".into(), &"complete".into()));
    let batches: u64 = events
        .iter()
        .filter(|event| event["event"] == "batch")
        .filter_map(|event| event["samples"].as_u64())
        .sum();
    assert_eq!(batches, workspace.samples("r.json").len() as u64);
}

#[test]
fn every_column_is_documented_and_a_sample_names_its_factors() {
    let workspace = Workspace::default();
    let matrix = quickstart();
    let run = ["run", &matrix, "--quiet", "--data-dir", "data", "--samples", "8", "--runs", "1"];
    let _ = workspace.run(&[&run[..], &["--output", "r.json"]].concat()).expect(0);
    for row in workspace.samples("r.json") {
        let Row { model, dtype, batch_size, target, .. } = &row;
        assert_eq!(row.cell, format!("{model}.{dtype}.b{batch_size}.offline@{target}"));
    }
    let page = std::fs::read_to_string(repository("docs/results.md")).unwrap();
    let report = ["report", "--data-dir", "data", "--formats", "csv", "--output", "-"];
    let csv = workspace.run(&report).expect(0).out;
    let header = csv.lines().next().unwrap().split(',').map(str::to_owned);
    let columns =
        ["r.samples.parquet", "r.cells.parquet"].map(|name| columns(&workspace.path(name)));
    let (of_cells, of_csv) = (columns[1].clone(), header.collect::<Vec<_>>());
    for column in columns.iter().flatten().chain(&of_csv) {
        let name = ["_ci_low", "_ci_high", "_n"]
            .iter()
            .find_map(|part| column.strip_suffix(part))
            .unwrap_or(column);
        assert!(page.contains(&format!("`{name}`")), "docs/results.md lacks `{column}`");
    }
    for column in of_csv.iter().filter(|name| *name != "late_samples") {
        assert!(of_cells.contains(column), "`{column}` has another name in Parquet");
    }
}

#[test]
fn quiet_prints_the_verdict_and_a_report_is_printed_instead_of_written() {
    let workspace = Workspace::default();
    let matrix = quickstart();
    let run = ["run", &matrix, "--quiet", "--data-dir", "data", "--samples", "16", "--runs", "2"];
    let quiet = workspace.run(&run).expect(0);
    assert_eq!(quiet.out.trim_end().lines().count(), 1, "{}", quiet.out);
    assert_eq!(quiet.err, "");
    let report = |more: &[&str], code| {
        let arguments = ["report", "--data-dir", "data", "--output", "-"];
        workspace.run(&[&arguments, more].concat()).expect(code)
    };
    let json: Value = serde_json::from_str(&report(&[], 0).out).unwrap();
    assert_eq!(json["campaign"]["state"], "complete");
    assert!(json["campaign"]["samples_file"].is_null());
    assert!(report(&["--formats", "markdown"], 0).out.contains("tiny"));
    let many = report(&["--formats", "json", "csv"], 2);
    assert!(many.err.contains("--output - writes one format"), "{}", many.err);
    let binary = report(&["--formats", "pdf"], 2);
    assert!(binary.err.contains("`pdf` is not text"), "{}", binary.err);
    assert!(!workspace.path("-").exists());
}
