//! The verdict on two cells, and what would separate them.

use super::counted;
use super::limitation::reason;
use plot::number::{count, percent, signed_percent};
use stats::comparison::separate::{MOST_RUNS, Need, Separation, Spread};
use stats::comparison::{Comparison, Finding, Quantity, Scope};

/// What was found of one quantity: `53.7% slower (52.5 to 54.9%)`. The interval is the one that is corrected for the
/// family of comparisons.
pub(crate) fn verdict(found: &Comparison) -> String {
    let interval = found.corrected_ci_low.zip(found.corrected_ci_high);
    let (Some(ratio), Some((low, high))) = (found.ratio.value, interval) else {
        return match reason(&found.ratio) {
            Some(reason) => format!("undecided: {reason}"),
            None => "undecided".to_owned(),
        };
    };
    let (more, less) = words(found.quantity);
    let share = |ratio: f64| percent((ratio - 1.0).abs());
    match found.verdict.finding {
        Finding::Equal => {
            format!("equal within {}%", percent(found.verdict.equal_within.unwrap_or_default()))
        }
        Finding::NotDistinguishable => format!(
            "no significant difference ({} to {}%)",
            signed_percent(low),
            signed_percent(high)
        ),
        Finding::More => format!("{}% {more} ({} to {}%)", share(ratio), share(low), share(high)),
        Finding::Less => format!("{}% {less} ({} to {}%)", share(ratio), share(high), share(low)),
    }
}

/// The adjectives for more and less of a quantity.
fn words(quantity: Quantity) -> (&'static str, &'static str) {
    match quantity {
        Quantity::Throughput => ("faster", "slower"),
        Quantity::RequestLatency | Quantity::LatencyPerOutputToken | Quantity::Ttft => {
            ("slower", "faster")
        }
        Quantity::OutputTokens => ("longer", "shorter"),
        Quantity::Cost => ("more expensive", "cheaper"),
    }
}

/// The correction of the intervals, and what they hold for.
pub(crate) fn basis<'a>(latencies: impl Iterator<Item = &'a Comparison>) -> String {
    let (mut family, mut hold_for) = (0, "these targets");
    for latency in latencies {
        family = latency.family.max(family);
        if latency.scope == Scope::TheseMachines {
            hold_for = "these machines";
        }
    }
    let correction = match family {
        0 | 1 => String::new(),
        family => format!(", Holm-corrected over {}", counted(family, "pair")),
    };
    format!("95% CI{correction}; valid for {hold_for}")
}

/// A ratio as a signed change in percent: `+53.7%`.
pub(crate) fn signed_change(ratio: f64) -> String {
    format!("{}%", signed_percent(ratio))
}

/// What would separate two cells: `more runs (runs vary by 2%, requests add 0.5%): about 12 runs for a
/// difference of this size`.
pub(crate) fn separation(separation: &Separation) -> String {
    let Separation { need, runs, spread, hosts } = separation;
    let more = more_of(*need);
    let Some(Spread { hosts: of_hosts, runs: of_runs, samples }) = spread else {
        return format!("{more}: one run shows no variation between runs");
    };
    let share = |share: &Option<f64>| match share {
        Some(share) => format!("{}%", percent(*share)),
        None => "an unknown share".to_owned(),
    };
    let (of_hosts, of_runs, samples) = (share(of_hosts), share(of_runs), share(samples));
    let enough = runs.map_or_else(
        || format!("more than {} runs for a difference this small", count(MOST_RUNS.into())),
        |runs| format!("about {} runs for a difference of this size", count(runs.into())),
    );
    let why = match need {
        Need::Hosts => format!("hosts vary by {of_hosts}"),
        Need::Runs | Need::Samples => {
            format!("runs vary by {of_runs}, requests add {samples}")
        }
    };
    let scope = if *hosts < 2 { "; with one host per target, for these machines only" } else { "" };
    format!("{more} ({why}): {enough}{scope}")
}

fn more_of(need: Need) -> &'static str {
    match need {
        Need::Runs => "more runs",
        Need::Samples => "more samples",
        Need::Hosts => "more hosts",
    }
}

/// How many pairs have no significant difference in latency, and what would resolve them.
pub(crate) fn unresolved(comparisons: &[results::Comparison]) -> Option<String> {
    let open: Vec<Need> =
        comparisons.iter().filter_map(|pair| Some(pair.separation.as_ref()?.need)).collect();
    let needs: Vec<String> = [Need::Runs, Need::Samples, Need::Hosts]
        .into_iter()
        .map(|need| (open.iter().filter(|one| **one == need).count(), more_of(need)))
        .filter(|(pairs, _)| *pairs > 0)
        .map(|(pairs, more)| format!("{more} would resolve {pairs}"))
        .collect();
    let pairs = counted(open.len() as u64, "pair");
    (!open.is_empty())
        .then(|| format!("No significant latency difference in {pairs}; {}.", needs.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stats::comparison::{Contrast, Rounds, judge};

    fn text(quantity: Quantity, log_ratio: f64, error: f64, margin: Option<f64>) -> String {
        let contrast = Contrast {
            log_ratio: Some(log_ratio),
            error: Some((error, 2.0)),
            rounds: Rounds::Paired,
            runs: 3,
            shared_samples: 150,
            reason: None,
            hosts: 1,
        };
        verdict(&judge(quantity, &[contrast], margin)[0])
    }

    #[test]
    fn a_verdict_has_its_interval() {
        let latency =
            |ratio: f64, error, margin| text(Quantity::RequestLatency, ratio.ln(), error, margin);
        assert_eq!(latency(1.03, 0.001, None), "3% slower (2.56 to 3.44%)");
        assert_eq!(latency(0.8, 0.001, None), "20% faster (19.7 to 20.3%)");
        assert_eq!(latency(1.03, 0.001, Some(0.05)), "equal within 5%");
        let unclear = "no significant difference (-1.34 to +7.53%)";
        assert_eq!(latency(1.03, 0.01, None), unclear);
    }

    #[test]
    fn more_throughput_is_faster_and_more_cost_is_more_expensive() {
        let words = |quantity| text(quantity, 1.03_f64.ln(), 0.001, None);
        assert!(words(Quantity::Throughput).contains("faster"));
        assert!(words(Quantity::Cost).contains("more expensive"));
        assert!(words(Quantity::OutputTokens).contains("longer"));
    }

    #[test]
    fn advice_has_its_reason_and_its_scope() {
        let spread = Some(Spread { hosts: None, runs: Some(0.02), samples: Some(0.005) });
        let advice = Separation { need: Need::Runs, runs: None, spread, hosts: 1 };
        assert_eq!(
            separation(&advice),
            "more runs (runs vary by 2%, requests add 0.5%): more than 1,000 runs for a difference this \
             small; with one host per target, for these machines only"
        );
    }
}
