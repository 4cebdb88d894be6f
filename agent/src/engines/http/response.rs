//! Parses a response into the summary and its metadata. Pure.
//!
//! The HTTP status alone doesn't make a request a good one: a finish reason, an empty text, an error
//! object or the status of the container behind SageMaker decide as well.

use hyper::{HeaderMap, StatusCode};
use model::failure::Kind;
use model::{endpoint::Endpoint, sample::Finish};
use ops::text;
use serde_json::Value;

/// Finish reasons of a summary cut by its limit, in lower case, as the ones below.
const LENGTH: [&str; 4] = ["length", "max_tokens", "model_length", "model_context_window_exceeded"];
/// Finish reasons of a server that gave up a request.
const ABORTED: [&str; 6] = ["abort", "aborted", "cancelled", "canceled", "error", "timeout"];
/// Finish reasons of a filter that withheld the summary or a part of it.
const FILTERED: [&str; 9] = [
    "content_filter",
    "content_filtered",
    "guardrail_intervened",
    "refusal",
    "safety",
    "recitation",
    "blocklist",
    "prohibited_content",
    "spii",
];
/// Longest finish reason of a known server: a longer text is something else.
const MAX_FINISH_CHARS: usize = 40;
/// Longest response, and longest text of a compressed one.
pub(super) const MAX_RESPONSE_BYTES: usize = 16 << 20;
/// Longest part of a response that an error repeats.
const MAX_SHOWN_CHARS: usize = 120;
/// A server may round its time. Twice the time of the request and this are another unit.
const MAX_ROUNDING_NS: u64 = 5_000_000;

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

