//! What the doctors of both programs find: the same words, the same form, on either machine.

use serde::Serialize;

/// How a finding bears on a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It can't be measured or known here; reports say so.
    NotMeasurable,
    /// It disturbs what is measured, or stops it.
    Trouble,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// How it bears on a measurement.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What to do; null where nothing needs to be done or nothing helps.
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(what: &str, detail: impl Into<String>) -> Self {
        Self { what: what.to_owned(), status: Status::Ok, detail: detail.into(), remedy: None }
    }

    /// It can't be measured or known here, and what would change that.
    pub fn not_measurable(what: &str, detail: impl Into<String>, remedy: &str) -> Self {
        let (what, detail, remedy) = (what.to_owned(), detail.into(), Some(remedy.to_owned()));
        Self { what, status: Status::NotMeasurable, detail, remedy }
    }

    /// It disturbs or stops, and what to do.
    pub fn trouble(what: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (what, detail, remedy) = (what.to_owned(), detail.into(), Some(remedy.into()));
        Self { what, status: Status::Trouble, detail, remedy }
    }
}

/// A certificate that ends within so many seconds should be made anew: a week.
const SOON_S: i64 = 7 * 86_400;

/// When a certificate holds, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// From then on.
    pub from_s: i64,
    /// Until then.
    pub until_s: i64,
}

impl Lifetime {
    /// Judges the certificate that is shown as `which`, at `now_s`; `renew` says how it is made anew.
    pub fn judge(self, which: &str, now_s: i64, renew: &str) -> Finding {
        let days = (self.until_s - now_s) / 86_400;
        if now_s < self.from_s {
            let clock = "set this machine's clock: it is behind that of the machine that made the certificate";
            return Finding::trouble("certificate", format!("{which} doesn't hold yet"), clock);
        }
        if now_s >= self.until_s {
            let detail = format!("{which} ran out {} days ago", (now_s - self.until_s) / 86_400);
            return Finding::trouble("certificate", detail, renew);
        }
        if self.until_s - now_s < SOON_S {
            return Finding::trouble(
                "certificate",
                format!("{which} runs out in {days} days"),
                renew,
            );
        }
        Finding::ok("certificate", format!("{which} holds for {days} more days"))
    }
}

/// Findings for people, a line each and a second one with what to do.
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
    fn a_certificate_is_told_before_it_runs_out() {
        let day = 86_400;
        let lifetime = Lifetime { from_s: 10 * day, until_s: 100 * day };
        let judge = |day_of: i64| lifetime.judge("agent.pem", day_of * day, "make it anew");
        assert_eq!(judge(9).status, Status::Trouble);
        assert!(judge(9).remedy.is_some_and(|remedy| remedy.contains("clock")));
        assert_eq!(judge(10).detail, "agent.pem holds for 90 more days");
        assert_eq!(judge(93).status, Status::Ok);
        assert_eq!(judge(94).detail, "agent.pem runs out in 6 days");
        assert_eq!(judge(100).detail, "agent.pem ran out 0 days ago");
        assert_eq!(judge(103).remedy.as_deref(), Some("make it anew"));
    }

    #[test]
    fn a_remedy_stands_below_its_finding() {
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
