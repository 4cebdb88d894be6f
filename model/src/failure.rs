//! Failures as data. The retry class is the only input to retry decisions.

use crate::words;
use serde::{Deserialize, Serialize};

/// Which agent may retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The failure was transient.
    SameAgent,
    /// This agent lacks what the work needs.
    OtherAgent,
    /// The work would fail on every agent.
    Never,
}

words!(
    Kind, "failure kind", {
        OutOfMemory = "out_of_memory",
        /// The model can't be loaded, or computes non-finite numbers.
        Model = "model",
        /// The request itself is unusable.
        Input = "input",
        Draining = "draining",
        /// The controller revoked the shard.
        Cancelled = "cancelled",
        /// The request arrived at a full queue.
        NotSent = "not_sent",
        /// The endpoint can't be reached, or the connection broke.
        Unreachable = "unreachable",
        TimedOut = "timed_out",
        /// The endpoint answered 429.
        Throttled = "throttled",
        /// The endpoint answered any other 4xx.
        Rejected = "rejected",
        /// The endpoint answered 5xx.
        ServerError = "server_error",
        /// The endpoint's response has no summary in the configured place.
        Answer = "answer",
        /// The endpoint's summary is empty.
        Empty = "empty",
        /// The endpoint gave up the request, by its finish reason.
        Aborted = "aborted",
        /// A filter of the endpoint withheld the summary, by its finish reason.
        Filtered = "filtered",
        /// The endpoint's stream sent no event for too long.
        Stalled = "stalled",
        /// The connection broke within the endpoint's stream.
        CutOff = "cut_off",
        /// The endpoint's stream ended without its final event.
        Unfinished = "unfinished",
        /// A checksum of the endpoint's stream was wrong.
        Corrupt = "corrupt",
        /// The endpoint's stream reported an error.
        StreamError = "stream_error",
        /// A bug.
        Internal = "internal",
    }
);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Failure {
    pub retry: Retry,
    pub kind: Kind,
    /// For people: what failed, where, and the way out.
    pub detail: String,
}
