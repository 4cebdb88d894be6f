//! Parses a response into the summary and its metadata. Pure.

use hyper::HeaderMap;
use model::{endpoint::Endpoint, sample::Finish};
use serde_json::Value;

/// Finish reasons of a summary cut by its limit.
const LENGTH: [&str; 2] = ["length", "max_tokens"];

/// JSON pointers to the fields of a response.
#[derive(Debug)]
pub(super) struct ResponseFields {
    answer: String,
    input_tokens: Option<String>,
    output_tokens: Option<String>,
    finish: Option<String>,
    server_ms: Option<String>,
}

/// A parsed response. `None`: not reported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) text: String,
    pub(super) input_tokens: Option<u32>,
    pub(super) output_tokens: Option<u32>,
    pub(super) finish: Option<Finish>,
    pub(super) server_ns: Option<u64>,
}

impl ResponseFields {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        Self {
            answer: endpoint.answer.clone(),
            input_tokens: endpoint.input_tokens.clone(),
            output_tokens: endpoint.output_tokens.clone(),
            finish: endpoint.finish.clone(),
            server_ms: endpoint.server_ms.clone(),
        }
    }

    pub(super) fn read(&self, body: &[u8]) -> Result<Parsed, String> {
        let answer: Value =
            serde_json::from_slice(body).map_err(|error| format!("not JSON ({error})"))?;
        let text = match answer.pointer(&self.answer) {
            Some(Value::String(text)) => text.clone(),
            Some(_) => return Err(format!("{} is not a string", self.answer)),
            None => return Err(format!("nothing at {}", self.answer)),
        };
        let at = |pointer: &Option<String>| answer.pointer(pointer.as_deref()?);
        let tokens = |pointer| at(pointer).and_then(Value::as_u64)?.try_into().ok();
        let finish = at(&self.finish).and_then(Value::as_str);
        Ok(Parsed {
            text,
            input_tokens: tokens(&self.input_tokens),
            output_tokens: tokens(&self.output_tokens),
            finish: finish
                .map(|word| if LENGTH.contains(&word) { Finish::Length } else { Finish::Eos }),
            server_ns: at(&self.server_ms).and_then(Value::as_f64).and_then(nanoseconds),
        })
    }
}

/// The total of a `Server-Timing` header: its `total` metric, or its only duration.
pub(super) fn server_timing(headers: &HeaderMap) -> Option<u64> {
    let mut durations = Vec::new();
    for header in headers.get_all("server-timing") {
        for metric in header.to_str().unwrap_or_default().split(',') {
            let mut parts = metric.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let duration = parts
                .filter_map(|part| part.split_once('='))
                .find(|(key, _)| key.trim().eq_ignore_ascii_case("dur"));
            let milliseconds =
                duration.and_then(|(_, text)| text.trim().trim_matches('"').parse().ok());
            durations.extend(milliseconds.map(|milliseconds: f64| (name, milliseconds)));
        }
    }
    let total = durations.iter().find(|(name, _)| name.eq_ignore_ascii_case("total"));
    let only = durations.first().filter(|_| durations.len() == 1);
    total.or(only).and_then(|(_, milliseconds)| nanoseconds(*milliseconds))
}

/// `None` for implausible durations: negative, or over a day.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within a day, in nanoseconds"
)]
fn nanoseconds(milliseconds: f64) -> Option<u64> {
    (0.0..=86_400_000.0).contains(&milliseconds).then_some((milliseconds * 1e6) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields() -> ResponseFields {
        ResponseFields {
            answer: "/0/generated_text".to_owned(),
            input_tokens: Some("/0/input_tokens".to_owned()),
            output_tokens: Some("/0/output_tokens".to_owned()),
            finish: Some("/0/finish".to_owned()),
            server_ms: Some("/0/server_ms".to_owned()),
        }
    }

    fn timing(text: &'static str) -> Option<u64> {
        let value = hyper::header::HeaderValue::from_static(text);
        server_timing(&HeaderMap::from_iter([(
            hyper::header::HeaderName::from_static("server-timing"),
            value,
        )]))
    }

    #[test]
    fn what_an_answer_says_is_read_and_the_rest_is_null() {
        let whole = br#"[{"generated_text": "so", "input_tokens": 9, "output_tokens": 2, "finish": "length", "server_ms": 1.5}]"#;
        let expected = Parsed {
            text: "so".to_owned(),
            input_tokens: Some(9),
            output_tokens: Some(2),
            finish: Some(Finish::Length),
            server_ns: Some(1_500_000),
        };
        assert_eq!(fields().read(whole), Ok(expected));
        let little =
            fields().read(br#"[{"generated_text": "so", "output_tokens": -1, "server_ms": "x"}]"#);
        let little = little.unwrap();
        assert_eq!(
            (little.input_tokens, little.output_tokens, little.server_ns),
            (None, None, None)
        );
        assert_eq!(little.finish, None);
    }

    #[test]
    fn an_answer_without_a_summary_says_what_is_missing() {
        let reason = |body: &[u8]| fields().read(body).unwrap_err();
        assert!(reason(b"<html>").starts_with("not JSON"));
        assert_eq!(reason(br#"{"error": "no"}"#), "nothing at /0/generated_text");
        assert_eq!(reason(br#"[{"generated_text": 7}]"#), "/0/generated_text is not a string");
    }

    #[test]
    fn a_total_or_the_only_duration_is_the_servers_time() {
        assert_eq!(timing("total;dur=12.5"), Some(12_500_000));
        assert_eq!(timing("db;dur=3, total;desc=\"all\";dur=10"), Some(10_000_000));
        assert_eq!(timing("model;dur=\"4\""), Some(4_000_000));
        assert_eq!(timing("db;dur=3, app;dur=4"), None);
        assert_eq!(timing("cache;desc=hit"), None);
        assert_eq!(timing("total;dur=-1"), None);
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_reader(body in any::<Vec<u8>>()) {
            let _ = fields().read(&body);
        }
    }
}
