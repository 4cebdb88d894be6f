//! Models that are asked over HTTP instead of being loaded: where they are, how they are asked, what they answer.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where an endpoint is, from the id of its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// An address that takes a POST.
    Url(&'a str),
    /// The name of an endpoint of SageMaker.
    SageMaker(&'a str),
}

impl<'a> Place<'a> {
    /// None where the id is not that of an endpoint.
    pub fn of(model: &'a str) -> Option<Self> {
        match model.split_once(':')? {
            ("http" | "https", _) => Some(Self::Url(model)),
            ("sagemaker", name) => Some(Self::SageMaker(name)),
            _ => None,
        }
    }
}

/// What stands in a request's texts for what differs between requests.
pub mod placeholder {
    /// The whole prompt, which every request holds.
    pub const PROMPT: &str = "{prompt}";
    /// A text that is this and nothing else becomes the number.
    pub const MAX_NEW_TOKENS: &str = "{max_new_tokens}";
    /// Likewise.
    pub const MAX_INPUT_TOKENS: &str = "{max_input_tokens}";
}

/// How an endpoint is asked, and what its answers mean. Places in an answer are JSON pointers (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// JSON, whose texts hold [`placeholder`]s.
    pub request: String,
    /// Of the request.
    pub content_type: String,
    /// Name -> the variable of the agent's environment that holds its value. Values are secrets and never here.
    pub headers: BTreeMap<String, String>,
    /// The summary.
    pub answer: String,
    /// Tokens of the prompt; null where the answer doesn't say.
    pub input_tokens: Option<String>,
    /// Tokens of the summary; null where the answer doesn't say.
    pub output_tokens: Option<String>,
    /// `length`, or anything else for a summary that ended itself; null where the answer doesn't say.
    pub finish: Option<String>,
    /// How long the server says that it took, in milliseconds; null where at most a `Server-Timing` header says so.
    pub server_ms: Option<String>,
    /// A request that takes longer has failed.
    pub timeout_ms: u32,
    /// Of an endpoint of SageMaker; null: as the agent's environment says.
    pub region: Option<String>,
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
