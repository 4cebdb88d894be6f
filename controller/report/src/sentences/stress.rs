//! The verdicts on a sustained load, one sentence each.

use super::counted;
use super::load::queue_delay;
use plot::number::{percent, signed_percent};
use stats::Limitation;
use stats::stress::drift::LevelChange;
use stats::stress::{Drift, Finding, Interference, Leak, Throttling, Verdicts};

/// Level shifts beyond these are counted only.
const MOST_SHIFTS: usize = 3;

/// One sentence per verdict, including what isn't measurable.
pub(crate) fn sentences(verdicts: &Verdicts) -> Vec<String> {
    let Verdicts { windows, planned_windows, measured_s, is_on_gpu, .. } = verdicts;
    let mut lines = Vec::new();
    if windows < planned_windows {
        lines.push(format!(
            "incomplete: {windows} of {planned_windows} windows ({}); the verdicts cover these only",
            duration(*measured_s)
        ));
    }
    lines.push(drift("latency", &verdicts.latency));
    lines.push(drift("throughput", &verdicts.throughput));
    let mut add = |subject: &str, verdict: Option<String>| {
        let verdict = verdict.unwrap_or_else(|| "not measurable here".to_owned());
        if *is_on_gpu || !subject.starts_with("GPU") {
            lines.push(format!("{subject}: {verdict}"));
        }
    };
    add("GPU throttling", verdicts.gpu_throttling.as_ref().map(throttling));
    add("CPU throttling", verdicts.cpu_throttling.as_ref().map(throttling));
    add("other processes", verdicts.other_processes.as_ref().map(interference));
    add("hypervisor steal", verdicts.steal.as_ref().map(interference));
    add("cgroup CPU limit", verdicts.control_group.as_ref().map(interference));
    add("resident memory", verdicts.rss.as_ref().map(leak));
    add("proportional memory", verdicts.pss.as_ref().map(leak));
    add("GPU memory", verdicts.gpu_memory.as_ref().map(leak));
    if let Some(delay) = verdicts.schedule_delay_ms {
        let rejected = counted(verdicts.not_sent, "arrival");
        lines.push(format!("{}; a full queue rejected {rejected}", queue_delay(delay)));
    }
    lines
}

fn drift(subject: &str, drift: &Drift) -> String {
    let steady = if drift.steady_from_s > 0.0 {
        format!(", measured from {} on", duration(drift.steady_from_s))
    } else {
        String::new()
    };
    let shift =
        |shift: &LevelChange| format!("{} at {}", signed(shift.share), duration(shift.at_s));
    let shifts: Vec<String> = drift.changes.iter().take(MOST_SHIFTS).map(shift).collect();
    let shifts = match drift.changes.len() {
        0 => String::new(),
        all if all > MOST_SHIFTS => format!("; {all} level shifts: {}, ...", shifts.join(", ")),
        1 => format!("; level shift: {}", shifts.join(", ")),
        _ => format!("; level shifts: {}", shifts.join(", ")),
    };
    let detectable = detectable(drift.minimum_detectable_over_all, |share| {
        format!("a change of {}%", percent(share))
    });
    match (&drift.finding, drift.over_all.interval()) {
        (Finding::Found, Some((low, high))) => format!(
            "{subject} drift: {} to {} over the run{steady}{shifts}",
            signed(low),
            signed(high)
        ),
        (Finding::NotFound, Some((low, high))) => format!(
            "no {subject} drift: {} to {} over the run{steady}{shifts}{detectable}",
            signed(low),
            signed(high)
        ),
        _ if drift.over_all.reason == Some(Limitation::RateChanges) => {
            format!("{subject} drift not judged: the rate of the load changes")
        }
        (Finding::Inconclusive { more_minutes }, _) => {
            format!("{subject} drift inconclusive{}{shifts}{detectable}", more(*more_minutes))
        }
        (_, None) => format!("{subject} drift inconclusive"),
    }
}

fn leak(leak: &Leak) -> String {
    let detectable = detectable(leak.minimum_detectable_mb_per_hour, |smallest| {
        format!("a leak of {} MiB/h", three(smallest))
    });
    match (&leak.finding, leak.mb_per_hour.interval()) {
        (Finding::Found, Some((low, high))) => {
            let by_requests =
                leak.mb_per_1000_requests.interval().map_or_else(String::new, |(low, high)| {
                    format!(", {} to {} MiB per 1,000 requests", three(low), three(high))
                });
            format!("leak of {} to {} MiB/h{by_requests}", three(low), three(high))
        }
        (Finding::NotFound, Some((_, high))) => {
            format!("no leak above {} MiB/h{detectable}", three(high.max(0.0)))
        }
        (Finding::Inconclusive { more_minutes }, _) => {
            let why = if leak.is_settling { " (growth is slowing down)" } else { "" };
            format!("inconclusive{why}{}{detectable}", more(*more_minutes))
        }
        (_, None) => "inconclusive".to_owned(),
    }
}

