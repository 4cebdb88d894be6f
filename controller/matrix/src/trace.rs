//! A recorded trace whose times the requests of an open loop follow.

use super::duration::time_of;
use super::load::{Arrivals, Loads, MAX_DURATION, round};
use super::plan::{Load, stream};
use super::reader::Section;
use model::load::Scenario;
use model::recorded_arrivals::{Error, RecordedArrivals};
use model::words;
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

words!(
    /// What a factor of a trace changes.
    #[derive(Default, JsonSchema)]
    Scale, "scale", {
        /// The speed of time: all requests, closer together or further apart.
        #[default]
        Time = "time",
        /// The number of requests: a share of them, at their own times.
        Rate = "rate",
    }
);

/// Limits on the factors.
const FACTORS: (f64, f64) = (0.001, 1000.0);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Absolute.
    pub path: String,
    pub scale: Scale,
    /// Multiples of the recorded rate; at least one, and exactly one of a sustained load.
    pub factors: Vec<f64>,
    /// The part of the trace that is replayed, from its first request.
    pub from: Duration,
    /// None: to its end.
    pub duration: Option<Duration>,
    /// The arrivals of this part, which [`Loads::record`] sets: a campaign doesn't open the file again.
    pub recorded: Option<RecordedArrivals>,
}

impl Trace {
    /// The arrivals at a multiple of the recorded rate. The requests of a share are among those of every larger share.
    fn scaled(&self, factor: f64, seed: u64) -> Option<Result<RecordedArrivals, Error>> {
        let recorded = self.recorded.as_ref()?;
        Some(match self.scale {
            Scale::Time => recorded.faster(factor),
            Scale::Rate => recorded.only(&share(recorded.times_ns().len(), factor, seed)),
        })
    }
}

/// The indices, ascending, of a share of `count` arrivals, chosen at random: at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
fn share(count: usize, share: f64, seed: u64) -> Vec<usize> {
    let mut random = stream(seed, "thinning", &[]);
    let mut ranked: Vec<(f64, usize)> = (0..count).map(|index| (random.random(), index)).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.truncate(((count as f64 * share).round() as usize).clamp(1, count));
    let mut kept: Vec<usize> = ranked.into_iter().map(|(_, index)| index).collect();
    kept.sort_unstable();
    kept
}

impl Loads {
    /// The traces to read, in the order of their scenarios.
    pub fn traces(&self) -> impl Iterator<Item = (Scenario, &Trace)> {
        let server = self.server.as_ref().and_then(|server| server.trace.as_ref());
        let stress = self.stress.as_ref().and_then(|stress| stress.trace.as_ref());
        let named = [(Scenario::Server, server), (Scenario::Stress, stress)];
        named.into_iter().filter_map(|(scenario, trace)| Some((scenario, trace?)))
    }

    /// The trace that the requests of a scenario follow.
    pub fn trace(&self, scenario: Scenario) -> Option<&Trace> {
        self.traces().find(|(of, _)| *of == scenario).map(|(_, trace)| trace)
    }

    /// Sets the arrivals of a scenario's trace. The rates, with four digits, follow from them.
    /// [`Error`] if a factor makes them too slow.
    pub fn record(
        &mut self,
        scenario: Scenario,
        recorded: &RecordedArrivals,
        seed: u64,
    ) -> Result<(), Error> {
        let rates = |trace: &mut Trace| -> Result<Vec<f64>, Error> {
            trace.recorded = Some(recorded.clone());
            let scaled = trace.factors.iter().filter_map(|factor| trace.scaled(*factor, seed));
            scaled.map(|arrivals| Ok(round(arrivals?.rate()))).collect()
        };
        if let Some(server) = self.server.as_mut().filter(|_| scenario == Scenario::Server)
            && let Some(trace) = &mut server.trace
        {
            server.request_rates = rates(trace)?;
        }
        if let Some(stress) = self.stress.as_mut().filter(|_| scenario == Scenario::Stress)
            && let Some(trace) = &mut stress.trace
        {
            stress.request_rate = rates(trace)?.first().copied();
        }
        Ok(())
    }

    /// The recorded arrivals of a cell's load, within one period; `None` if its arrivals are random.
    pub fn recorded(&self, scenario: Scenario, load: &Load, seed: u64) -> Option<RecordedArrivals> {
        let trace = self.trace(scenario).filter(|_| load.queue.arrivals == Arrivals::Trace)?;
        trace.scaled(load.trace_factor?, seed)?.ok()
    }

