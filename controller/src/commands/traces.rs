//! The recorded traces of a matrix, read once: the campaign holds their times.

use anyhow::{Context, bail};
use matrix::{Matrix, Trace};
use model::recorded_arrivals::{MAX_ARRIVALS, RecordedArrivals};
use ops::input_file;
use std::path::Path;
use traffic::Demand;

/// Replaces the factors of each trace by the rates that they are of.
pub(super) fn record(matrix: &mut Matrix) -> anyhow::Result<()> {
    let traces: Vec<_> =
        matrix.loads.traces().map(|(scenario, trace)| (scenario, trace.clone())).collect();
    for (scenario, trace) in traces {
        let what = || format!("can't use protocol.{scenario}.trace");
        let recorded = read(&trace, matrix.seed).with_context(what)?;
        matrix.loads.record(scenario, &recorded, matrix.seed).with_context(what)?;
    }
    Ok(())
}

fn read(trace: &Trace, seed: u64) -> anyhow::Result<RecordedArrivals> {
    let path = Path::new(&trace.path);
    let bytes = input_file::read(path).with_context(|| {
        format!("can't read {}: expected the path of a trace, such as a CSV file with a column `timestamp`", path.display())
    })?;
    let whole = traffic::Trace::read(&trace.path, &bytes, None)?;
    let span_s = whole.span_s();
    let (from_s, until_s) = (
        trace.from.as_secs_f64(),
        trace.duration.map_or(span_s, |duration| (trace.from + duration).as_secs_f64()),
    );
    if from_s >= span_s || until_s > span_s.ceil() {
        bail!(
            "{}: expected `from` and `duration` within the trace, which lasts {span_s:.0} s",
            path.display()
        );
    }
    // Requests of a trace in whole seconds are spread over their second at random.
    let all = Demand::Trace(Box::new(whole)).arrivals(1.0, seed);
    let times: Vec<u64> = all
        .filter(|at_s| (from_s..=until_s).contains(at_s))
        .map(|at_s| nanoseconds(at_s - from_s))
        .collect();
    if times.len() > MAX_ARRIVALS {
        bail!(
            "{}: {} requests from {from_s:.0} s to {until_s:.0} s, expected at most {MAX_ARRIVALS}: replay a part of it with trace.from and trace.duration",
            path.display(),
            times.len()
        );
    }
    // The end of the last mean gap, so that a repeated trace keeps its rate.
    let period_ns = match (trace.duration, times.len()) {
        (None, count @ 2..) => nanoseconds((until_s - from_s) * count as f64 / (count - 1) as f64),
        _ => nanoseconds(until_s - from_s),
    };
    RecordedArrivals::new(times, period_ns).with_context(|| {
        format!("{}: no requests from {from_s:.0} s to {until_s:.0} s", path.display())
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a trace")]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}
