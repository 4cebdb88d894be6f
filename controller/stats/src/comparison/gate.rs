//! The comparability gate: which differences between two groups prevent a comparison, and which only flag it.

use model::text::{LineBreaks, printable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a difference does to a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// There is no comparison.
    Refused,
    /// It is shown beside every figure.
    Flagged,
}

/// The name of a condition, the effect of a difference in it, and its value.
type Row = (&'static str, Effect, fn(&Conditions) -> Option<&str>);

const TABLE: [Row; 16] = [
    ("sample ids", Effect::Refused, |it| it.sample_ids.as_deref()),
    ("data hash", Effect::Refused, |it| it.data_hash.as_deref()),
    (PROMPT, Effect::Refused, |it| it.prompt.as_deref()),
    (SYSTEM, Effect::Refused, |it| it.system.as_deref()),
    ("tokenizer", Effect::Refused, |it| it.tokenizer.as_deref()),
    ("generation limits", Effect::Refused, |it| it.generation_limits.as_deref()),
    (GENERATION, Effect::Refused, |it| it.generation.as_deref()),
    (ENGINE, Effect::Refused, |it| it.engine.as_deref()),
    ("schema version", Effect::Refused, |it| it.schema_version.as_deref()),
    (WEIGHTS, Effect::Refused, |it| it.weights.as_deref()),
    ("driver", Effect::Flagged, |it| it.driver.as_deref()),
    ("governor", Effect::Flagged, |it| it.governor.as_deref()),
    ("dtype", Effect::Flagged, |it| it.dtype.as_deref()),
    ("kernel", Effect::Flagged, |it| it.kernel.as_deref()),
    ("agent version", Effect::Flagged, |it| it.agent_version.as_deref()),
    ("measured_on", Effect::Flagged, |it| it.measured_on.as_deref()),
];

const PROMPT: &str = "prompt";
const SYSTEM: &str = "system message";
const WEIGHTS: &str = "weights";
const GENERATION: &str = "generation";
pub const ENGINE: &str = "engine";

/// Settings of a machine, which many machines don't have or don't tell.
const MACHINE_SETTINGS: [&str; 2] = ["driver", "governor"];

/// The conditions of one group, each as a text that is equal where the condition is; `None` where unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// A hash over the ids of the measured samples, sorted.
    pub sample_ids: Option<String>,
    pub data_hash: Option<String>,
    /// With its placeholder for the dialogue.
    pub prompt: Option<String>,
    /// In quotation marks, or `none`.
    pub system: Option<String>,
    /// Its sha256.
    pub tokenizer: Option<String>,
    /// Of input and output, and what ends an output.
    pub generation_limits: Option<String>,
    /// How tokens are chosen: the settings that differ from greedy decoding.
    pub generation: Option<String>,
    /// Whose implementation computed.
    pub engine: Option<String>,
    /// The major version of the results' schema.
    pub schema_version: Option<String>,
    /// The sha256 of model and adapter.
    pub weights: Option<String>,
    pub driver: Option<String>,
    pub governor: Option<String>,
    pub dtype: Option<String>,
    pub kernel: Option<String>,
    pub agent_version: Option<String>,
    pub measured_on: Option<String>,
}

/// What a matrix declares to differ between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// One model is the baseline of the other.
    Baseline,
    /// Settings of generation are a factor.
    Generation,
    Nothing,
}

