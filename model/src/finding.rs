//! Findings of both programs' `doctor` command.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    /// Absent from reports, which say so.
    NotMeasurable,
    /// Disturbs or prevents measurements.
    Trouble,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The subject, such as `clock`.
    pub what: String,
    pub status: Status,
    pub detail: String,
    /// Null if nothing needs to be done, or nothing helps.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(what: &str, detail: impl Into<String>) -> Self {
        Self { what: what.to_owned(), status: Status::Ok, detail: detail.into(), remedy: None }
    }

    pub fn not_measurable(what: &str, detail: impl Into<String>, remedy: &str) -> Self {
        let (what, detail, remedy) = (what.to_owned(), detail.into(), Some(remedy.to_owned()));
        Self { what, status: Status::NotMeasurable, detail, remedy }
    }

    pub fn trouble(what: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (what, detail, remedy) = (what.to_owned(), detail.into(), Some(remedy.into()));
        Self { what, status: Status::Trouble, detail, remedy }
    }
}

/// Certificates that expire within a week should be renewed.
const SOON_S: i64 = 7 * 86_400;

/// A certificate's validity, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    pub from_s: i64,
    pub until_s: i64,
}

impl Lifetime {
    /// Checks the certificate named `which` at `now_s`; `renew` is the remedy for an expired one.
    pub fn judge(self, which: &str, now_s: i64, renew: &str) -> Finding {
        let days = (self.until_s - now_s) / 86_400;
        if now_s < self.from_s {
            let clock = "set this machine's clock: it is behind that of the certificate's issuer";
            return Finding::trouble("certificate", format!("{which} is not valid yet"), clock);
        }
        if now_s >= self.until_s {
            let detail = format!("{which} expired {} days ago", (now_s - self.until_s) / 86_400);
            return Finding::trouble("certificate", detail, renew);
        }
        if self.until_s - now_s < SOON_S {
            return Finding::trouble(
                "certificate",
                format!("{which} expires in {days} days"),
                renew,
            );
        }
        Finding::ok("certificate", format!("{which} is valid for {days} more days"))
    }
}

/// Formats findings for people: a line each, then one with the remedy.
pub fn table(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| {
        let mark = match finding.status {
            Status::Ok => "ok     ",
            Status::NotMeasurable => "absent ",
            Status::Trouble => "TROUBLE",
        };
        let remedy =
            finding.remedy.as_ref().map_or(String::new(), |it| format!("\n        -> {it}"));
        format!("{mark} {}: {}{remedy}", finding.what, finding.detail)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_reported_a_week_before_it_expires() {
        let day = 86_400;
        let lifetime = Lifetime { from_s: 10 * day, until_s: 100 * day };
        let judge = |day_of: i64| lifetime.judge("agent.pem", day_of * day, "renew it");
        assert_eq!(judge(9).status, Status::Trouble);
        assert!(judge(9).remedy.is_some_and(|remedy| remedy.contains("clock")));
        assert_eq!(judge(10).detail, "agent.pem is valid for 90 more days");
        assert_eq!(judge(93).status, Status::Ok);
        assert_eq!(judge(94).detail, "agent.pem expires in 6 days");
        assert_eq!(judge(100).detail, "agent.pem expired 0 days ago");
        assert_eq!(judge(103).remedy.as_deref(), Some("renew it"));
    }

    #[test]
    fn a_remedy_is_on_the_line_below_its_finding() {
        let findings = [
            Finding::ok("clock", "tsc"),
            Finding::not_measurable("energy", "no RAPL", "take a metal instance"),
            Finding::trouble("disk", "5 MiB free", "make room"),
        ];
        let expected = "ok      clock: tsc\nabsent  energy: no RAPL\n        -> take a metal instance\n\
                        TROUBLE disk: 5 MiB free\n        -> make room";
        assert_eq!(table(&findings), expected);
    }
}
