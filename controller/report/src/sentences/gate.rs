//! Gates: thresholds of the matrix and how cells keep them.

use super::{counted, limitation};
use plot::number::{count, shown};
use results::{Gate, Gates};
use stats::Estimate;
use stats::comparison::regression::Outcome;
use stats::validity::Status;

/// `3 of 8 gates failed, 1 of them undecided`, or that all passed.
pub(crate) fn gates(gates: &Gates) -> String {
    let all = gates.judged.len() as u64;
    let undecided =
        gates.judged.iter().filter(|gate| gate.outcome == Outcome::Undecided).count() as u64;
    let failing = gates.failing().len() as u64;
    let undecided_text = match (undecided, gates.allow_undecided) {
        (0, _) => String::new(),
        (some, false) => format!(", {} of them undecided", count(some)),
        (some, true) => format!(", {} undecided (allowed)", count(some)),
    };
    match failing {
        0 if undecided == 0 => format!("{} passed.", counted(all, "gate")),
        0 => format!(
            "No gate failed: {} of {} passed{undecided_text}.",
            count(all - undecided),
            counted(all, "gate")
        ),
        some => format!("{} of {} failed{undecided_text}.", count(some), counted(all, "gate")),
    }
}

/// How a cell keeps a gate: `max_latency_ms.p95 failed: 131 ms (95% CI 122 to 141), limit 120 ms`.
pub(crate) fn gate(gate: &Gate) -> String {
    format!("{} {}: {}", gate.gate, outcome(gate.outcome), held(gate))
}

pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Undecided => "undecided",
        Outcome::Failed => "failed",
    }
}

fn held(gate: &Gate) -> String {
    let status = gate.status.as_str();
    if let Some(required) = &gate.required {
        return format!("the cell is {status}, required is {required}");
    }
    let unit = unit(&gate.gate);
    let limit = gate.limit.map_or_else(|| "–".to_owned(), |limit| limit.to_string());
    let limit = format!("limit {limit}{unit}");
    if gate.status == Status::Invalid {
        return format!("the cell is {status}, {limit}");
    }
    match &gate.estimate {
        Some(estimate) => format!("{}, {limit}", figure(estimate, unit)),
        None => limit,
    }
}

/// `131 ms (95% CI 122 to 141)`, with the reason where the interval or the value is missing.
fn figure(estimate: &Estimate, unit: &str) -> String {
    let reason = || estimate.reason.map(|reason| format!(" ({})", limitation(reason)));
    let Some(value) = estimate.value else {
        return format!("not measured{}", reason().unwrap_or_default());
    };
    let interval = match (estimate.ci_low, estimate.ci_high) {
        (Some(low), Some(high)) => format!(" (95% CI {} to {})", shown(low), shown(high)),
        (Some(low), None) => format!(" (95% CI at least {})", shown(low)),
        _ => reason().unwrap_or_default(),
    };
    format!("{}{unit}{interval}", shown(value))
}

/// The unit that the key states, with a space in front.
pub(crate) fn unit(gate: &str) -> &'static str {
    if gate.contains("_ms") {
        " ms"
    } else if gate.contains("usd") {
        " USD"
    } else if gate.contains("samples_per_s") {
        " samples/s"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stats::Limitation;

    fn of(outcome: Outcome, estimate: Estimate) -> Gate {
        Gate {
            cell: "tiny".to_owned(),
            gate: "max_latency_ms.p95".to_owned(),
            required: None,
            limit: Some(120.0),
            estimate: Some(estimate),
            status: Status::Valid,
            outcome,
        }
    }

    #[test]
    fn a_gate_states_the_figure_the_interval_and_the_limit() {
        let failed = of(Outcome::Failed, Estimate::within(131.0, (122.0, 141.0), 3));
        assert_eq!(
            gate(&failed),
            "max_latency_ms.p95 failed: 131 ms (95% CI 122 to 141), limit 120 ms"
        );
        let invalid = Gate { status: Status::Invalid, ..failed };
        assert_eq!(gate(&invalid), "max_latency_ms.p95 failed: the cell is INVALID, limit 120 ms");
        let open = of(Outcome::Undecided, Estimate::missing(0, Limitation::NothingMeasured));
        assert_eq!(
            gate(&open),
            "max_latency_ms.p95 undecided: not measured (nothing was measured), limit 120 ms"
        );
        let required = Gate {
            gate: "require".to_owned(),
            required: Some("valid".to_owned()),
            limit: None,
            estimate: None,
            status: Status::Degraded,
            ..of(Outcome::Failed, Estimate::missing(0, Limitation::NothingMeasured))
        };
        assert_eq!(gate(&required), "require failed: the cell is DEGRADED, required is valid");
    }

    #[test]
    fn an_undecided_gate_fails_unless_it_is_allowed() {
        let judged = vec![
            of(Outcome::Passed, Estimate::within(100.0, (99.0, 101.0), 3)),
            of(Outcome::Undecided, Estimate::within(120.0, (99.0, 140.0), 3)),
        ];
        let closed = Gates { passed: false, allow_undecided: false, judged };
        assert_eq!(gates(&closed), "1 of 2 gates failed, 1 of them undecided.");
        let open = Gates { passed: true, allow_undecided: true, ..closed };
        assert_eq!(gates(&open), "No gate failed: 1 of 2 gates passed, 1 undecided (allowed).");
    }
}
