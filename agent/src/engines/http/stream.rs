//! A streamed response: events with their arrival times -> the summary and when its pieces came.
//! Pure.
//!
//! Events are parsed as they arrive, because only their content says whether they hold text and
//! which is the last one. That takes microseconds of the client's time.

use super::aws_frames::{self, Frames};
use super::response::{Parsed, ResponseFields, Unusable, shown};
use super::sse::{self, Event};
use hyper::StatusCode;
use model::chunk_gaps::{ChunkGaps, MAX_CHUNKS};
use model::endpoint::EventStream;
use model::failure::Kind;
use model::sample::MAX_TEXT_BYTES;
use serde_json::Value;
use std::sync::Arc;

/// What of a stream is kept for error messages.
const MAX_KEPT_BYTES: usize = 1 << 10;

/// How to read the events of an endpoint.
#[derive(Debug, Clone)]
pub(super) struct StreamFields {
    pub(super) fields: Arc<ResponseFields>,
    pub(super) rules: EventStream,
}

/// A complete stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Streamed {
    pub(super) parsed: Parsed,
    /// When the first text came, on the stopwatch.
    pub(super) first_text_ns: u64,
    pub(super) chunk_gaps: ChunkGaps,
    /// Pointers that lead nowhere, or to something else, in all events.
    pub(super) wrong_pointers: Vec<String>,
}

/// Why a stream is no summary, with its last event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) unusable: Unusable,
    pub(super) last: Vec<u8>,
}

/// How events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// As they are.
    Plain,
    /// In [`aws_frames`].
    AwsMessages,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Open,
    /// The final event came.
    Done,
}

/// How a stream ended that did not bring its final event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End<'a> {
    /// The response ended.
    Closed,
    /// The connection broke.
    Broken(&'a str),
    /// No event for the idle timeout.
    Stalled,
}

#[derive(Debug)]
pub(super) struct StreamReader {
    fields: StreamFields,
    /// Set if the events come within AWS's messages.
    frames: Option<Frames>,
    parser: sse::Parser,
    text: String,
    /// Of chunks with text.
    arrivals_ns: Vec<u64>,
    /// The last values found, in the order of [`ResponseFields::places`].
    found: [Option<Value>; 4],
    events: u64,
    last: String,
    /// The last event that was JSON.
    last_value: Option<Value>,
    last_event_ns: Option<u64>,
}

impl StreamReader {
    pub(super) fn new(fields: StreamFields, framing: Framing) -> Self {
        Self {
            fields,
            frames: (framing == Framing::AwsMessages).then(Frames::default),
            parser: sse::Parser::default(),
            text: String::new(),
            arrivals_ns: Vec::new(),
            found: [const { None }; 4],
            events: 0,
            last: String::new(),
            last_value: None,
            last_event_ns: None,
        }
    }

    /// When the stream counts as stalled; `None` before any text, when the server may still be
    /// busy with other requests. Comments, which keep connections open, are no progress.
    pub(super) fn stalls_at_ns(&self) -> Option<u64> {
        let last_ns = self.last_event_ns.filter(|_| !self.arrivals_ns.is_empty())?;
        Some(last_ns.saturating_add(u64::from(self.fields.rules.idle_timeout_ms) * 1_000_000))
    }

