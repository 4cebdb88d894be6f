//! Decides after each attempt to deliver a message: delivered, retry after a pause, or give up. Pure.

use backon::ExponentialBuilder;
use model::text::plain;
use ops::secret::Redaction;
use std::time::Duration;

pub const ATTEMPTS: usize = 5;
/// Pauses between attempts; the jitter keeps many controllers from coming back at once.
pub const PAUSES: ExponentialBuilder =
    ExponentialBuilder::new().with_max_times(ATTEMPTS - 1).with_jitter();
/// The longest `Retry-After` that is obeyed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

/// So much of an answer is shown, in characters.
const SHOWN: usize = 400;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Status {
        code: u16,
        /// `Retry-After`.
        wait: Option<Duration>,
        /// The beginning of the body, as it came.
        body: String,
    },
    /// A refusal in words: an SMTP server's, or one in the body of a success.
    Refused {
        reason: String,
        /// Whether a later attempt may succeed.
        is_passing: bool,
    },
    /// No connection, so nothing was sent.
    NotSent(String),
    /// The message was sent, and the connection broke or timed out.
    NoAnswer(String),
}

impl Answer {
    /// The same without secrets, on a line that is short enough to show.
    pub(crate) fn redacted(self, redaction: &Redaction) -> Self {
        let shown = |text: String| plain(redaction.redacted(&text).trim(), SHOWN);
        match self {
            Self::Status { code, wait, body } => Self::Status { code, wait, body: shown(body) },
            Self::Refused { reason, is_passing } => {
                Self::Refused { reason: shown(reason), is_passing }
            }
            Self::NotSent(reason) => Self::NotSent(shown(reason)),
            Self::NoAnswer(reason) => Self::NoAnswer(shown(reason)),
        }
    }
}

/// What a second delivery of the same message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// Nothing: the receiver recognizes it by its key.
    Deduplicated,
    /// People see the message twice.
    Visible,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Delivered,
    Retry(Duration),
    GiveUp(String),
}

/// The step after an attempt ended with `answer`. `pauses` are those of [`PAUSES`]; a longer `Retry-After` wins.
pub fn next(
    pauses: &mut impl Iterator<Item = Duration>,
    answer: &Answer,
    repeats: Repeats,
) -> Next {
    let (reason, asked) = match answer {
        Answer::Status { code: 200..=299, .. } => return Next::Delivered,
        Answer::Status { code, wait, body } => {
            let reason = format!("the server answered {code}{}", after_colon(body));
            if !matches!(code, 429 | 500..=599) {
                return Next::GiveUp(reason);
            }
            (reason, *wait)
        }
        Answer::Refused { reason, is_passing: false } => return Next::GiveUp(reason.clone()),
        Answer::Refused { reason, is_passing: true } => (reason.clone(), None),
        Answer::NotSent(reason) => (format!("no connection: {reason}"), None),
        Answer::NoAnswer(reason) => {
            let reason = format!("sent without an answer: {reason}");
            if repeats == Repeats::Visible {
                return Next::GiveUp(format!(
                    "{reason}; not sent again, because it may have arrived"
                ));
            }
            (reason, None)
        }
    };
    let Some(pause) = pauses.next() else {
        return Next::GiveUp(format!("{reason} ({ATTEMPTS} attempts)"));
    };
    if let Some(asked) = asked.filter(|asked| *asked > LONGEST_RETRY_AFTER) {
        return Next::GiveUp(format!("{reason} and asked to wait {} s", asked.as_secs()));
    }
    Next::Retry(asked.unwrap_or_default().max(pause))
}

fn after_colon(body: &str) -> String {
    let body = body.trim();
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backon::BackoffBuilder;

    fn pauses() -> impl Iterator<Item = Duration> {
        ExponentialBuilder::new().with_max_times(ATTEMPTS - 1).build()
    }

    fn first(answer: &Answer, repeats: Repeats) -> Next {
        next(&mut pauses(), answer, repeats)
    }

    fn status(code: u16, wait: Option<u64>) -> Answer {
        Answer::Status { code, wait: wait.map(Duration::from_secs), body: String::new() }
    }

    #[test]
    fn any_2xx_is_delivered() {
        for code in [200, 202, 204] {
            assert_eq!(first(&status(code, None), Repeats::Visible), Next::Delivered);
        }
    }

    #[test]
    fn a_wrong_request_is_not_retried() {
        for code in [301, 400, 403, 404, 410, 413] {
            let next = first(&status(code, Some(1)), Repeats::Deduplicated);
            assert_eq!(next, Next::GiveUp(format!("the server answered {code}")));
        }
    }

    #[test]
    fn pauses_double_and_end() {
        let mut pauses = pauses();
        let mut next = || next(&mut pauses, &status(503, None), Repeats::Visible);
        for seconds in [1, 2, 4, 8] {
            assert_eq!(next(), Next::Retry(Duration::from_secs(seconds)));
        }
        assert_eq!(next(), Next::GiveUp("the server answered 503 (5 attempts)".to_owned()));
    }

    #[test]
    fn retry_after_is_obeyed_up_to_a_limit() {
        let next = |wait| first(&status(429, Some(wait)), Repeats::Visible);
        assert_eq!(next(30), Next::Retry(Duration::from_secs(30)));
        assert!(matches!(next(3600), Next::GiveUp(reason) if reason.contains("3600 s")));
    }

    #[test]
    fn jitter_lengthens_a_pause_to_twice_its_length_at_most() {
        let (one, two) = (Duration::from_secs(1), Duration::from_secs(2));
        for seed in 0..100 {
            let mut pauses = PAUSES.with_jitter_seed(seed).build();
            let next = next(&mut pauses, &status(503, None), Repeats::Visible);
            assert!(matches!(next, Next::Retry(pause) if (one..=two).contains(&pause)), "{next:?}");
        }
    }

    #[test]
    fn a_message_that_may_have_arrived_is_repeated_only_to_a_receiver_that_deduplicates() {
        let answer = Answer::NoAnswer("timed out".to_owned());
        assert!(matches!(first(&answer, Repeats::Visible), Next::GiveUp(_)));
        assert!(matches!(first(&answer, Repeats::Deduplicated), Next::Retry(_)));
        let answer = Answer::NotSent("refused".to_owned());
        assert!(matches!(first(&answer, Repeats::Visible), Next::Retry(_)));
    }
}
