//! Models that are queried over HTTP instead of being loaded.

use crate::words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An endpoint's address, as the id of its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// Takes a POST.
    Url(&'a str),
    /// The name of a SageMaker endpoint.
    SageMaker(&'a str),
}

impl<'a> Place<'a> {
    /// `None` if the id does not name an endpoint.
    pub fn of(model: &'a str) -> Option<Self> {
        match model.split_once(':')? {
            ("http" | "https", _) => Some(Self::Url(model)),
            ("sagemaker", name) => Some(Self::SageMaker(name)),
            _ => None,
        }
    }
}

words!(
    /// The version of HTTP that requests are sent with.
    #[derive(Default)]
    HttpVersion, "version of HTTP", {
        /// Each request in flight has a connection of its own.
        #[default]
        Http1 = "1.1",
        /// Requests are streams of one connection. Over TLS by ALPN, else with prior knowledge.
        Http2 = "2",
    }
);

/// Placeholders in the strings of a request template.
pub mod placeholder {
    /// The whole prompt; required.
    pub const PROMPT: &str = "{prompt}";
    /// The system message; required if there is one.
    pub const SYSTEM: &str = "{system}";
    /// A string that consists of it becomes a number; the same for [`MAX_INPUT_TOKENS`].
    pub const MAX_NEW_TOKENS: &str = "{max_new_tokens}";
    pub const MAX_INPUT_TOKENS: &str = "{max_input_tokens}";
}

/// How to query an endpoint. Places in its response are JSON pointers (RFC 6901); null if the
/// response lacks the value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// A JSON template with [`placeholder`]s in its strings.
    pub request: String,
    pub content_type: String,
    /// Name -> the environment variable of the agent that holds the value, which is a secret.
    pub headers: BTreeMap<String, String>,
    pub answer: String,
    pub input_tokens: Option<String>,
    pub output_tokens: Option<String>,
    /// `length`, or any other value for a summary that ended with `</s>`.
    pub finish: Option<String>,
    /// The server's own latency in milliseconds; if null, a `Server-Timing` header is read.
    pub server_ms: Option<String>,
    pub timeout_ms: u32,
    /// Of a SageMaker endpoint; null: from the agent's environment.
    pub region: Option<String>,
    /// Set if the response is a stream of server-sent events. The pointers then lead into the JSON
    /// of events: `answer` to a piece of the summary, the others to values whose last one counts.
    #[serde(default)]
    pub stream: Option<EventStream>,
    /// The server's metrics in the text format of Prometheus, on the host of the endpoint.
    #[serde(default)]
    pub metrics_url: Option<String>,
    #[serde(default)]
    pub http_version: HttpVersion,
}

/// What is special about the events of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventStream {
    /// Marks the final event: its whole data such as `[DONE]`, or a JSON pointer that leads to a
    /// value other than null in no other event.
    pub done: String,
    /// A JSON pointer; an event in which it leads to `true` has no text of the summary.
    pub skip: Option<String>,
    /// Longest pause between two events once text has come.
    pub idle_timeout_ms: u32,
}

impl EventStream {
    /// The final event of OpenAI's API, which most servers have taken over.
    pub const DONE: &str = "[DONE]";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_id_is_no_endpoint() {
        assert_eq!(Place::of("google/flan-t5-base"), None);
        assert_eq!(Place::of("s3://bucket/key"), None);
        assert_eq!(Place::of("sagemaker:summaries"), Some(Place::SageMaker("summaries")));
        assert_eq!(Place::of("http://h/x"), Some(Place::Url("http://h/x")));
    }
}
