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

words!(
    /// What the recorded lengths of prompts are used for.
    #[derive(Default, JsonSchema)]
    LengthUse, "use of lengths", {
        /// Each request sends a dialogue of about its length.
        #[default]
        Match = "match",
        /// Dialogues come in the order of their run.
        Ignore = "ignore",
    }
);

words!(
    /// The unit of recorded lengths.
    #[derive(JsonSchema)]
    LengthUnit, "unit of lengths", {
        Tokens = "tokens",
        Characters = "characters",
    }
);

/// Limits on the factors.
const FACTORS: (f64, f64) = (0.001, 1000.0);
/// Characters of a token of English text, about as with most vocabularies.
const CHARACTERS_PER_TOKEN: f64 = 4.0;

/// Recorded lengths of prompts, one for each arrival.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedLengths {
    pub unit: LengthUnit,
    pub values: Vec<u32>,
}

fn as_default() -> f64 {
    CHARACTERS_PER_TOKEN
}

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
    #[serde(default)]
    pub lengths: LengthUse,
    /// By which recorded tokens are converted.
    #[serde(default = "as_default")]
    pub characters_per_token: f64,
    /// Set with `recorded`, if the lengths are used and the trace has them.
    #[serde(default)]
    pub recorded_lengths: Option<RecordedLengths>,
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

    /// The lengths of the prompts of [`Trace::scaled`], in characters; `None` if they aren't used.
    pub(super) fn lengths(&self, factor: f64, seed: u64) -> Option<Vec<u32>> {
        let RecordedLengths { unit, values } = self.recorded_lengths.as_ref()?;
        let characters = |length: &u32| match unit {
            LengthUnit::Characters => *length,
            LengthUnit::Tokens => rounded(f64::from(*length) * self.characters_per_token),
        };
        Some(match self.scale {
            Scale::Time => values.iter().map(characters).collect(),
            Scale::Rate => {
                let kept = share(values.len(), factor, seed).into_iter();
                kept.map(|index| characters(&values[index])).collect()
            }
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a length, limited to what a u32 holds"
)]
fn rounded(length: f64) -> u32 {
    length.round() as u32
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
    let lengths = trace.word("lengths").unwrap_or_default();
    let characters_per_token = trace.positive("characters_per_token");
    if characters_per_token.is_some_and(|number| !(0.1..=100.0).contains(&number)) {
        trace.problem("characters_per_token", "expected a number from 0.1 to 100");
    }
    if lengths == LengthUse::Ignore && characters_per_token.is_some() {
        trace.problem("characters_per_token", "has no effect with lengths = \"ignore\"");
    }
    trace.finish();
    Some(Trace {
        path: folder.join(path?).to_string_lossy().into_owned(),
        scale,
        factors,
        from: from.unwrap_or_default(),
        duration,
        recorded: None,
        lengths,
        characters_per_token: characters_per_token.unwrap_or(CHARACTERS_PER_TOKEN),
        recorded_lengths: None,
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
