//! A recorded trace whose times the requests of an open loop follow.

use super::duration::{MAX_DURATION, time_of};
use super::plan::stream;
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
    /// The arrivals of this part, set when the file has been read: a campaign doesn't open the file again.
    pub recorded: Option<RecordedArrivals>,
}

impl Trace {
    /// The arrivals at a multiple of the recorded rate. The requests of a share are among those of every larger share.
    pub(super) fn scaled(&self, factor: f64, seed: u64) -> Option<Result<RecordedArrivals, Error>> {
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

/// Reads the section `trace` of a scenario. The path is relative to `folder`.
pub(super) fn read(mut trace: Section<'_, '_>, folder: &Path, scenario: Scenario) -> Option<Trace> {
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

/// The key of the factors: a sustained load has one.
pub(super) fn factors_key(scenario: Scenario) -> &'static str {
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
