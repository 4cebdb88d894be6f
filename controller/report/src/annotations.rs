//! Results -> annotations of GitHub workflows: lines on standard output that a workflow shows next to its summary.
//!
//! Format: "Workflow commands for GitHub Actions", `::warning title=T::message`. GitHub shows ten of each kind per
//! step, so the recommendation comes first, failed gates next, and the worst cells after them.

use super::document::Document;
use super::one_line::one_line;
use super::sentences::{asked_differently, causes, counted, gate};
use results::Results;
use stats::validity::Status;

/// GitHub shows ten of each kind.
const MOST: usize = 10;

pub fn render(results: &Results, document: &Document) -> String {
    let mut lines = vec![line("notice", &document.title, &document.verdict.text())];
    let differences = asked_differently(results);
    lines.extend(differences.iter().map(|text| line("notice", "asked differently", text)));
    let failing = results.gates.iter().flat_map(results::Gates::failing).take(MOST);
    lines.extend(failing.map(|one| line("error", &one.cell, &gate(one))));
    for (status, kind) in [(Status::Invalid, "error"), (Status::Degraded, "warning")] {
        let cells = results.results.iter().flat_map(|entry| &entry.cells);
        let found = cells
            .filter(|cell| cell.validity.status == status)
            .map(|cell| line(kind, &cell.cell, &causes(&cell.validity)));
        lines.extend(found.take(MOST));
    }
    if results.campaign.missing_samples > 0 {
        let missing = counted(results.campaign.missing_samples, "planned sample");
        lines.push(line("error", "incomplete campaign", &format!("{missing} missing")));
    }
    lines.join("\n")
}

pub(crate) fn line(kind: &str, title: &str, message: &str) -> String {
    let title = escaped(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{kind} title={title}::{}", escaped(message))
}

/// The escapes of GitHub's toolkit, without which a line break starts another command, and those of all that is shown.
fn escaped(text: &str) -> String {
    let escaped = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    one_line(&escaped).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_start_another_command() {
        assert_eq!(
            line("warning", "a,b:c", "50 %\n::error::x"),
            "::warning title=a%2Cb%3Ac::50 %25%0A::error::x"
        );
        assert_eq!(
            line("notice", "::x", "a\u{2028}b\r\u{1b}##[error]\u{202e}"),
            "::notice title=\\u{3a}%3Ax::a\\u{2028}b%0D\\u{1b}\\u{23}#[error]\\u{202e}"
        );
    }
}