    /// Takes the next bytes, which arrived at `at_ns`.
    pub(super) fn push(&mut self, bytes: &[u8], at_ns: u64) -> Result<Progress, Broken> {
        let Some(frames) = &mut self.frames else { return self.push_events(bytes, at_ns) };
        let payloads = frames.push(bytes).map_err(|error| {
            let kind = match &error {
                aws_frames::Error::Corrupt { .. } => Kind::Corrupt,
                aws_frames::Error::TooLong => Kind::Answer,
                aws_frames::Error::Exception { said, .. } => {
                    self.last = String::from_utf8_lossy(said).into_owned();
                    Kind::StreamError
                }
            };
            self.broken(kind, error.to_string())
        })?;
        for payload in payloads {
            if self.push_events(&payload, at_ns)? == Progress::Done {
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::Open)
    }

    fn push_events(&mut self, bytes: &[u8], at_ns: u64) -> Result<Progress, Broken> {
        let events = self.parser.push(bytes);
        let events = events.map_err(|sse::TooLong| {
            let most = sse::MAX_EVENT_BYTES;
            self.broken(Kind::Answer, format!("an event is longer than {most} bytes"))
        })?;
        for event in events {
            if self.take(event, at_ns)? == Progress::Done {
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::Open)
    }

    fn take(&mut self, event: Event, at_ns: u64) -> Result<Progress, Broken> {
        self.events += 1;
        self.last_event_ns = Some(at_ns);
        self.last = event.data;
        if self.last.trim() == self.fields.rules.done {
            return Ok(Progress::Done);
        }
        let value = serde_json::from_str::<Value>(&self.last);
        if event.name == "error" || value.as_ref().is_ok_and(is_error) {
            return Err(self.broken(Kind::StreamError, "the server reported an error".to_owned()));
        }
        let value = value.map_err(|error| {
            self.broken(Kind::Answer, format!("an event is not JSON ({error})"))
        })?;
        for (place, found) in self.fields.fields.places().into_iter().zip(&mut self.found) {
            let value = place.and_then(|pointer| value.pointer(pointer));
            if let Some(value) = value.filter(|value| !value.is_null()) {
                *found = Some(value.clone());
            }
        }
        let is_skipped = |pointer: &String| value.pointer(pointer) == Some(&Value::Bool(true));
        if !self.fields.rules.skip.as_ref().is_some_and(is_skipped)
            && let Some(piece) = value.pointer(self.fields.fields.answer())
        {
            self.add_text(piece, at_ns)?;
        }
        let done = &self.fields.rules.done;
        let is_done = done.starts_with('/') && value.pointer(done).is_some_and(|it| !it.is_null());
        self.last_value = Some(value);
        Ok(if is_done { Progress::Done } else { Progress::Open })
    }

    fn add_text(&mut self, piece: &Value, at_ns: u64) -> Result<(), Broken> {
        let piece = match piece {
            Value::String(piece) => piece,
            // Events without text often say so.
            Value::Null => return Ok(()),
            other => {
                let found = shown(other);
                let reason =
                    format!("{} holds {found}, expected a text", self.fields.fields.answer());
                return Err(self.broken(Kind::Answer, reason));
            }
        };
        if piece.is_empty() {
            return Ok(());
        }
        let problem = if self.text.len() + piece.len() > MAX_TEXT_BYTES {
            format!("the summary exceeds the limit of {MAX_TEXT_BYTES} bytes")
        } else if self.arrivals_ns.len() == MAX_CHUNKS {
            format!("more than {MAX_CHUNKS} chunks")
        } else {
            self.text.push_str(piece);
            self.arrivals_ns.push(at_ns);
            return Ok(());
        };
        Err(self.broken(Kind::Answer, problem))
    }

    /// The summary, once the final event came.
    pub(super) fn finish(self, total_ns: u64) -> Result<Streamed, Broken> {
        let places = self.found.each_ref().map(Option::as_ref);
        let (answer, has_text) = (self.fields.fields.answer(), !self.text.is_empty());
        let parsed = match self.fields.fields.parsed(&self.text, places) {
            Ok(parsed) => parsed,
            Err(Unusable { kind: Kind::Empty, .. }) if !has_text => {
                let reason = format!(
                    "no text at {answer} in any of {} events; the last one holds {}",
                    self.events,
                    self.last_shown()
                );
                return Err(self.broken(Kind::Empty, reason));
            }
            Err(Unusable { kind, reason, .. }) => return Err(self.broken(kind, reason)),
        };
        let missing = |pointer: &str| {
            format!("nothing at {pointer} in any event; the last one holds {}", self.last_shown())
        };
        Ok(Streamed {
            wrong_pointers: self.fields.fields.wrong_values(places, &missing, total_ns),
            first_text_ns: self.arrivals_ns.first().copied().unwrap_or_default(),
            chunk_gaps: ChunkGaps::of_arrivals(&self.arrivals_ns),
            parsed,
        })
    }

    /// The failure of a stream without its final event.
    pub(super) fn fail(&self, end: End<'_>) -> Broken {
        let came = format!("after {} events", self.events);
        let done = &self.fields.rules.done;
        let (kind, reason) = match end {
            End::Closed if self.frames.as_ref().is_some_and(Frames::is_within_message) => {
                (Kind::CutOff, format!("the stream ended within a message, {came}"))
            }
            End::Closed => {
                let reason = format!("the stream ended {came} without its final one, `{done}`");
                (Kind::Unfinished, reason)
            }
            End::Broken(error) => (Kind::CutOff, format!("the connection broke {came}: {error}")),
            End::Stalled => {
                let seconds = f64::from(self.fields.rules.idle_timeout_ms) / 1e3;
                (Kind::Stalled, format!("no event for {seconds} s {came}"))
            }
        };
        self.broken(kind, reason)
    }

    fn last_shown(&self) -> String {
        self.last_value.as_ref().map_or_else(String::new, shown)
    }

    fn broken(&self, kind: Kind, reason: String) -> Broken {
        let unusable = Unusable { status: StatusCode::OK, kind, reason };
        let kept = self.last.len().min(MAX_KEPT_BYTES);
        Broken { unusable, last: self.last.as_bytes()[..kept].to_vec() }
    }
}

/// As vLLM, llama.cpp, TGI and others report errors in a stream that began with status 200.
fn is_error(value: &Value) -> bool {
    let has_error = value.get("error").is_some_and(|error| !error.is_null());
    let is_object = |field: &str| value.get(field).and_then(Value::as_str) == Some("error");
    has_error || is_object("object") || is_object("type")
}

#[cfg(test)]
mod tests {
    use super::super::aws_frames::tests::{message, part};
    use super::*;
    use model::endpoint::Endpoint;
    use model::sample::Finish;
    use proptest::prelude::*;

    fn endpoint(answer: &str, rules: EventStream) -> StreamFields {
        let pointer = |pointer: &str| Some(pointer.to_owned());
        let endpoint = Endpoint {
            request: "{}".to_owned(),
            content_type: "application/json".to_owned(),
            headers: std::collections::BTreeMap::new(),
            answer: answer.to_owned(),
            input_tokens: pointer("/usage/prompt_tokens"),
            output_tokens: pointer("/usage/completion_tokens"),
            finish: pointer("/choices/0/finish_reason"),
            server_ms: None,
            timeout_ms: 60_000,
            region: None,
            stream: None,
            metrics_url: None,
            http_version: model::endpoint::HttpVersion::Http1,
        };
        StreamFields { fields: Arc::new(ResponseFields::of(&endpoint)), rules }
    }

    fn openai() -> StreamReader {
        let rules =
            EventStream { done: EventStream::DONE.to_owned(), skip: None, idle_timeout_ms: 10_000 };
        StreamReader::new(endpoint("/choices/0/delta/content", rules), Framing::Plain)
    }

    fn delta(text: &str) -> String {
        let choice = serde_json::json!({ "delta": { "content": text }, "finish_reason": null });
        format!("data: {}\n\n", serde_json::json!({ "choices": [choice] }))
    }

    const ROLE: &str =
        "data: {\"choices\": [{\"delta\": {\"role\": \"assistant\", \"content\": \"\"}}]}\n\n";
    const STOP: &str = "data: {\"choices\": [{\"delta\": {}, \"finish_reason\": \"stop\"}]}\n\n";
    const USAGE: &str =
        "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 9, \"completion_tokens\": 3}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    fn ms(milliseconds: u64) -> u64 {
        milliseconds * 1_000_000
    }

    #[test]
    fn the_first_token_is_the_first_text_and_gaps_follow_from_arrivals() {
        let mut reader = openai();
        assert_eq!(reader.push(ROLE.as_bytes(), ms(5)), Ok(Progress::Open));
        assert_eq!(reader.stalls_at_ns(), None, "no text came");
        assert_eq!(reader.push(delta("A ").as_bytes(), ms(40)), Ok(Progress::Open));
        assert_eq!(reader.push(delta("b.").as_bytes(), ms(52)), Ok(Progress::Open));
        assert_eq!(reader.stalls_at_ns(), Some(ms(10_052)));
        // The last pieces arrive together.
        let last = delta("\nC") + STOP + USAGE + DONE;
        assert_eq!(reader.push(last.as_bytes(), ms(60)), Ok(Progress::Done));
        let streamed = reader.finish(ms(60)).unwrap();
        assert_eq!(streamed.first_text_ns, ms(40));
        assert_eq!(streamed.chunk_gaps.iter_us().collect::<Vec<_>>(), [12_000, 8_000]);
        assert_eq!(streamed.parsed.text, "A b.\nC");
        assert_eq!(
            (streamed.parsed.input_tokens, streamed.parsed.output_tokens, streamed.parsed.finish),
            (Some(9), Some(3), Some(Finish::Eos))
        );
        assert_eq!(streamed.wrong_pointers, Vec::<String>::new());
    }

    fn class_of(bytes: &str) -> Option<Kind> {
        let mut reader = openai();
        let result = match reader.push(bytes.as_bytes(), 1) {
            Ok(Progress::Done) => reader.finish(1).map(drop),
            Ok(Progress::Open) => Err(reader.fail(End::Closed)),
            Err(broken) => Err(broken),
        };
        result.err().map(|broken| broken.unusable.kind)
    }

    #[test]
    fn every_way_to_fail_has_its_class() {
        let good = delta("so") + STOP + USAGE;
        assert_eq!(class_of(&(good.clone() + DONE)), None);
        assert_eq!(class_of(&good), Some(Kind::Unfinished));
        assert_eq!(class_of(""), Some(Kind::Unfinished));
        for error in [
            "data: {\"error\": {\"message\": \"no\", \"code\": 503}}\n\n",
            "data: {\"object\": \"error\", \"message\": \"no\"}\n\n",
            "event: error\ndata: {\"message\": \"no\"}\n\n",
            "event: error\ndata: out of memory\n\n",
        ] {
            assert_eq!(class_of(&(delta("so") + error + DONE)), Some(Kind::StreamError), "{error}");
        }
        assert_eq!(class_of(&(delta("so") + "data: <html>\n\n")), Some(Kind::Answer));
        assert_eq!(class_of(&(ROLE.to_owned() + STOP + USAGE + DONE)), Some(Kind::Empty));
        let filtered = STOP.replace("stop", "content_filter");
        assert_eq!(class_of(&(delta("so") + &filtered + DONE)), Some(Kind::Filtered));
        let number = delta("so").replace("\"so\"", "7");
        assert_eq!(class_of(&(number + DONE)), Some(Kind::Answer));
        let endless = delta(&"x".repeat(MAX_TEXT_BYTES + 1));
        assert_eq!(class_of(&(endless + DONE)), Some(Kind::Answer));
        assert_eq!(class_of(&delta("x").repeat(MAX_CHUNKS + 1)), Some(Kind::Answer));
        let reader = openai();
        assert_eq!(reader.fail(End::Stalled).unusable.kind, Kind::Stalled);
        assert_eq!(reader.fail(End::Broken("reset")).unusable.kind, Kind::CutOff);
    }

    fn sagemaker() -> StreamReader {
        StreamReader::new(openai().fields, Framing::AwsMessages)
    }

    #[test]
    fn events_within_awss_messages_are_those_of_the_container() {
        let events = delta("so") + &delta(" it") + STOP + USAGE + DONE;
        let mut reader = sagemaker();
        // Messages end anywhere, also within an event.
        for (at_ns, piece) in (1..).zip(events.as_bytes().chunks(50)) {
            let progress = reader.push(&part(piece), at_ns).unwrap();
            assert_eq!(progress == Progress::Done, at_ns == events.len().div_ceil(50) as u64);
        }
        assert_eq!(reader.finish(9).unwrap().parsed.text, "so it");
    }

    #[test]
    fn broken_messages_have_their_classes() {
        let begun = part(delta("so").as_bytes());
        let fails = |bytes: &[u8], end: End<'_>| {
            let mut reader = sagemaker();
            let broken = match reader.push(bytes, 1) {
                Ok(_) => reader.fail(end),
                Err(broken) => broken,
            };
            (broken.unusable.kind, broken.unusable.reason)
        };
        assert_eq!(fails(&begun, End::Closed).0, Kind::Unfinished);
        let (kind, reason) = fails(&begun[..begun.len() - 1], End::Closed);
        assert_eq!(kind, Kind::CutOff, "{reason}");
        assert!(reason.contains("within a message"), "{reason}");
        let mut corrupt = begun.clone();
        *corrupt.last_mut().unwrap() ^= 1;
        assert_eq!(fails(&corrupt, End::Closed).0, Kind::Corrupt);
        let headers = [(":message-type", "exception"), (":exception-type", "ModelStreamError")];
        let exception = [begun, message(&headers, b"{}")].concat();
        let (kind, reason) = fails(&exception, End::Closed);
        assert_eq!(
            (kind, reason.as_str()),
            (Kind::StreamError, "the service reported ModelStreamError")
        );
    }