/// Why a response with a success status holds no summary.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    /// The status that the response names in place of a summary; else its own.
    pub(super) status: StatusCode,
    pub(super) kind: Kind,
    pub(super) reason: String,
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

    /// Whether the endpoint counts the tokens of the prompt, so that nothing else may.
    pub(super) fn has_input_tokens(&self) -> bool {
        self.input_tokens.is_some()
    }

    /// The same of the summary.
    pub(super) fn has_output_tokens(&self) -> bool {
        self.output_tokens.is_some()
    }

    /// Whether the endpoint says why a summary ended.
    pub(super) fn has_finish(&self) -> bool {
        self.finish.is_some()
    }

    /// The pointer to the summary, or to a piece of it in an event.
    pub(super) fn answer(&self) -> &str {
        &self.answer
    }

    /// The pointers to the token counts of prompt and summary, the finish reason and the server's
    /// time.
    pub(super) fn places(&self) -> [Option<&str>; 4] {
        [&self.input_tokens, &self.output_tokens, &self.finish, &self.server_ms]
            .map(Option::as_deref)
    }

    pub(super) fn read(&self, body: &[u8]) -> Result<Parsed, Unusable> {
        let answer =
            json(body).map_err(|error| unusable(Kind::Answer, format!("not JSON ({error})")))?;
        let values = self.places().map(|pointer| answer.pointer(pointer?));
        // The finish reason of a withheld summary says more than its absence.
        self.finish_of(values[FINISH])?;
        let text = match answer.pointer(&self.answer) {
            Some(Value::String(text)) => text,
            other => {
                if let Some(status) = error_status(&answer) {
                    let reason = "an error in place of a summary".to_owned();
                    return Err(Unusable { status, kind: class(status), reason });
                }
                let reason = match other {
                    Some(other) => {
                        format!("{} holds {}, expected a text", self.answer, shown(other))
                    }
                    None => missing(&answer, &self.answer),
                };
                return Err(unusable(Kind::Answer, reason));
            }
        };
        self.parsed(text, values)
    }

    /// A summary with the values at [`ResponseFields::places`].
    pub(super) fn parsed(
        &self,
        text: &str,
        values: [Option<&Value>; 4],
    ) -> Result<Parsed, Unusable> {
        let finish = self.finish_of(values[FINISH])?;
        if text.trim().is_empty() {
            let reason = format!("the text at {} is empty", self.answer);
            return Err(unusable(Kind::Empty, reason));
        }
        let [input_tokens, output_tokens, _, server_ms] = values;
        Ok(Parsed {
            text: text.to_owned(),
            input_tokens: input_tokens.and_then(tokens),
            output_tokens: output_tokens.and_then(tokens),
            finish,
            server_ns: server_ms.and_then(number).and_then(nanoseconds),
        })
    }

    fn finish_of(&self, value: Option<&Value>) -> Result<Option<Finish>, Unusable> {
        let (Some(word), Some(pointer)) = (value.and_then(Value::as_str), &self.finish) else {
            return Ok(None);
        };
        let reason = |what: &str| format!("{what}: {pointer} is {}", shown(&word.into()));
        match Ended::of(word) {
            Ended::Finished(finish) => Ok(Some(finish)),
            Ended::Aborted => {
                Err(unusable(Kind::Aborted, reason("the server aborted the request")))
            }
            Ended::Filtered => {
                Err(unusable(Kind::Filtered, reason("a filter withheld the summary")))
            }
        }
    }

    /// Every pointer that doesn't lead to what it should, in the response to the trial request.
    /// `total_ns`: how long the request took.
    pub(super) fn wrong_pointers(&self, body: &[u8], total_ns: u64) -> Vec<String> {
        let Ok(answer) = json(body) else { return Vec::new() };
        let values = self.places().map(|pointer| answer.pointer(pointer?));
        self.wrong_values(values, &|pointer| missing(&answer, pointer), total_ns)
    }

    /// The same of the values at [`ResponseFields::places`]; `missing` says what is there in place
    /// of a pointer's value.
    pub(super) fn wrong_values(
        &self,
        values: [Option<&Value>; 4],
        missing: &dyn Fn(&str) -> String,
        total_ns: u64,
    ) -> Vec<String> {
        let is_server_time = |value: &Value| {
            let most_ns = 2 * total_ns + MAX_ROUNDING_NS;
            number(value).and_then(nanoseconds).is_some_and(|server_ns| server_ns <= most_ns)
        };
        let within =
            format!("milliseconds of the server: the request took {:.1} ms", total_ns as f64 / 1e6);
        let is_tokens = |value: &Value| tokens(value).is_some();
        let checks: [(&str, Check<'_>, &str); 4] = [
            ("input_tokens", &is_tokens, "a number of tokens"),
            ("output_tokens", &is_tokens, "a number of tokens"),
            ("finish", &is_finish, "a finish reason"),
            ("server_ms", &is_server_time, &within),
        ];
        let mut wrong = Vec::new();
        for ((pointer, value), (key, is_right, expected)) in
            self.places().into_iter().zip(values).zip(checks)
        {
            let Some(pointer) = pointer else { continue };
            match value {
                None if key.ends_with("_tokens") => wrong.push(format!(
                    "{key}: {} (if the server doesn't count tokens: {key} = \"tokenizer\")",
                    missing(pointer)
                )),
                None => wrong.push(format!("{key}: {}", missing(pointer))),
                Some(value) if !is_right(value) => {
                    let held = shown(value);
                    wrong.push(format!("{key}: {pointer} holds {held}, expected {expected}"));
                }
                Some(_) => {}
            }
        }
        wrong
    }
}

/// The place of the finish reason among [`ResponseFields::places`].
const FINISH: usize = 2;

fn unusable(kind: Kind, reason: String) -> Unusable {
    Unusable { status: StatusCode::OK, kind, reason }
}

/// Whether a field of an answer holds what is expected.
type Check<'a> = &'a dyn Fn(&Value) -> bool;

/// How a server says that it ended a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Finished(Finish),
    Aborted,
    Filtered,
}

impl Ended {
    /// A word that no server is known to use counts as the model's own end.
    fn of(word: &str) -> Self {
        let word = word.trim().to_ascii_lowercase();
        let is_in = |words: &[&str]| words.contains(&word.as_str());
        if is_in(&ABORTED) {
            Self::Aborted
        } else if is_in(&FILTERED) {
            Self::Filtered
        } else if is_in(&LENGTH) {
            Self::Finished(Finish::Length)
        } else {
            Self::Finished(Finish::Eos)
        }
    }
}

/// One word, as every known server reports it.
fn is_finish(value: &Value) -> bool {
    value.as_str().is_some_and(|word| {
        !word.is_empty()
            && word.chars().count() <= MAX_FINISH_CHARS
            && !word.contains(char::is_whitespace)
    })
}

/// Some servers begin with a byte order mark, or compress what nobody asked them to.
fn json(body: &[u8]) -> Result<Value, serde_json::Error> {
    let text = text::decode_at_most(body, MAX_RESPONSE_BYTES as u64);
    serde_json::from_slice(text.as_deref().map_or(body, str::as_bytes))
}

