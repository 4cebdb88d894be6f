//! A comparison of two campaigns as `JUnit` XML: a test per pair of cells, which fails with its limits.

use super::Compared;
use super::table::limit;
use crate::junit::text;
use crate::sentences::verdict;
use maud::{PreEscaped, html};
use stats::comparison::regression::{Outcome, Undecided};

pub fn render(compared: &Compared, undecided: Undecided) -> String {
    let Compared { baseline, candidate, .. } = compared;
    let name = format!("{} vs. {}", candidate.campaign, baseline.campaign);
    let limits_of = |cell: &str| compared.limits.iter().find(|limits| limits.cell == cell);
    let failed = compared.limits.iter().filter(|cell| !cell.failing(undecided).is_empty()).count();
    let tests = compared.comparisons.len();
    let document = html! {
        testsuites name=(text(&name)) tests=(tests) failures=(failed) {
            testsuite name=(text(&name)) tests=(tests) failures=(failed) timestamp=(text(&candidate.created_at)) {
                @for pair in &compared.comparisons {
                    (PreEscaped("\n  "))
                    testcase classname="compare" name=(text(&pair.candidate)) {
                        @if let Some(limits) = limits_of(&pair.candidate) {
                            @let failing = limits.failing(undecided);
                            @if let Some(worst) = failing.first() {
                                @let kind = if worst.outcome == Outcome::Failed { "REGRESSION" } else { "UNDECIDED" };
                                @let message = failing.iter().map(|judged| limit(judged)).collect::<Vec<_>>().join("; ");
                                failure type=(kind) message=(text(&message)) { (text(&message)) }
                            }
                        }
                        system-out {
                            "request latency: " (text(&verdict(&pair.figures.request_latency)))
                            "; throughput: " (text(&verdict(&pair.figures.throughput)))
                            "; cost: " (text(&verdict(&pair.cost)))
                        }
                    }
                }
                (PreEscaped("\n"))
            }
        }
    };
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n", document.into_string())
}
