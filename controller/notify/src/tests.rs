//! The forms of each channel as golden text, what hostile names do to them, and secrets.

use super::*;
use crate::message::{File, Line, Message};
use matrix::{self, Occasion};
use model::text::{LineBreaks, printable};
use proptest::prelude::*;
use serde_json::Value;
use stats::Estimate;
use stats::validity::Status;

fn line(target: &str, usd: f64) -> Line {
    Line {
        target: target.to_owned(),
        model: "base".to_owned(),
        dtype: "f32".to_owned(),
        num_beams: None,
        prompt_lookup_num_tokens: None,
        scenario: "offline".to_owned(),
        batch_size: 8,
        status: Status::Valid,
        usd_per_1000_requests: Estimate::within(usd, (usd * 0.9, usd * 1.1), 3),
        throughput: Estimate::within(12.5, (12.0, 13.0), 3),
        p95_ms: Estimate::missing(40, stats::Limitation::NothingMeasured),
    }
}

fn message() -> Message {
    Message {
        occasion: Occasion::Complete,
        campaign: "t4-vs-m5-20261123-120000-000".to_owned(),
        title: "t4-vs-m5: complete".to_owned(),
        verdict: "ml.m5.xlarge costs 12 % less, between 10 and 14 % (these two machines)"
            .to_owned(),
        lines: vec![line("ml.m5.xlarge", 0.0051), line("ml.g4dn.xlarge", 0.0058)],
        more_lines: 0,
        notes: vec!["768 of 768 samples counted over 48 dialogues".to_owned()],
        link: Some("https://reports.example.com/t4?a=1&b=2".to_owned()),
        files: Vec::new(),
        is_test: false,
    }
}

fn file(name: &str, url: &str) -> File {
    File { name: name.to_owned(), address: format!("s3://bucket/runs/{name}"), url: url.to_owned() }
}

fn with_files() -> Message {
    let url = |name: &str| {
        format!(
            "https://console.aws.amazon.com/s3/object/bucket?region=eu-west-1&prefix=runs%2F{name}"
        )
    };
    let files = ["report.html", "results.json"].map(|name| file(name, &url(name)));
    Message { link: None, lines: Vec::new(), notes: Vec::new(), ..message() }.with(&files)
}

/// Names and sentences that are out to break a page, a card or a channel.
fn hostile() -> Message {
    let name = "<!channel> <b>*bold*</b> \"quoted\" & [link](https://x.example) `code` 🎉";
    Message {
        title: name.to_owned(),
        verdict: name.repeat(5),
        lines: vec![line(name, 1.0); 20],
        notes: vec![name.to_owned(); 10],
        more_lines: 7,
        ..message()
    }
}

fn pretty(body: &str) -> String {
    let body: Value = serde_json::from_str(body).expect("a body is JSON");
    serde_json::to_string_pretty(&body).expect("JSON can be written")
}

#[test]
fn the_forms_are_as_they_were() {
    insta::assert_snapshot!("slack", pretty(&slack::body(&message())));
    insta::assert_snapshot!("teams", pretty(&teams::body(&message())));
    insta::assert_snapshot!("webhook", pretty(&webhook::body(&message())));
    insta::assert_snapshot!("email_text", email::text(&message()));
}

#[test]
fn files_in_s3_are_linked_on_every_channel() {
    insta::assert_snapshot!("slack_files", pretty(&slack::body(&with_files())));
    insta::assert_snapshot!("teams_files", pretty(&teams::body(&with_files())));
    insta::assert_snapshot!("webhook_files", pretty(&webhook::body(&with_files())));
    insta::assert_snapshot!("email_text_files", email::text(&with_files()));
}

#[test]
fn long_links_stay_whole_or_away() {
    let url =
        format!("https://bucket.s3.amazonaws.com/x?X-Amz-Security-Token={}", "t".repeat(2_500));
    let files: Vec<File> = (0..9).map(|at| file(&format!("file-{at}"), &url)).collect();
    let message = hostile().with(&files);
    let slack = slack::body(&message);
    assert_eq!(slack.matches(&url).count(), 9);
    let teams = teams::body(&message);
    assert!(teams.len() <= 20_000, "{} bytes", teams.len());
    assert_eq!(
        teams.matches("](https://bucket.").count(),
        teams.matches(&format!("{url})")).count()
    );
}

#[test]
fn slack_keeps_its_limits_and_pings_nobody() {
    let body = slack::body(&hostile());
    let body: Value = serde_json::from_str(&body).unwrap();
    assert!(!body["text"].as_str().unwrap().contains("<!"));
    let blocks = body["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    for block in blocks {
        let texts = [&block["text"]["text"], &block["elements"][0]["text"]];
        let limit = if block["type"] == "header" { 150 } else { 3_000 };
        for text in texts.into_iter().filter_map(Value::as_str) {
            assert!((1..=limit).contains(&text.chars().count()), "{text}");
            // A header is plain text, where Slack reads no commands.
            assert!(block["type"] == "header" || !text.contains("<!"), "{text}");
        }
    }
}