/// A number, or the text of one.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// A count that some servers write as `2.0` or `"2"`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole and within the range of u32"
)]
fn tokens(value: &Value) -> Option<u32> {
    let number = number(value)?;
    let is_count = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    is_count.then_some(number as u32)
}

/// The class of a failure by its status.
pub(super) fn class(status: StatusCode) -> Kind {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Kind::Throttled,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Kind::TimedOut,
        status if status.is_server_error() => Kind::ServerError,
        _ => Kind::Rejected,
    }
}

/// Whether the same request may succeed a little later.
pub(super) fn may_pass(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.is_server_error()
}

/// The status of the container behind SageMaker, whose own is 424 for whatever its container did;
/// else `status`.
pub(super) fn original_status(status: StatusCode, body: &[u8]) -> StatusCode {
    if status != StatusCode::FAILED_DEPENDENCY {
        return status;
    }
    let original = json(body).ok().and_then(|body| body.get("OriginalStatusCode")?.as_u64());
    // 0: the container gave no answer.
    let unanswered = StatusCode::INTERNAL_SERVER_ERROR;
    original.map_or(status, |code| failed_status(code).unwrap_or(unanswered))
}

/// The status that an error object names, as `{"error": {"code": 503}}`.
fn error_status(answer: &Value) -> Option<StatusCode> {
    let error = answer.get("error")?;
    let code = |of: &Value| {
        ["code", "status", "status_code"]
            .iter()
            .find_map(|key| failed_status(of.get(key)?.as_u64()?))
    };
    code(error).or_else(|| code(answer))
}

fn failed_status(code: u64) -> Option<StatusCode> {
    let status = StatusCode::from_u16(u16::try_from(code).ok()?).ok()?;
    (status.is_client_error() || status.is_server_error()).then_some(status)
}

/// Says what the response holds in place of a pointer's value: the keys next to it.
fn missing(answer: &Value, pointer: &str) -> String {
    let mut parent = pointer;
    while let Some((shorter, _)) = parent.rsplit_once('/') {
        parent = shorter;
        if let Some(found) = answer.pointer(parent) {
            let place = if parent.is_empty() { "the response" } else { parent };
            return format!("nothing at {pointer}: {place} holds {}", shown(found));
        }
    }
    format!("nothing at {pointer}")
}

