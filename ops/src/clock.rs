//! Wall time, which only stamps: it is never subtracted, and figures never come from it.

use chrono::{DateTime, Utc};

/// Where stamps come from.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// Always the same, for tests.
    Fixed(DateTime<Utc>),
}

impl Clock {
    /// A stamp.
    pub fn now(self) -> DateTime<Utc> {
        match self {
            Self::System => Utc::now(),
            Self::Fixed(at) => at,
        }
    }
}