    #[test]
    fn an_event_may_mark_the_end_and_special_tokens_are_no_text() {
        let rules = EventStream {
            done: "/generated_text".to_owned(),
            skip: Some("/token/special".to_owned()),
            idle_timeout_ms: 10_000,
        };
        let mut reader = StreamReader::new(endpoint("/token/text", rules), Framing::Plain);
        let token = |text: &str, is_special: bool, whole: &str| {
            format!(
                "data:{{\"token\":{{\"text\":\"{text}\",\"special\":{is_special}}},\"generated_text\":{whole}}}\n\n"
            )
        };
        let first = token("so", false, "null");
        assert_eq!(reader.push(first.as_bytes(), 1), Ok(Progress::Open));
        let last = token("</s>", true, "\"so\"");
        assert_eq!(reader.push(last.as_bytes(), 2), Ok(Progress::Done));
        let streamed = reader.finish(2).unwrap();
        assert_eq!((streamed.parsed.text.as_str(), streamed.chunk_gaps.chunks()), ("so", 1));
        let wrong = streamed.wrong_pointers.join("\n");
        let expected = "output_tokens: nothing at /usage/completion_tokens in any event; the last one holds `token`, `generated_text`";
        assert!(wrong.contains(expected), "{wrong}");
    }

    proptest! {
        #[test]
        fn no_stream_breaks_the_reader(bytes in any::<Vec<u8>>()) {
            let mut reader = openai();
            let _ = reader.push(&bytes, 1);
            let _ = reader.finish(1);
        }

        /// Times follow from the reads in which pieces arrive, and the text doesn't.
        #[test]
        fn every_split_gives_the_same_summary(
            texts in prop::collection::vec("[a-zé会 \"]{0,5}", 1..10),
            size in 1..40_usize,
        ) {
            let stream: String = texts.iter().map(|text| delta(text)).collect();
            let stream = stream + &delta("end") + STOP + USAGE + DONE;
            let mut reader = openai();
            let mut is_done = false;
            for (at_ns, piece) in (1..).zip(stream.as_bytes().chunks(size)) {
                is_done = reader.push(piece, at_ns * 1_000).unwrap() == Progress::Done;
            }
            prop_assert!(is_done);
            let streamed = reader.finish(1).unwrap();
            prop_assert_eq!(&streamed.parsed.text, &(texts.concat() + "end"));
            let with_text = texts.iter().filter(|text| !text.is_empty()).count();
            prop_assert_eq!(streamed.chunk_gaps.chunks(), with_text + 1);
        }
    }
}