#[test]
fn teams_gets_what_fits() {
    let mut long = hostile();
    let most = "x<*".repeat(200);
    for line in &mut long.lines {
        line.target.clone_from(&most);
        line.model.clone_from(&most);
    }
    let body = teams::body(&long);
    assert!(body.len() <= 20_000, "{} bytes", body.len());
    assert!(body.contains("more in the report"));
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["attachments"][0]["content"]["version"], "1.4");
}

proptest! {
    #[test]
    fn text_of_any_kind_becomes_one_plain_line(text in any::<String>()) {
        let plain = message::plain(&text);
        prop_assert!(plain.chars().count() <= 600);
        prop_assert_eq!(printable(&plain, LineBreaks::Escaped), plain.as_str());
    }

    #[test]
    fn any_text_makes_valid_bodies(text in any::<String>()) {
        let plain = message::plain(&text);
        let message = Message { title: plain.clone(), verdict: plain.clone(), notes: vec![plain], ..message() };
        for body in [slack::body(&message), teams::body(&message), webhook::body(&message)] {
            prop_assert!(serde_json::from_str::<Value>(&body).is_ok());
        }
    }
}

#[test]
fn a_secret_shows_nowhere() {
    let notify = matrix::Notify {
        channels: vec![Channel::Slack(matrix::Hook { url_env: "HOOK".to_owned() })],
        ..matrix::Notify::default()
    };
    let recipients =
        Recipients::prepare(&notify, &|_| Some("https://hooks.example/T0/secret".to_owned()));
    assert!(!format!("{recipients:?}").contains("T0"), "{recipients:?}");
}

/// Serves one request with an answer that echoes its path and query.
fn echo() -> std::net::SocketAddr {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it is called");
        let mut reader = BufReader::new(stream.try_clone().expect("it is open"));
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).expect("a request begins with its path");
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header");
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a number");
            }
            if line.trim().is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length]).expect("the body");
        let path = first.split(' ').nth(1).expect("a path").to_owned();
        let body =
            format!("no hook\r\n::error::{path} {{\"path\": \"{}\"}}", path.replace('/', "\\/"));
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 404 Not Found\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .expect("the client reads");
    });
    address
}

#[tokio::test]
async fn an_answer_that_echoes_the_address_shows_no_part_of_it() {
    let address = format!("http://{}/services/T0secret/B0secret?sig=s1gnature", echo());
    let hook = matrix::Hook { url_env: "HOOK".to_owned() };
    let notify =
        matrix::Notify { channels: vec![Channel::Slack(hook)], ..matrix::Notify::default() };
    let recipients = Recipients::prepare(&notify, &|_| Some(address.clone())).unwrap();
    let recipient = recipients.iter().next().unwrap();
    let now = chrono::DateTime::UNIX_EPOCH;
    let Delivery::Failed(reason) = recipients.deliver(recipient, &message(), &[], now).await else {
        panic!("404 is a failure");
    };
    assert!(reason.starts_with("the server answered 404: no hook\\r\\n::error::"), "{reason}");
    for secret in ["services", "T0secret", "B0secret", "s1gnature"] {
        assert!(!reason.contains(secret), "{reason}");
    }
}

#[test]
fn the_password_of_a_mail_server_is_redacted_in_its_answer() {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    let email = matrix::Email {
        host: "mail.example.com".to_owned(),
        port: 587,
        tls: matrix::Tls::Starttls,
        ca: None,
        username: Some("me".to_owned()),
        password_env: Some("PASSWORD".to_owned()),
        from: "me@example.com".to_owned(),
        to: vec!["you@example.com".to_owned()],
        max_attachment_mb: 10,
    };
    let mailer = email::Mailer::new(&email, Secret::new("hunter22")).unwrap();
    assert!(!format!("{mailer:?}").contains("hunter22"), "{mailer:?}");
    let sent = [
        "hunter22".to_owned(),
        BASE64_STANDARD.encode("hunter22"),
        BASE64_STANDARD.encode("\0me\0hunter22"),
    ];
    let refused =
        retry::Answer::Refused { reason: format!("535 bad {}", sent.join(" ")), is_passing: false };
    let expected =
        retry::Answer::Refused { reason: "535 bad … … …".to_owned(), is_passing: false };
    assert_eq!(mailer.redacted(refused), expected);
}

#[test]
fn every_channel_that_lacks_its_secret_is_named_at_once() {
    let hook = |name: &str| matrix::Hook { url_env: name.to_owned() };
    let notify = matrix::Notify {
        channels: vec![
            Channel::Slack(hook("ONE")),
            Channel::Slack(hook("TWO")),
            Channel::Teams(hook("THREE")),
        ],
        ..matrix::Notify::default()
    };
    let environment =
        |variable: &str| (variable == "TWO").then(|| "http://example.com/x".to_owned());
    let errors = Recipients::prepare(&notify, &environment).unwrap_err();
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("missing_secrets", text.join("\n"));
}
