//! The recorded traces of a matrix, read once: the campaign holds their times.

use anyhow::{Context, bail};
use matrix::{LengthUnit, LengthUse, Matrix, RecordedLengths, Trace};
use model::recorded_arrivals::{MAX_ARRIVALS, RecordedArrivals};
use ops::input_file;
use std::path::Path;

/// The arrivals of a trace, and the lengths of their prompts.
struct Recorded {
    arrivals: RecordedArrivals,
    lengths: Option<RecordedLengths>,
}

/// Replaces the factors of each trace by the rates that they are of.
pub(super) fn record(matrix: &mut Matrix) -> anyhow::Result<()> {
    let traces: Vec<_> =
        matrix.loads.traces().map(|(scenario, trace)| (scenario, trace.clone())).collect();
    for (scenario, trace) in traces {
        let what = || format!("can't use protocol.{scenario}.trace");
        let Recorded { arrivals, lengths } = read(&trace, matrix.seed).with_context(what)?;
        if lengths.is_some() {
            check_agents(matrix).with_context(what)?;
        }
        let seed = matrix.seed;
        matrix.loads.record(scenario, &arrivals, lengths.as_ref(), seed).with_context(what)?;
    }
    Ok(())
}

/// Agents of one endpoint send the requests of a trace at random, so none of them can choose its dialogues by length.
fn check_agents(matrix: &Matrix) -> anyhow::Result<()> {
    let is_shared =
        |target: &&matrix::Target| target.agents > 1 && matrix.asks_endpoints(&target.name);
    match matrix.targets.iter().find(is_shared) {
        None => Ok(()),
        Some(target) => bail!(
            "the {} agents of {} share the requests at random: set lengths = \"ignore\", or agents = 1",
            target.agents,
            target.name
        ),
    }
}

fn read(trace: &Trace, seed: u64) -> anyhow::Result<Recorded> {
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
    let mut requests = whole.requests(seed);
    requests.retain(|(at_s, _)| (from_s..=until_s).contains(at_s));
    let times: Vec<u64> = requests.iter().map(|(at_s, _)| nanoseconds(at_s - from_s)).collect();
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
    let arrivals = RecordedArrivals::new(times, period_ns).with_context(|| {
        format!("{}: no requests from {from_s:.0} s to {until_s:.0} s", path.display())
    })?;
    // Characters need no conversion.
    let (unit, of_rows) = match &whole.input_characters[..] {
        [] => (LengthUnit::Tokens, &whole.input_tokens[..]),
        characters => (LengthUnit::Characters, characters),
    };
    let is_used = trace.lengths == LengthUse::Match && !of_rows.is_empty();
    let values = || requests.iter().map(|(_, row)| of_rows[*row]).collect();
    let lengths = is_used.then(|| RecordedLengths { unit, values: values() });
    Ok(Recorded { arrivals, lengths })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a trace")]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}
