//! Whether a receiver took a message. Its status alone doesn't say so: Slack answers `ok`, Teams reports a failed
//! delivery in a 200, and a proxy in front of either answers with its sign-in page. Pure.

use super::retry::Answer;
use model::text::plain;
use serde_json::Value;

/// So much of an answer is shown.
const SHOWN: usize = 200;
/// Slack's errors that pass.
const PASSING: [&str; 5] =
    ["ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable"];
/// What Teams puts before the status of its own failed request, in a 200.
const TEAMS_STATUS: &str = "HTTP error ";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// Answers `ok`, or `{"ok": true}`.
    Slack,
    /// Answers nothing (a workflow's 202) or `1` (a connector); a workflow may answer with `ok` or JSON of its own.
    Teams,
    /// Answers whatever it wants, but neither a page nor JSON that tells of a failure.
    Any,
}

impl Receiver {
    /// What the body of an answer with a 2xx makes of it: `None` if the message was taken.
    pub fn refusal(self, code: u16, body: &str) -> Option<Answer> {
        let body = body.trim_start_matches('\u{feff}').trim();
        let json: Option<Value> = serde_json::from_str(body).ok();
        let refused = |why: &str, is_passing| {
            let said = one_line(body);
            let said = if said.is_empty() { said } else { format!(": {said}") };
            let reason = format!("the server answered {code}, but {why}{said}");
            Some(Answer::Refused { reason, is_passing })
        };
        if is_page(body) {
            return refused("with a web page, such as a sign-in form", false);
        }
        if let Some(is_passing) = json.as_ref().and_then(failure) {
            return refused("reported a failure", is_passing);
        }
        let is_taken = match self {
            Self::Slack => body == "ok" || json.is_some_and(|json| json["ok"] == Value::Bool(true)),
            Self::Teams => {
                let status = body.split_once(TEAMS_STATUS).map(|(_, rest)| rest);
                if let Some(status) = status {
                    let is_passing = status.starts_with("429") || status.starts_with('5');
                    return refused("reported a failure", is_passing);
                }
                body.is_empty() || body == "ok" || json.is_some()
            }
            Self::Any => true,
        };
        if is_taken { None } else { refused("did not confirm the message", false) }
    }
}

/// The beginning of a text, on one line.
pub fn one_line(text: &str) -> String {
    plain(text.trim(), SHOWN)
}

fn is_page(body: &str) -> bool {
    let start: String = body.chars().take(14).collect::<String>().to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html")
}

/// Whether JSON tells of a failure, and then whether that passes.
fn failure(json: &Value) -> Option<bool> {
    let error =
        json.get("error").filter(|error| !matches!(error, Value::Null | Value::Bool(false)));
    let is_refused = ["ok", "success"].iter().any(|key| json[*key] == Value::Bool(false));
    if error.is_none() && !is_refused {
        return None;
    }
    Some(error.and_then(Value::as_str).is_some_and(|error| PASSING.contains(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(receiver: Receiver, body: &str) -> Option<String> {
        match receiver.refusal(200, body)? {
            Answer::Refused { reason, .. } => Some(reason),
            other => panic!("{other:?}"),
        }
    }

    fn passes(receiver: Receiver, body: &str) -> bool {
        matches!(receiver.refusal(200, body), Some(Answer::Refused { is_passing: true, .. }))
    }

    const SIGN_IN: &str = "<!DOCTYPE html>\n<html><title>Sign in to your account</title></html>";
    const TEAMS_FAILED: &str = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 403 with ContextId tcid=0";

    #[test]
    fn slack_says_ok() {
        assert_eq!(reason(Receiver::Slack, "ok"), None);
        assert_eq!(reason(Receiver::Slack, r#"{"ok": true}"#), None);
        assert_eq!(
            reason(Receiver::Slack, "no_team").unwrap(),
            "the server answered 200, but did not confirm the message: no_team"
        );
        assert_eq!(
            reason(Receiver::Slack, r#"{"ok": false, "error": "invalid_auth"}"#).unwrap(),
            r#"the server answered 200, but reported a failure: {"ok": false, "error": "invalid_auth"}"#
        );
        assert!(passes(Receiver::Slack, r#"{"ok": false, "error": "ratelimited"}"#));
        assert!(!passes(Receiver::Slack, r#"{"ok": false, "error": "invalid_auth"}"#));
        assert!(reason(Receiver::Slack, "").is_some());
    }

    #[test]
    fn teams_says_nothing_or_1() {
        for taken in ["", "1", r#"{"id": "8"}"#] {
            assert_eq!(reason(Receiver::Teams, taken), None);
        }
        assert!(reason(Receiver::Teams, TEAMS_FAILED).unwrap().contains("HTTP error 403"));
        assert!(!passes(Receiver::Teams, TEAMS_FAILED));
        assert!(passes(Receiver::Teams, &TEAMS_FAILED.replace("403", "429")));
        assert!(passes(Receiver::Teams, &TEAMS_FAILED.replace("403", "503")));
        let failed = reason(Receiver::Teams, "Summary or Text is required.");
        assert!(failed.is_some());
    }

    #[test]
    fn a_page_or_a_failure_in_a_200_is_no_receipt_of_any_receiver() {
        for receiver in [Receiver::Slack, Receiver::Teams, Receiver::Any] {
            let page = reason(receiver, SIGN_IN).unwrap();
            assert!(page.contains("web page") && page.contains("Sign in"), "{page}");
            assert!(reason(receiver, r#"{"error": {"code": 5}}"#).is_some());
            assert!(reason(receiver, r#"{"success": false}"#).is_some());
        }
        for taken in ["", "thanks", "ok", r#"{"error": null, "id": 3}"#] {
            assert_eq!(reason(Receiver::Any, taken), None);
        }
    }
}
