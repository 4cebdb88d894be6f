//! What follows from an answer: delivered, try again after a while, or give up. Pure.

use std::time::Duration;

/// How often a message is sent at most.
pub const TRIES: u32 = 5;
/// The first wait; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// A server that asks for a longer wait than this is not waited for.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A status, and how long the server asks to wait.
    Status {
        /// Such as 200.
        code: u16,
        /// `Retry-After`.
        wait: Option<Duration>,
        /// The beginning of the body.
        body: String,
    },
    /// A refusal in another protocol's words, and whether later may be better.
    Refused {
        reason: String,
        /// Whether later may be better.
        is_passing: bool,
    },
    /// Nothing was sent: no connection.
    NotSent(String),
    /// It was sent, and no answer came.
    NoAnswer(String),
}

/// Whether the other side knows a message that it has seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// Each delivery has a key, so that a second one does no harm.
    Told,
    /// People would see it twice.
    Seen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is there.
    Delivered,
    /// Send it again after this wait.
    Wait(Duration),
    GiveUp(String),
}

/// What to do after the `tries`-th try (from 1) brought `answer`. `jitter` in `0..1` lengthens the wait by up to half,
/// so that many controllers don't come back at once.
pub fn next(tries: u32, answer: &Answer, repeats: Repeats, jitter: f64) -> Next {
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
            if repeats == Repeats::Seen {
                return Next::GiveUp(format!(
                    "{reason}; not sent again, because it may have arrived"
                ));
            }
            (reason, None)
        }
    };
    if tries >= TRIES {
        return Next::GiveUp(format!("{reason} ({TRIES} attempts)"));
    }
    if let Some(asked) = asked.filter(|asked| *asked > LONGEST_WAIT) {
        return Next::GiveUp(format!("{reason} and asked to wait {} s", asked.as_secs()));
    }
    let backoff = FIRST_WAIT * 2_u32.pow(tries - 1);
    Next::Wait(asked.unwrap_or_default().max(backoff.mul_f64(1.0 + jitter / 2.0)))
}

fn after_colon(body: &str) -> String {
    let body = body.trim();
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, wait: Option<u64>) -> Answer {
        Answer::Status { code, wait: wait.map(Duration::from_secs), body: String::new() }
    }

    #[test]
    fn any_2xx_is_delivered() {
        for code in [200, 202, 204] {
            assert_eq!(next(1, &status(code, None), Repeats::Seen, 0.0), Next::Delivered);
        }
    }

    #[test]
    fn what_the_sender_got_wrong_is_not_tried_again() {
        for code in [301, 400, 403, 404, 410, 413] {
            let next = next(1, &status(code, Some(1)), Repeats::Told, 0.0);
            assert_eq!(next, Next::GiveUp(format!("the server answered {code}")));
        }
    }

    #[test]
    fn waits_double_and_end() {
        let waits: Vec<Next> =
            (1..=TRIES).map(|tries| next(tries, &status(503, None), Repeats::Seen, 0.0)).collect();
        let seconds = [1, 2, 4, 8].map(|seconds| Next::Wait(Duration::from_secs(seconds)));
        assert_eq!(waits[..4], seconds);
        assert_eq!(waits[4], Next::GiveUp("the server answered 503, 5 times".to_owned()));
    }

    #[test]
    fn a_server_that_asks_for_a_wait_gets_it_within_reason() {
        let next = |wait| next(1, &status(429, Some(wait)), Repeats::Seen, 0.0);
        assert_eq!(next(30), Next::Wait(Duration::from_secs(30)));
        assert!(matches!(next(3600), Next::GiveUp(reason) if reason.contains("3600 s")));
    }

    #[test]
    fn what_may_have_arrived_is_sent_again_only_to_who_can_tell() {
        let answer = Answer::NoAnswer("timed out".to_owned());
        assert!(matches!(next(1, &answer, Repeats::Seen, 0.0), Next::GiveUp(_)));
        assert!(matches!(next(1, &answer, Repeats::Told, 0.0), Next::Wait(_)));
        let answer = Answer::NotSent("refused".to_owned());
        assert!(matches!(next(1, &answer, Repeats::Seen, 0.0), Next::Wait(_)));
    }
}
