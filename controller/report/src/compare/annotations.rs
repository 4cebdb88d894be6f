//! A comparison of two campaigns as annotations of GitHub workflows: the summary, then each limit that fails.

use super::Compared;
use super::table::{limit, lines, word};
use crate::annotations::line;
use crate::sentences::verdict;
use stats::comparison::regression::{Outcome, Undecided};

pub fn render(compared: &Compared, undecided: Undecided) -> String {
    let Compared { baseline, candidate, .. } = compared;
    let title = format!("{} vs. {}", candidate.campaign, baseline.campaign);
    let limits = compared.outcome.map(|outcome| format!("limits: {}", word(outcome)));
    let basis = lines(compared).into_iter().next();
    let summary: Vec<String> = limits.into_iter().chain(basis).collect();
    let mut text = vec![line("notice", &title, &summary.join("; "))];
    for cell in &compared.limits {
        for judged in cell.failing(undecided) {
            let kind = if judged.outcome == Outcome::Failed { "error" } else { "warning" };
            text.push(line(kind, &cell.cell, &limit(judged)));
        }
    }
    if compared.limits.is_empty() {
        for pair in &compared.comparisons {
            let found = verdict(&pair.figures.request_latency);
            text.push(line("notice", &pair.candidate, &format!("request latency: {found}")));
        }
    }
    text.join("\n")
}
