//! What went wrong, and who may try again. The retry class is the only input to retry decisions.

use serde::{Deserialize, Serialize};

/// Who may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same agent may: what failed was passing.
    SameAgent,
    /// Another agent may: this one can't.
    OtherAgent,
    /// Nobody: it would fail everywhere.
    Never,
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Not enough memory.
    OutOfMemory,
    /// The model can't be loaded or computes nonsense.
    Model,
    /// This request can't be done.
    Input,
    /// The agent is on its way out.
    Draining,
    /// The controller took the shard back.
    Cancelled,
    /// It came while the queue was full.
    NotSent,
    /// An endpoint can't be reached, or the connection broke.
    Unreachable,
    /// An endpoint took longer than it may.
    TimedOut,
    /// An endpoint wants fewer requests (429).
    Throttled,
    /// An endpoint refused the request (any other 4xx).
    Rejected,
    /// An endpoint failed (5xx).
    ServerError,
    /// An endpoint's answer has no summary where it should be.
    Answer,
    /// A bug.
    Internal,
}

impl Kind {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 13] = [
        (Self::OutOfMemory, "out_of_memory"),
        (Self::Model, "model"),
        (Self::Input, "input"),
        (Self::Draining, "draining"),
        (Self::Cancelled, "cancelled"),
        (Self::NotSent, "not_sent"),
        (Self::Unreachable, "unreachable"),
        (Self::TimedOut, "timed_out"),
        (Self::Throttled, "throttled"),
        (Self::Rejected, "rejected"),
        (Self::ServerError, "server_error"),
        (Self::Answer, "answer"),
        (Self::Internal, "internal"),
    ];

    /// Its name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("internal", |(_, name)| name)
    }
}

/// A failure as data: stored, counted and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {detail}", kind.as_str())]
pub struct Failure {
    /// Who may try again.
    pub retry: Retry,
    /// What failed.
    pub kind: Kind,
    /// For a person: what, where, and the way out.
    pub detail: String,
}