    /// The number of arrivals of an open loop that are expected in any `span_ns` at most: those of the highest rate, or
    /// of the trace's busiest time.
    pub fn most_arrivals(&self, scenario: Scenario, load: &Load, span_ns: u64) -> f64 {
        let trace = self.trace(scenario).and_then(|trace| Some((trace, trace.recorded.as_ref()?)));
        if let Some(((trace, recorded), factor)) = trace.zip(load.trace_factor) {
            // A share may be all of the busiest time.
            let speed = if trace.scale == Scale::Time { factor } else { 1.0 };
            return most_within(recorded, span_ns as f64 * speed);
        }
        let highest = self.rate_profile(scenario).map_or(1.0, |profile| profile.range().1);
        load.request_rate.unwrap_or_default() * highest * span_ns as f64 / 1e9
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time above zero; what is past the end of time stays there"
)]
fn most_within(recorded: &RecordedArrivals, span_ns: f64) -> f64 {
    recorded.most_within(span_ns as u64) as f64
}

/// Reads `trace`, which is required where `arrivals` is `trace`. The path is relative to `folder`.
pub(super) fn trace(
    section: &mut Section<'_, '_>,
    arrivals: Arrivals,
    folder: &Path,
    scenario: Scenario,
) -> Option<Trace> {
    let mut trace = section.section("trace");
    if arrivals != Arrivals::Trace {
        if !trace.is_absent() {
            section.problem("trace", "has no effect without arrivals = \"trace\"");
        }
        return None;
    }
    if trace.is_absent() {
        let message = "is missing, for example: trace = { path = \"trace.csv\" }";
        section.problem("trace", message);
        return None;
    }
    for key in ["request_rates", "request_rate", "search", "rate_profile"] {
        if section.has(key) {
            let message = "has no effect with arrivals = \"trace\", whose rate is the recorded one: set trace.factors";
            section.problem(key, message.replace("factors", factors_key(scenario)));
        }
    }
    let path = trace.text("path");
    trace.require("path", "\"trace.csv\"");
    let scale = trace.word("scale").unwrap_or_default();
    let key = factors_key(scenario);
    let factors = if scenario == Scenario::Server {
        trace.positive_list(key)
    } else {
        trace.positive(key).map(|factor| vec![factor])
    };
    let factors = factors.unwrap_or_else(|| vec![1.0]);
    let most = if scale == Scale::Rate { 1.0 } else { FACTORS.1 };
    if let Some(factor) = factors.iter().find(|factor| !(FACTORS.0..=most).contains(*factor)) {
        let hint = if scale == Scale::Rate && *factor > 1.0 {
            ": a trace can be thinned; for a higher rate, use scale = \"time\""
        } else {
            ""
        };
        let message =
            format!("expected a number from {} to {most}, found {factor}{hint}", FACTORS.0);
        trace.problem(key, message);
    }
    let from = trace.text("from").map(|text| {
        let time = time_of(&text).filter(|time| *time <= MAX_DURATION);
        if time.is_none() {
            let message = format!("expected a time such as \"0s\" or \"8h\", found `{text}`");
            trace.problem("from", message);
        }
        time.unwrap_or_default()
    });
    let duration = trace.time("duration", "a time such as \"1h\"", MAX_DURATION);
    trace.finish();
    Some(Trace {
        path: folder.join(path?).to_string_lossy().into_owned(),
        scale,
        factors,
        from: from.unwrap_or_default(),
        duration,
        recorded: None,
    })
}

/// A sustained load has one factor.
fn factors_key(scenario: Scenario) -> &'static str {
    if scenario == Scenario::Server { "factors" } else { "factor" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_exact_and_part_of_every_larger_one() {
        let (third, half) = (share(1000, 1.0 / 3.0, 7), share(1000, 0.5, 7));
        assert_eq!((third.len(), half.len()), (333, 500));
        assert!(third.iter().all(|index| half.contains(index)));
        assert!(third.is_sorted() && third != share(1000, 1.0 / 3.0, 8));
        assert_eq!(share(10, 1.0, 7), (0..10).collect::<Vec<_>>());
        assert_eq!(share(3, 0.001, 7).len(), 1);
    }
}
