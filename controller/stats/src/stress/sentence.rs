//! Verdicts as sentences for people.

use super::drift::Drift;
use super::finding::Finding;
use super::interference::Interference;
use super::judge::Verdicts;
use super::leak::Leak;
use super::throttling::Throttling;
use crate::comparison::verdict::percent;

/// What a person should know of a run, one line each. What isn't measurable is said.
pub fn sentences(verdicts: &Verdicts) -> Vec<String> {
    let Verdicts { windows, planned_windows, measured_s, .. } = verdicts;
    let mut lines = Vec::new();
    if windows < planned_windows {
        lines.push(format!(
            "a part only: {windows} of {planned_windows} windows, {}; what follows holds for these",
            duration(*measured_s)
        ));
    }
    lines.push(format!("latency {}", drift(&verdicts.latency)));
    lines.push(format!("throughput {}", drift(&verdicts.throughput)));
    let throttled = [("GPU", &verdicts.gpu_throttling), ("CPU", &verdicts.cpu_throttling)];
    for (what, found) in
        throttled.iter().filter(|what| verdicts.is_on_gpu || !what.0.starts_with("GPU"))
    {
        lines.push(found.as_ref().map_or_else(
            || format!("{what} throttling: not measurable here"),
            |found| format!("{what} {}", throttling(found)),
        ));
    }
    for (what, found) in [
        ("other processes", &verdicts.other_processes),
        ("the hypervisor", &verdicts.steal),
        ("the control group's limit", &verdicts.control_group),
    ] {
        lines.push(found.as_ref().map_or_else(
            || format!("{what}: not measurable here"),
            |found| format!("{what} {}", interference(found)),
        ));
    }
    let held = [
        ("resident memory", &verdicts.rss),
        ("proportional memory", &verdicts.pss),
        ("GPU memory", &verdicts.gpu_memory),
    ];
    for (what, found) in held.iter().filter(|what| verdicts.is_on_gpu || !what.0.starts_with("GPU"))
    {
        lines.push(found.as_ref().map_or_else(
            || format!("{what}: not measurable here"),
            |found| format!("{what}: {}", leak(found)),
        ));
    }
    if let Some(delay) = verdicts.schedule_delay_ms {
        lines.push(format!(
            "requests stood in the queue {} ms after their time (p99), {} ms at most; {} found it full",
            three(delay.p99),
            three(delay.max),
            verdicts.not_sent
        ));
    }
    lines
}

/// The verdict on a drift, after the name of what may drift.
pub fn drift(drift: &Drift) -> String {
    let steady = if drift.steady_from_s > 0.0 {
        format!(", from {} on", duration(drift.steady_from_s))
    } else {
        String::new()
    };
    let steps = match drift.changes.as_slice() {
        [] => String::new(),
        changes => {
            let step = |change: &super::drift::LevelChange| {
                format!("by {} % at {}", signed(change.share), duration(change.at_s))
            };
            let steps: Vec<String> = changes.iter().take(3).map(step).collect();
            let more = if changes.len() > 3 { " and more" } else { "" };
            format!("; its level changed {}{more}", steps.join(", "))
        }
    };
    let seen = drift.minimum_detectable_over_all.map_or_else(String::new, |smallest| {
        format!("; a change of {} % would have been found", percent(smallest))
    });
    match (&drift.finding, drift.over_all.interval()) {
        (Finding::Found, Some((low, high))) => {
            format!("drifts: by {} to {} % over the run{steady}{steps}", signed(low), signed(high))
        }
        (Finding::NotFound, Some((low, high))) => format!(
            "does not drift: by {} to {} % over the run{steady}{steps}{seen}",
            signed(low),
            signed(high)
        ),
        (Finding::Inconclusive { more_minutes }, _) => {
            format!("can't be told to drift or not{}{steps}{seen}", more(*more_minutes))
        }
        (_, None) => "can't be told to drift or not".to_owned(),
    }
}

