//! What a cell replayed of a recorded trace.

use super::StoredCampaign;
use crate::offered_load::{ReplayedLengths, ReplayedTrace};
use matrix::lengths::{characters, matched};
use matrix::{LengthUnit, Trace, plan};
use stats::arrivals::burstiness;
use stats::lengths::{LengthMatch, LengthQuantiles};

/// The part of a trace that each run replayed.
pub(super) fn replayed(
    read: &StoredCampaign<'_>,
    planned: &plan::Cell,
    load: &plan::Load,
) -> Option<ReplayedTrace> {
    let (matrix, plan) = (&read.campaign.matrix, &read.campaign.plan);
    let factor = load.trace_factor?;
    let trace = matrix.loads.trace(planned.scenario)?;
    let arrivals = matrix.loads.recorded(planned.scenario, load, plan.seed)?;
    let period_ns = arrivals.period_ns();
    let all = arrivals.times_ns();
    // A run of `server` ends with its last request, a sustained load with its last window.
    let (times, span_ns) = match load.sustained {
        Some(sustained) => {
            let planned_ns = sustained.window_ns.saturating_mul(sustained.windows.into());
            let span_ns = planned_ns.min(period_ns);
            (&all[..all.partition_point(|at_ns| *at_ns < span_ns)], span_ns)
        }
        None => match all.get(plan.samples) {
            Some(next_ns) => (&all[..plan.samples], *next_ns),
            None => (all, period_ns),
        },
    };
    let seconds: Vec<f64> = times.iter().map(|at_ns| *at_ns as f64 / 1e9).collect();
    Some(ReplayedTrace {
        file: file_name(&trace.path),
        factor,
        scale: trace.scale,
        recorded_rate: trace.recorded.as_ref()?.rate(),
        period_s: period_ns as f64 / 1e9,
        burstiness: burstiness(&seconds, span_ns as f64 / 1e9),
        lengths: lengths(read, planned, trace, times.len()),
    })
}

fn file_name(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned()
}

/// The lengths of the requests of the first run, or of the first `requests` of a sustained load.
fn lengths(
    read: &StoredCampaign<'_>,
    planned: &plan::Cell,
    trace: &Trace,
    requests: usize,
) -> Option<ReplayedLengths> {
    let (matrix, plan) = (&read.campaign.matrix, &read.campaign.plan);
    let unit = trace.recorded_lengths.as_ref()?.unit;
    let index = plan.cells.iter().position(|cell| cell.id == planned.id)?;
    let measured = read.dialogues.iter().take(plan.samples);
    let of_dialogues: Vec<u32> = measured.map(|row| characters(&row.dialogue)).collect();
    let mut found = matched(plan, &matrix.loads, index, 1, || of_dialogues.clone())?;
    if planned.sustained().is_some() {
        found.wanted.truncate(requests);
        found.dialogues.truncate(requests);
    }
    let characters = LengthMatch::of(&found.wanted, &found.dialogues, &of_dialogues)?;
    let tokens = |length: &u32| rounded(f64::from(*length) / trace.characters_per_token);
    let first: Vec<_> =
        read.observed[index].cell.observations().filter(|row| row.run == 1).collect();
    let counted = first.iter().filter_map(|row| Some((row.sample, row.input_tokens?)));
    let counted: Vec<(u32, u32)> = counted.collect();
    let quantiles = |tokens: Vec<u32>| LengthQuantiles::of(&tokens);
    let measured_tokens = quantiles(counted.iter().map(|(_, tokens)| *tokens).collect());
    let sent = counted.iter().filter_map(|(dialogue, _)| of_dialogues.get(*dialogue as usize));
    let sent: f64 = sent.map(|length| f64::from(*length)).sum();
    let per_token = measured_tokens.map(|tokens| sent / (tokens.mean * counted.len() as f64));
    let is_tokens = unit == LengthUnit::Tokens;
    Some(ReplayedLengths {
        unit,
        characters_per_token: is_tokens.then_some(trace.characters_per_token),
        characters,
        requested_tokens: quantiles(found.wanted.iter().map(tokens).collect())
            .filter(|_| is_tokens),
        measured_tokens,
        measured_characters_per_token: per_token.filter(|number| number.is_finite()),
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length above zero")]
fn rounded(length: f64) -> u32 {
    length.round() as u32
}