impl Declared {
    fn conditions(self) -> &'static [&'static str] {
        match self {
            Self::Baseline => &[WEIGHTS, PROMPT, SYSTEM, GENERATION, ENGINE],
            Self::Generation => &[GENERATION],
            Self::Nothing => &[],
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    pub condition: String,
    pub effect: Effect,
    /// The baseline's; null where unknown.
    pub baseline: Option<String>,
    /// The candidate's; null where unknown.
    pub candidate: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A refusal lists differences, one a line.
        let value = |value| printable(value, LineBreaks::Escaped);
        let [baseline, candidate] = [&self.baseline, &self.candidate]
            .map(|side| side.as_deref().map_or("unknown".into(), value));
        write!(f, "{}: {baseline} vs. {candidate}", value(&self.condition))
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the two can't be compared; they differ in\n  {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
pub struct Refusal(pub Vec<Difference>);

/// Returns the differences that only flag the comparison. Two unknown values are not equal and are flagged, except for
/// settings that neither machine has.
pub fn gate(
    baseline: &Conditions,
    candidate: &Conditions,
    declared: Declared,
) -> Result<Vec<Difference>, Refusal> {
    let (mut refused, mut flagged) = (Vec::new(), Vec::new());
    for (condition, effect, value) in TABLE {
        let (baseline, candidate) = (value(baseline), value(candidate));
        if baseline.is_some() && baseline == candidate {
            continue;
        }
        let both_unknown = baseline.is_none() && candidate.is_none();
        if both_unknown && MACHINE_SETTINGS.contains(&condition) {
            continue;
        }
        let is_declared = declared.conditions().contains(&condition);
        let effect = if both_unknown || is_declared { Effect::Flagged } else { effect };
        let difference = Difference {
            condition: condition.to_owned(),
            effect,
            baseline: baseline.map(str::to_owned),
            candidate: candidate.map(str::to_owned),
        };
        match effect {
            Effect::Refused => refused.push(difference),
            Effect::Flagged => flagged.push(difference),
        }
    }
    if refused.is_empty() { Ok(flagged) } else { Err(Refusal(refused)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions() -> Conditions {
        let same = || Some("same".to_owned());
        Conditions {
            sample_ids: same(),
            data_hash: same(),
            prompt: same(),
            system: same(),
            tokenizer: same(),
            generation_limits: same(),
            generation: same(),
            engine: same(),
            schema_version: same(),
            weights: same(),
            driver: same(),
            governor: same(),
            dtype: same(),
            kernel: same(),
            agent_version: same(),
            measured_on: same(),
        }
    }

    #[test]
    fn like_is_compared_with_like() {
        assert_eq!(gate(&conditions(), &conditions(), Declared::Nothing), Ok(Vec::new()));
    }

    #[test]
    fn every_condition_of_the_table_has_its_effect() {
        let other = Conditions::default();
        let refusal = gate(&conditions(), &other, Declared::Nothing).unwrap_err();
        let named: Vec<_> =
            refusal.0.iter().map(|difference| difference.condition.as_str()).collect();
        let of_table = |effect| TABLE.iter().filter(move |row| row.1 == effect).map(|row| row.0);
        assert_eq!(named, of_table(Effect::Refused).collect::<Vec<_>>());

        let flagged = Conditions {
            driver: None,
            governor: None,
            dtype: None,
            kernel: None,
            agent_version: None,
            measured_on: None,
            ..conditions()
        };
        let flags = gate(&conditions(), &flagged, Declared::Nothing).unwrap();
        let named: Vec<_> = flags.iter().map(|difference| difference.condition.as_str()).collect();
        assert_eq!(named, of_table(Effect::Flagged).collect::<Vec<_>>());
    }

    #[test]
    fn a_refusal_names_both_sides() {
        let other = Conditions { prompt: Some("TL;DR {dialogue}".to_owned()), ..conditions() };
        let refusal = gate(&conditions(), &other, Declared::Nothing).unwrap_err();
        let expected =
            "the two can't be compared; they differ in\n  prompt: same vs. TL;DR {dialogue}";
        assert_eq!(refusal.to_string(), expected);
    }

    #[test]
    fn a_declared_baseline_may_have_other_weights() {
        let tuned = Conditions { weights: Some("tuned".to_owned()), ..conditions() };
        assert!(gate(&conditions(), &tuned, Declared::Nothing).is_err());
        let flags = gate(&conditions(), &tuned, Declared::Baseline).unwrap();
        assert_eq!(flags[0].condition, "weights");
        let beams = Conditions { generation: Some("num_beams = 4".to_owned()), ..conditions() };
        let refusal = gate(&conditions(), &beams, Declared::Nothing).unwrap_err();
        assert!(refusal.to_string().ends_with("generation: same vs. num_beams = 4"), "{refusal}");
        let flags = gate(&conditions(), &beams, Declared::Baseline).unwrap();
        assert_eq!(flags[0].condition, "generation");
        let flags = gate(&conditions(), &beams, Declared::Generation).unwrap();
        assert_eq!(flags[0].condition, "generation");
        assert!(gate(&conditions(), &tuned, Declared::Generation).is_err());
        let asked = Conditions { prompt: Some("{dialogue}".to_owned()), ..conditions() };
        assert!(gate(&conditions(), &asked, Declared::Generation).is_err());
        assert_eq!(gate(&conditions(), &asked, Declared::Baseline).unwrap()[0].condition, "prompt");
        let told = Conditions { system: Some("\"Be brief.\"".to_owned()), ..conditions() };
        let refusal = gate(&conditions(), &told, Declared::Generation).unwrap_err();
        assert!(
            refusal.to_string().ends_with("system message: same vs. \"Be brief.\""),
            "{refusal}"
        );
        let flags = gate(&conditions(), &told, Declared::Baseline).unwrap();
        assert_eq!(flags[0].condition, "system message");
        let candle = Conditions { engine: Some("candle".to_owned()), ..conditions() };
        let refusal = gate(&conditions(), &candle, Declared::Nothing).unwrap_err();
        assert!(refusal.to_string().ends_with("engine: same vs. candle"), "{refusal}");
        assert!(gate(&conditions(), &candle, Declared::Generation).is_err());
        let flags = gate(&conditions(), &candle, Declared::Baseline).unwrap();
        assert_eq!(flags[0].condition, "engine");
    }

    #[test]
    fn what_neither_side_knows_is_flagged_unless_it_is_a_setting() {
        let unknown = Conditions { governor: None, tokenizer: None, ..conditions() };
        let flags = gate(&unknown, &unknown, Declared::Nothing).unwrap();
        let named: Vec<_> = flags.iter().map(|flag| flag.condition.as_str()).collect();
        assert_eq!(named, ["tokenizer"]);
    }
}
