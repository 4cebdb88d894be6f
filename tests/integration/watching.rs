//! Following a running campaign: events as JSON, and viewers of the live page.

use scenarios::{Workspace, repository};
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
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["state"]), (&"ended".into(), &"complete".into()));
    let batches: u64 = events
        .iter()
        .filter(|event| event["event"] == "batch")
        .filter_map(|event| event["samples"].as_u64())
        .sum();
    assert_eq!(batches, workspace.samples("r.json").len() as u64);
}
