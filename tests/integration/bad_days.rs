//! Campaigns against an endpoint on a bad day: none hangs, each failure has its class, and the exit code tells whether
//! anything was measured.

use scenarios::bad_endpoint::{Asked, BadEndpoint, Reply};
use scenarios::{Finished, Workspace};
use serde_json::{Value, json};

const TEXT: &str = "answer = \"/choices/0/text\"";
/// All JSON pointers of [`answer`].
const ALL: &str = r#"
answer = "/choices/0/text"
input_tokens = "/usage/prompt_tokens"
output_tokens = "/usage/completion_tokens"
finish = "/choices/0/finish_reason"
server_ms = "/server_ms""#;

fn answer(text: &str, finish: &str) -> String {
    let choice = json!({ "text": text, "finish_reason": finish });
    let usage = json!({ "prompt_tokens": "9", "completion_tokens": 2.0 });
    json!({ "choices": [choice], "usage": usage, "server_ms": 0 }).to_string()
}

fn ok() -> Reply {
    Reply::new("200 OK", answer("ok fine", "stop"))
}

struct Day {
    ended: Finished,
    /// None where nothing was measured.
    cell: Option<Value>,
    asked: u64,
}

impl Day {
    /// 24 requests, one after the other, after the trial request.
    fn at(pointers: &str, script: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> Self {
        let (workspace, endpoint) = (Workspace::default(), BadEndpoint::start(script));
        let matrix = format!(
            r#"
name = "bad-day"
[dataset]
source = "builtin:dialogues"
samples = 12
[[model]]
name = "served"
id = "{}"
[model.endpoint]
request = {{ prompt = "{{prompt}}" }}
timeout = "1s"
{pointers}
[factors]
batch_sizes = [1]
[protocol]
runs = 2
warmup = 0
[[fleet.local]]
target = "behind"
threads = 1
usd_per_hour = 0.36
"#,
            endpoint.url
        );
        workspace.write("matrix.toml", matrix);
        let ended = workspace.run(&["run", "matrix.toml", "--output", "results.json"]);
        let results = workspace.path("results.json");
        let cell = results.exists().then(|| {
            let mut results = workspace.results("results.json");
            results["results"][0]["cells"][0].take()
        });
        Self { ended, cell, asked: endpoint.asked() }
    }

    /// The cell, after this exit code, with the status for its failures, which are counted by class.
    fn expect(&self, code: i32, status: Option<&str>, failed_by: &Value) -> &Value {
        let Finished { code: found, out, err } = &self.ended;
        assert_eq!(*found, Some(code), "stdout:\n{out}\nstderr:\n{err}");
        let cell = self.cell.as_ref().expect("results are written");
        let reasons = cell["validity"]["reasons"].as_array().expect("reasons");
        let failed = reasons.iter().find(|reason| reason["code"] == "failed_requests");
        let found = failed.map(|reason| reason["status"].as_str().expect("a status"));
        assert_eq!((found, &cell["failed_by"]), (status, failed_by), "{out}");
        for (class, count) in failed_by.as_object().expect("classes") {
            assert!(out.contains(&format!("{count} {class}")), "{out}");
        }
        cell
    }

    /// An error before anything was measured, with all of these words.
    fn refused(&self, words: &[&str]) {
        let Finished { code, out, err } = &self.ended;
        assert_eq!(*code, Some(2), "stdout:\n{out}\nstderr:\n{err}");
        words.iter().for_each(|word| assert!(err.contains(word), "{word} in\n{err}"));
        assert!(self.cell.as_ref().is_none_or(Value::is_null), "{:?}", self.cell);
    }
}

/// What the first requests get, and then all others.
fn at_first(count: u64, first: Reply, then: Reply) -> impl Fn(Asked) -> Reply {
    move |asked| if asked.number <= count { first.clone() } else { then.clone() }
}

#[test]
fn an_endpoint_that_starts_or_throttles_at_first_is_waited_for() {
    let busy = [
        Reply::new("503 Service Unavailable", r#"{"error": "loading", "estimated_time": 5.0}"#),
        Reply::with("429 Too Many Requests", "retry-after: 1\r\n", "later"),
        Reply::new("504 Gateway Timeout", "later"),
        Reply::new("424 Failed Dependency", r#"{"OriginalStatusCode": 503}"#),
        Reply::new("200 OK", r#"{"error": {"message": "overloaded", "code": 503}}"#),
    ];
    for busy in busy {
        let day = Day::at(ALL, at_first(2, busy, ok()));
        day.expect(0, None, &json!({}));
        assert_eq!(day.asked, 2 + 1 + 24);
    }
}

#[test]
fn every_failure_has_its_class() {
    let failed =
        |reply: Reply| move |asked: Asked| if asked.number == 1 { ok() } else { reply.clone() };
    let container = |status: u16| {
        let body = json!({ "ErrorCode": "CLIENT_ERROR_FROM_MODEL", "OriginalStatusCode": status });
        Reply::new("424 Failed Dependency", body.to_string())
    };
    let error = |code: u16| Reply::new("200 OK", json!({ "error": { "code": code } }).to_string());
    for (reply, class) in [
        (Reply::new("500 Internal Server Error", "{}"), "server_error"),
        (Reply::new("429 Too Many Requests", "{}"), "throttled"),
        (Reply::new("404 Not Found", "{}"), "rejected"),
        (container(503), "server_error"),
        (container(429), "throttled"),
        (container(400), "rejected"),
        (error(503), "server_error"),
        (error(429), "throttled"),
        (Reply::new("200 OK", r#"{"error": "no"}"#), "answer"),
        (Reply::new("200 OK", "<html>sign in</html>"), "answer"),
        (Reply::new("200 OK", answer("", "stop")), "empty"),
        (Reply::new("200 OK", answer("", "abort")), "aborted"),
        (Reply::new("200 OK", answer("ok", "content_filter")), "filtered"),
        (Reply::events(&["ok", "fine"]), "answer"),
        (ok().cut(), "unreachable"),
        (Reply::nothing(), "unreachable"),
    ] {
        Day::at(ALL, failed(reply)).expect(1, Some("INVALID"), &json!({ class: 24 }));
    }
}

#[test]
fn a_stalled_answer_ends_at_its_timeout() {
    let script = |asked: Asked| if asked.number == 5 { ok().stalling() } else { ok() };
    let day = Day::at(ALL, script);
    let cell = day.expect(0, Some("DEGRADED"), &json!({ "timed_out": 1 }));
    assert_eq!(cell["counted_samples"], 23);
}

#[test]
fn an_endpoint_without_summaries_is_measured_and_its_trial_noted() {
    for (text, finish, class) in
        [("", "stop", "empty"), ("", "abort", "aborted"), ("", "content_filter", "filtered")]
    {
        let reply = Reply::new("200 OK", answer(text, finish));
        let day = Day::at(ALL, move |_| reply.clone());
        day.expect(1, Some("INVALID"), &json!({ class: 24 }));
        assert!(day.ended.err.contains("no request returned a summary"), "{}", day.ended.err);
    }
}

#[test]
fn the_share_of_failures_decides_between_degraded_and_invalid() {
    for (failures, status) in [(1, "DEGRADED"), (2, "INVALID")] {
        let script = move |asked: Asked| {
            let finish = if (2..2 + failures).contains(&asked.number) { "abort" } else { "stop" };
            Reply::new("200 OK", answer("ok", finish))
        };
        let day = Day::at(ALL, script);
        day.expect(0, Some(status), &json!({ "aborted": failures }));
    }
}

#[test]
fn connections_that_close_after_an_answer_or_before_one_are_counted_and_replaced() {
    let closing = Day::at(ALL, |_| ok().closing());
    let cell = closing.expect(0, None, &json!({}));
    assert_eq!(
        (&cell["http"]["reconnects"], &cell["http"]["connect_ms"]["n"]),
        (&json!(23), &json!(24))
    );
    let told = "23 requests went to a new connection";
    assert!(closing.ended.out.contains(told), "{}", closing.ended.out);
    // Every second request of a connection is read, and not answered.
    let silent =
        Day::at(ALL, |asked| if asked.on_connection == 1 { ok() } else { Reply::nothing() });
    let cell = silent.expect(0, None, &json!({}));
    assert_eq!(cell["http"]["reconnects"], 23);
    assert_eq!(silent.asked, 1 + 24 + 23);
    // An announced end is none.
    let announced = Day::at(ALL, |_| {
        Reply::with("200 OK", "connection: close\r\n", answer("ok fine", "stop")).closing()
    });
    let cell = announced.expect(0, None, &json!({}));
    assert_eq!(
        (&cell["http"]["reconnects"], &cell["http"]["connect_ms"]["n"]),
        (&json!(0), &json!(24))
    );
}

#[test]
fn counts_with_a_fraction_or_as_text_and_a_byte_order_mark_are_read() {
    let marked = ["\u{feff}", &answer("ok fine", "stop")].concat();
    let day = Day::at(ALL, move |_| Reply::new("200 OK", &marked));
    let cell = day.expect(0, None, &json!({}));
    assert_eq!(cell["estimates"]["output_tokens"]["mean"], 2.0);
    assert_eq!(cell["estimates"]["input_tokens"]["mean"], 9.0);
}

#[test]
fn wrong_pointers_and_streams_end_the_campaign_before_anything_is_measured() {
    let wrong = ALL
        .replace("completion_tokens", "tokens")
        .replace("finish_reason", "text")
        .replace("/server_ms", "/choices");
    let day = Day::at(&wrong, |_| ok());
    day.refused(&[
        "output_tokens: nothing at /usage/tokens: /usage holds `prompt_tokens`, `completion_tokens`",
        "finish: /choices/0/text holds `\"ok fine\"`, expected a finish reason",
        "server_ms: /choices holds a list of 1 item, expected milliseconds",
    ]);
    assert_eq!(day.asked, 1);
    Day::at("answer = \"/choices/0/txt\"", |_| ok())
        .refused(&["nothing at /choices/0/txt: /choices/0 holds `text`, `finish_reason`"]);
    Day::at(TEXT, |_| Reply::events(&["ok"]))
        .refused(&["a stream of events", "turn streaming off"]);
    Day::at(TEXT, |_| ok().stalling()).refused(&["no complete response within 1 s"]);
    Day::at(TEXT, |_| Reply::new("424 Failed Dependency", r#"{"OriginalStatusCode": 400}"#))
        .refused(&["rejected: 424 Failed Dependency"]);
}