/// A part of a response for people: the keys of an object, the length of a list, or the value.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::Object(fields) if fields.is_empty() => "no keys".to_owned(),
        Value::Object(fields) => {
            let keys: Vec<String> = fields.keys().map(|key| format!("`{key}`")).collect();
            keys.join(", ")
        }
        Value::Array(items) if items.len() == 1 => "a list of 1 item".to_owned(),
        Value::Array(items) => format!("a list of {} items", items.len()),
        other => format!("`{other}`"),
    };
    if text.chars().count() <= MAX_SHOWN_CHARS {
        return text;
    }
    text.chars().take(MAX_SHOWN_CHARS - 1).chain(std::iter::once('…')).collect()
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
        let reason = |body: &[u8]| fields().read(body).unwrap_err().reason;
        assert!(reason(b"<html>").starts_with("not JSON"));
        assert_eq!(
            reason(br#"{"summary": "so"}"#),
            "nothing at /0/generated_text: the response holds `summary`"
        );
        assert_eq!(
            reason(br#"[{"generated_text": 7}]"#),
            "/0/generated_text holds `7`, expected a text"
        );
    }

    fn class_of(body: &str) -> Option<Kind> {
        fields().read(body.as_bytes()).err().map(|unusable| unusable.kind)
    }

    #[test]
    fn a_success_status_alone_makes_no_good_answer() {
        let with = |text: &str, finish: &str| {
            format!(r#"[{{"generated_text": "{text}", "finish": "{finish}"}}]"#)
        };
        assert_eq!(class_of(&with("so", "stop")), None);
        assert_eq!(class_of(&with("so", "COMPLETE")), None);
        assert_eq!(class_of(&with("", "stop")), Some(Kind::Empty));
        assert_eq!(class_of(&with(" \\n", "length")), Some(Kind::Empty));
        assert_eq!(class_of(&with("so", "abort")), Some(Kind::Aborted));
        assert_eq!(class_of(&with("", "abort")), Some(Kind::Aborted));
        assert_eq!(class_of(&with("", "content_filter")), Some(Kind::Filtered));
        assert_eq!(class_of(&with("so", "SAFETY")), Some(Kind::Filtered));
        let withheld = r#"[{"generated_text": null, "finish": "content_filter"}]"#;
        assert_eq!(class_of(withheld), Some(Kind::Filtered));
    }

    #[test]
    fn an_error_object_has_the_class_of_its_code() {
        let error = |code: u16| format!(r#"{{"error": {{"message": "no", "code": {code}}}}}"#);
        assert_eq!(class_of(&error(503)), Some(Kind::ServerError));
        assert_eq!(class_of(&error(429)), Some(Kind::Throttled));
        assert_eq!(class_of(&error(401)), Some(Kind::Rejected));
        assert_eq!(class_of(&error(200)), Some(Kind::Answer));
        assert_eq!(class_of(r#"{"error": "no", "status": 504}"#), Some(Kind::TimedOut));
        assert_eq!(class_of(r#"{"error": "no"}"#), Some(Kind::Answer));
    }

    #[test]
    fn a_containers_own_status_decides() {
        let of = |body: &str| original_status(StatusCode::FAILED_DEPENDENCY, body.as_bytes());
        assert_eq!(of(r#"{"OriginalStatusCode": 503}"#), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(of(r#"{"OriginalStatusCode": 400}"#), StatusCode::BAD_REQUEST);
        assert_eq!(of(r#"{"OriginalStatusCode": 0}"#), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(of("no"), StatusCode::FAILED_DEPENDENCY);
        let own = original_status(StatusCode::BAD_GATEWAY, br#"{"OriginalStatusCode": 400}"#);
        assert_eq!(own, StatusCode::BAD_GATEWAY);
    }

    #[test]
    fn counts_are_read_as_servers_write_them() {
        let body = b"\xef\xbb\xbf[{\"generated_text\": \"so\", \"output_tokens\": 2.0, \"input_tokens\": \"9\", \"server_ms\": \"1.5\"}]";
        let read = fields().read(body).unwrap();
        assert_eq!((read.input_tokens, read.output_tokens), (Some(9), Some(2)));
        assert_eq!(read.server_ns, Some(1_500_000));
        for not_a_count in ["2.5", "-1", "1e10", "true", "null", "\"two\"", "[2]"] {
            let value: Value = serde_json::from_str(not_a_count).unwrap();
            assert_eq!(tokens(&value), None, "{not_a_count}");
        }
    }

    #[test]
    fn every_wrong_pointer_is_named_with_what_is_there() {
        let right = br#"[{"generated_text": "so", "input_tokens": 9, "output_tokens": 2.0, "finish": "stop", "server_ms": 1}]"#;
        assert_eq!(fields().wrong_pointers(right, 2_000_000), Vec::<String>::new());
        let wrong = br#"[{"generated_text": "so", "usage": {"in": 9}, "output_tokens": "few", "finish": "so it is", "server_ms": 3000}]"#;
        assert_eq!(
            fields().wrong_pointers(wrong, 2_000_000),
            [
                "input_tokens: nothing at /0/input_tokens: /0 holds `generated_text`, `usage`, `output_tokens`, `finish`, `server_ms` (if the server doesn't count tokens: input_tokens = \"tokenizer\")",
                "output_tokens: /0/output_tokens holds `\"few\"`, expected a number of tokens",
                "finish: /0/finish holds `\"so it is\"`, expected a finish reason",
                "server_ms: /0/server_ms holds `3000`, expected milliseconds of the server: the request took 2.0 ms",
            ]
        );
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

    #[test]
    fn an_answer_may_begin_with_a_byte_order_mark() {
        let answer = r#"{"summary": "so"}"#;
        let utf_16 = answer.encode_utf16().flat_map(u16::to_le_bytes);
        let bodies = [
            [b"\xEF\xBB\xBF", answer.as_bytes()].concat(),
            [0xFF, 0xFE].into_iter().chain(utf_16).collect(),
        ];
        for body in bodies {
            assert_eq!(json(&body).unwrap()["summary"], "so");
        }
        assert!(json(b"\xFF\xFEa").is_err());
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_reader(body in any::<Vec<u8>>()) {
            let _ = fields().read(&body);
            let _ = fields().wrong_pointers(&body, 1);
        }
    }
}