fn throttling(found: &Throttling) -> String {
    if !found.finding.is_found() {
        let watched = watched(found);
        return match found.shares.of_time {
            share if share > 0.0 => {
                format!("{}% of the time (negligible){watched}", percent(share))
            }
            _ => format!("none{watched}"),
        };
    }
    let reasons: Vec<String> = (found.by_reason.iter())
        .filter(|(_, shares)| shares.of_time > 0.0)
        .map(|(reason, shares)| format!("{reason} {}%", percent(shares.of_time)))
        .collect();
    let lost = found.throughput_lost.interval().map_or_else(String::new, |(low, high)| {
        format!("; throughput loss: {} to {}%", percent(low), percent(high))
    });
    let onset = found.onset.as_ref().map_or_else(String::new, |onset| {
        let celsius = onset.celsius.map_or_else(String::new, |at| format!(", {at:.0} °C"));
        let watts = onset.watts.map_or_else(String::new, |at| format!(", {at:.0} W"));
        format!("; onset: {}{celsius}{watts}", duration(onset.at_s))
    });
    format!(
        "{}% of the time, {}% of the requests ({}){lost}{onset}",
        percent(found.shares.of_time),
        percent(found.shares.of_requests),
        reasons.join(", "),
    )
}

/// Names the causes that could not be read. A GPU reports all of its reasons together.
fn watched(found: &Throttling) -> &'static str {
    let is_read = |cause: &str| found.by_reason.contains_key(cause);
    match (is_read("heat"), is_read("control_group_limit")) {
        (false, true) => " by the cgroup's limit; heat could not be read",
        (true, false) => " by heat; there is no cgroup limit to read",
        _ => "",
    }
}

fn interference(found: &Interference) -> String {
    let share = format!(
        "{}% of the CPU, up to {}% in a window",
        percent(found.mean_share),
        percent(found.max_share)
    );
    match found.throughput_lost.interval().filter(|_| found.finding.is_found()) {
        Some((low, high)) => {
            format!("{share}; throughput loss: {} to {}%", percent(low), percent(high))
        }
        None => {
            let detectable = detectable(found.minimum_detectable_loss, |loss| {
                format!("a throughput loss of {}%", percent(loss))
            });
            format!("{share}{detectable}")
        }
    }
}

/// The smallest effect that would have been found.
fn detectable(smallest: Option<f64>, effect: impl Fn(f64) -> String) -> String {
    smallest.map_or_else(String::new, |smallest| {
        format!("; {} would have been detected", effect(smallest))
    })
}

fn more(minutes: Option<f64>) -> String {
    minutes.map_or_else(String::new, |minutes| {
        let noun = if minutes <= 1.0 { "minute" } else { "minutes" };
        format!("; run {minutes:.0} more {noun}")
    })
}

fn signed(share: f64) -> String {
    format!("{}%", signed_percent(1.0 + share))
}

fn three(value: f64) -> String {
    percent(value / 100.0)
}

/// `45 s`, `2 min 5 s`, `3 h 20 min`
fn duration(seconds: f64) -> String {
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
    use super::*;
    use stats::stress::leak::{Held, MB};

    #[test]
    fn leaks_are_per_hour() {
        let series = |per_window: f64| -> Vec<Held> {
            let held = |i: u32| Held {
                at_s: f64::from(i) * 10.0,
                requests: u64::from(i) * 100,
                bytes: (100.0 + per_window * f64::from(i)) * MB,
            };
            (1..200).map(held).collect()
        };
        let text =
            |per_window: f64| leak(&stats::stress::leak::leak(&series(per_window), 0.0, None, 1));
        assert_eq!(text(1.0), "leak of 360 to 360 MiB/h, 10 to 10 MiB per 1,000 requests");
        // 0.2% of 100 MiB in the 1,490 s that are judged.
        assert_eq!(
            text(0.0),
            "no leak above 0 MiB/h; a leak of 0.483 MiB/h would have been detected"
        );
        let few = stats::stress::leak::leak(&series(0.0)[..4], 0.0, None, 1);
        assert!(leak(&few).starts_with("inconclusive; run "), "{}", leak(&few));
    }

    #[test]
    fn times_are_short() {
        assert_eq!(duration(59.6), "60 s");
        assert_eq!(duration(125.0), "2 min 5 s");
        assert_eq!(duration(12_000.0), "3 h 20 min");
    }
}
