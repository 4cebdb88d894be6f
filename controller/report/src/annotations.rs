//! A view -> annotations of GitHub's workflows: lines on standard output that a workflow shows beside its summary.
//!
//! The form: "Workflow commands for GitHub Actions", `::warning title=T::message`. GitHub shows ten of each kind in a
//! step, so the recommendation comes first and the worst cells next.

use super::document::Document;
use results::Results;
use stats::validity::Status;

/// As many as GitHub shows of one kind.
const MOST: usize = 10;

/// Renders the lines.
pub fn render(results: &Results, document: &Document) -> String {
    let mut lines = vec![line("notice", &document.title, &document.verdict.text())];
    for (status, kind) in [(Status::Invalid, "error"), (Status::Degraded, "warning")] {
        let cells = results.results.iter().flat_map(|entry| &entry.cells);
        let found = cells.filter(|cell| cell.validity.status == status).map(|cell| {
            let reasons = cell.validity.reasons.iter().map(|reason| reason.text.as_str());
            line(kind, &cell.cell, &reasons.collect::<Vec<_>>().join("; "))
        });
        lines.extend(found.take(MOST));
    }
    if results.campaign.missing_samples > 0 {
        let text = format!("{} planned samples are missing", results.campaign.missing_samples);
        lines.push(line("error", "incomplete campaign", &text));
    }
    lines.join("\n")
}

fn line(kind: &str, title: &str, message: &str) -> String {
    let title = escaped(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{kind} title={title}::{}", escaped(message))
}

/// GitHub's own escapes; a line end would begin another command.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_begin_another_command() {
        assert_eq!(
            line("warning", "a,b:c", "50 %\n::error::x"),
            "::warning title=a%2Cb%3Ac::50 %25%0A::error::x"
        );
    }
}