/// The verdict on a leak.
pub fn leak(leak: &Leak) -> String {
    let seen = leak.minimum_detectable_mb_per_hour.map_or_else(String::new, |smallest| {
        format!("; one of {} MB/h would have been found", three(smallest))
    });
    match (&leak.finding, leak.mb_per_hour.interval()) {
        (Finding::Found, Some((low, high))) => {
            let by_requests =
                leak.mb_per_1000_requests.interval().map_or_else(String::new, |(low, high)| {
                    format!(", {} to {} MB per 1,000 requests", three(low), three(high))
                });
            format!("leak of {} to {} MB/h{by_requests}", three(low), three(high))
        }
        (Finding::NotFound, Some((_, high))) => {
            format!("no leak larger than {} MB/h{seen}", three(high.max(0.0)))
        }
        (Finding::Inconclusive { more_minutes }, _) => {
            let why = if leak.is_settling { ": growth slows down still" } else { "" };
            format!("inconclusive{why}{}{seen}", more(*more_minutes))
        }
        (_, None) => "inconclusive".to_owned(),
    }
}

/// The verdict on throttling, after the name of the device.
pub fn throttling(found: &Throttling) -> String {
    if !found.finding.is_found() {
        return "was not throttled".to_owned();
    }
    let reasons: Vec<String> = (found.by_reason.iter())
        .map(|(reason, shares)| format!("{reason} {} %", percent(shares.of_time)))
        .collect();
    let lost = found.throughput_lost.interval().map_or_else(String::new, |(low, high)| {
        format!("; it cost {} to {} % of throughput", percent(low), percent(high))
    });
    let onset = found.onset.as_ref().map_or_else(String::new, |onset| {
        let celsius = onset.celsius.map_or_else(String::new, |at| format!(" at {at:.0} °C"));
        let watts = onset.watts.map_or_else(String::new, |at| format!(", {at:.0} W"));
        format!("; from {} on{celsius}{watts}", duration(onset.at_s))
    });
    format!(
        "was throttled for {} % of the time and {} % of the requests ({}){lost}{onset}",
        percent(found.shares.of_time),
        percent(found.shares.of_requests),
        reasons.join(", "),
    )
}

/// The verdict on one who may disturb.
pub fn interference(found: &Interference) -> String {
    let share = format!(
        "took {} % of the processor, {} % at most in a window",
        percent(found.mean_share),
        percent(found.max_share)
    );
    let seen = found.minimum_detectable_loss.map_or_else(String::new, |smallest| {
        format!("; a loss of {} % of throughput with it would have been found", percent(smallest))
    });
    match found.throughput_lost.interval().filter(|_| found.finding.is_found()) {
        Some((low, high)) => {
            format!("{share}; {} to {} % of throughput went with it", percent(low), percent(high))
        }
        None => format!("{share}{seen}"),
    }
}

fn more(minutes: Option<f64>) -> String {
    minutes.map_or_else(String::new, |minutes| {
        let noun = if minutes <= 1.0 { "minute" } else { "minutes" };
        format!("; run {minutes:.0} more {noun}")
    })
}

fn signed(share: f64) -> String {
    let text = percent(share);
    if share > 0.0 { format!("+{text}") } else { text }
}

fn three(value: f64) -> String {
    percent(value / 100.0)
}

/// Such as `45 s`, `2 min 5 s`, `3 h 20 min`.
pub fn duration(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run")]
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::leak::{Held, MB};
    use super::*;

    #[test]
    fn leaks_are_told_by_the_hour() {
        let series = |per_window: f64| -> Vec<Held> {
            let held = |i: u32| Held {
                at_s: f64::from(i) * 10.0,
                requests: u64::from(i) * 100,
                bytes: (100.0 + per_window * f64::from(i)) * MB,
            };
            (1..200).map(held).collect()
        };
        let told =
            |per_window: f64| leak(&super::super::leak::leak(&series(per_window), 0.0, None, 1));
        assert_eq!(told(1.0), "leak of 360 to 360 MB/h, 10 to 10 MB per 1,000 requests");
        // 0.2 % of 100 MB in the 1,490 s that are judged.
        assert_eq!(
            told(0.0),
            "no leak larger than 0 MB/h; one of 0.483 MB/h would have been found"
        );
        let few = super::super::leak::leak(&series(0.0)[..4], 0.0, None, 1);
        assert!(leak(&few).starts_with("inconclusive; run "), "{}", leak(&few));
    }

    #[test]
    fn times_are_short() {
        assert_eq!(duration(59.6), "60 s");
        assert_eq!(duration(125.0), "2 min 5 s");
        assert_eq!(duration(12_000.0), "3 h 20 min");
    }
}
