//! A comparison of two campaigns as Markdown, for pull requests.

use super::Compared;
use super::table::{HEADER, LIMITS, limit_rows, lines, row, word};
use crate::markdown::escaped;
use std::fmt::Write;

pub fn render(compared: &Compared) -> String {
    let mut text = String::new();
    let Compared { baseline, candidate, .. } = compared;
    // Writing to a String can't fail.
    let _ = writeln!(
        text,
        "### {} vs. {}\n",
        escaped(&candidate.campaign),
        escaped(&baseline.campaign)
    );
    if let Some(outcome) = compared.outcome {
        let _ = writeln!(text, "Limits: **{}**\n", word(outcome));
    }
    text.push_str(&table(&HEADER, compared.comparisons.iter().map(|one| row(one).to_vec())));
    if !compared.limits.is_empty() {
        text.push('\n');
        text.push_str(&table(&LIMITS, compared.limits.iter().flat_map(limit_rows)));
    }
    text.push('\n');
    for line in lines(compared) {
        let _ = writeln!(text, "- {}", escaped(&line));
    }
    text
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    let mut text = line(&header);
    text.push_str(&line(&vec!["---".to_owned(); header.len()]));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
        text.push_str(&line(&cells));
    }
    text
}
