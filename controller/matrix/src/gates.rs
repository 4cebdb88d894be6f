//! `[gates]`: thresholds that the figures of every cell must keep.

use super::reader::{Section, hint};
use model::ids::TargetName;
use model::words;
use serde::{Deserialize, Serialize};

/// `[gates]` with its overrides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    pub thresholds: Thresholds,
    /// In the order of the file; a later one wins.
    pub overrides: Vec<Override>,
    /// Whether a gate passes whose interval contains its limit, or has none.
    pub allow_undecided: bool,
}

/// What is required of a cell. At least one threshold is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    pub require: Option<Required>,
    /// At most one per metric.
    pub limits: Vec<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    pub metric: GatedMetric,
    /// Above zero, in the unit of the metric's key.
    pub limit: f64,
}

/// Thresholds of some cells, which replace those of all cells metric by metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Override {
    /// Only cells of this target; null for all.
    pub target: Option<TargetName>,
    /// Only cells of this model; null for all.
    pub model: Option<String>,
    pub thresholds: Thresholds,
}

words!(
    Required, "validity", {
        /// VALID.
        Valid = "valid",
        /// VALID or DEGRADED.
        Usable = "usable",
    }
);

words!(
    /// A figure with a limit, written as the key below `[gates]`.
    GatedMetric, "gate", {
        UsdPer1000Requests = "max_usd_per_1000_requests",
        LatencyMean = "max_latency_ms.mean",
        LatencyP50 = "max_latency_ms.p50",
        LatencyP90 = "max_latency_ms.p90",
        LatencyP95 = "max_latency_ms.p95",
        LatencyP99 = "max_latency_ms.p99",
        TtftMean = "max_ttft_ms.mean",
        TtftP50 = "max_ttft_ms.p50",
        TtftP90 = "max_ttft_ms.p90",
        TtftP95 = "max_ttft_ms.p95",
        TtftP99 = "max_ttft_ms.p99",
        SamplesPerSecond = "min_samples_per_s",
        RougeL = "min_rouge_l",
    }
);

impl Gates {
    /// The thresholds of the cells of a target and a model.
    pub fn of(&self, target: &TargetName, model: &str) -> Thresholds {
        let applies = |one: &&Override| {
            one.target.as_ref().is_none_or(|name| name == target)
                && one.model.as_ref().is_none_or(|name| name == model)
        };
        let mut thresholds = self.thresholds.clone();
        for Override { thresholds: own, .. } in self.overrides.iter().filter(applies) {
            thresholds.require = own.require.or(thresholds.require);
            for limit in &own.limits {
                match thresholds.limits.iter_mut().find(|known| known.metric == limit.metric) {
                    Some(known) => *known = *limit,
                    None => thresholds.limits.push(*limit),
                }
            }
        }
        thresholds
    }
}

impl Thresholds {
    fn is_empty(&self) -> bool {
        self.require.is_none() && self.limits.is_empty()
    }
}

/// The names that overrides may use.
pub(super) struct Known<'a> {
    pub(super) targets: Vec<&'a str>,
    pub(super) models: Vec<&'a str>,
}

/// Reads `[gates]`; `None` if it is absent.
pub(super) fn gates(mut section: Section<'_, '_>, known: &Known<'_>) -> Option<Gates> {
    if section.is_absent() {
        return None;
    }
    let thresholds = thresholds(&mut section);
    let allow_undecided = section.truth("allow_undecided").unwrap_or(false);
    let overrides: Vec<Override> = (section.sections("override").into_iter())
        .filter_map(|section| one_override(section, known))
        .collect();
    if thresholds.is_empty() && overrides.is_empty() {
        section.problem(
            "require",
            "no threshold is set, for example: max_latency_ms = { p95 = 2000 }",
        );
    }
    section.finish();
    Some(Gates { thresholds, overrides, allow_undecided })
}

fn one_override(mut section: Section<'_, '_>, known: &Known<'_>) -> Option<Override> {
    let (target, model) = (section.text("target"), section.text("model"));
    for (key, name, names) in
        [("target", &target, &known.targets), ("model", &model, &known.models)]
    {
        if let Some(name) = name.as_deref().filter(|name| !names.contains(name)) {
            section.problem(key, format!("unknown {key} `{name}`{}", hint(name, names)));
        }
    }
    if !section.has("target") && !section.has("model") {
        section.problem("target", "is missing: name a target, a model, or both");
    }
    let thresholds = thresholds(&mut section);
    if thresholds.is_empty() {
        section.problem("require", "the override sets no threshold");
    }
    section.finish();
    let target = target.map(TargetName::try_from).transpose().ok()?;
    Some(Override { target, model, thresholds })
}

const FIGURES: [&str; 5] = ["mean", "p50", "p90", "p95", "p99"];

fn thresholds(section: &mut Section<'_, '_>) -> Thresholds {
    let require = section.word("require");
    let mut limits = Vec::new();
    let mut add = |key: &str, limit: Option<f64>| {
        let metric = key.parse().expect("the key is that of a metric");
        limits.extend(limit.map(|limit| Limit { metric, limit }));
    };
    for key in ["max_usd_per_1000_requests", "min_samples_per_s", "min_rouge_l"] {
        add(key, section.positive(key));
    }
    for key in ["max_latency_ms", "max_ttft_ms"] {
        let mut of = section.section(key);
        for figure in FIGURES {
            add(&format!("{key}.{figure}"), of.positive(figure));
        }
        of.finish();
    }
    Thresholds { require, limits }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Matrix, Overrides};
    use std::path::Path;

    fn gates_of(lines: &str) -> Result<Option<Gates>, Error> {
        let text = format!(
            "name = \"small\"\n[dataset]\nsource = \"builtin:dialogues\"\n\
             [[model]]\nname = \"tiny\"\nid = \"builtin:tiny\"\n\
             [[target]]\nname = \"fast\"\nusd_per_hour = 1\n\
             [[target]]\nname = \"slow\"\nusd_per_hour = 1\n{lines}"
        );
        let matrix = Matrix::check(&text, "matrix.toml", Path::new("/"), &Overrides::default());
        matrix.map(|matrix| matrix.gates)
    }

    #[test]
    fn every_metric_has_a_key() {
        let lines = "[gates]\nrequire = \"valid\"\nmax_usd_per_1000_requests = 0.05\nmin_rouge_l = 0.3\n\
            min_samples_per_s = 2\nmax_latency_ms = { mean = 1, p50 = 1, p90 = 1, p95 = 2000, p99 = 1 }\n\
            max_ttft_ms = { mean = 1, p50 = 1, p90 = 1, p95 = 1, p99 = 1 }\n";
        let gates = gates_of(lines).unwrap().unwrap();
        assert_eq!(gates.thresholds.require, Some(Required::Valid));
        assert!(!gates.allow_undecided, "gates fail closed");
        let mut metrics: Vec<_> =
            gates.thresholds.limits.iter().map(|limit| limit.metric).collect();
        metrics.sort_unstable();
        assert_eq!(metrics, GatedMetric::ALL);
        assert_eq!(gates_of("").unwrap(), None);
    }

    #[test]
    fn an_override_replaces_thresholds_metric_by_metric() {
        let lines = "[gates]\nmax_usd_per_1000_requests = 0.05\nmax_latency_ms = { p95 = 200 }\nallow_undecided = true\n\
            [[gates.override]]\ntarget = \"slow\"\nmax_latency_ms = { p95 = 900, p50 = 100 }\nrequire = \"usable\"\n";
        let gates = gates_of(lines).unwrap().unwrap();
        assert!(gates.allow_undecided);
        let limits = |target: &str| -> Vec<String> {
            let target = TargetName::try_from(target).unwrap();
            let of = gates.of(&target, "tiny");
            let limits = of.limits.iter().map(|limit| format!("{}={}", limit.metric, limit.limit));
            of.require.iter().map(ToString::to_string).chain(limits).collect()
        };
        let usd = "max_usd_per_1000_requests=0.05";
        assert_eq!(limits("fast"), [usd, "max_latency_ms.p95=200"]);
        assert_eq!(
            limits("slow"),
            ["usable", usd, "max_latency_ms.p95=900", "max_latency_ms.p50=100"]
        );
    }

    #[test]
    fn every_problem_names_its_key() {
        let problem = |lines: &str| gates_of(lines).unwrap_err().to_string();
        let empty = problem("[gates]\n");
        assert!(empty.contains("gates.require: no threshold is set, for example"), "{empty}");
        let typo = problem("[gates]\nmax_latency_ms = { p96 = 1 }\n");
        assert!(typo.contains("gates.max_latency_ms.p96: unknown key"), "{typo}");
        let word = problem("[gates]\nrequire = \"VALID\"\nallow_undecided = \"yes\"\n");
        assert!(word.contains("unknown validity `VALID`: expected one of valid, usable"), "{word}");
        assert!(word.contains("gates.allow_undecided: expected true or false"), "{word}");
        let name = problem("[gates]\nmin_rouge_l = 1\n[[gates.override]]\ntarget = \"fats\"\n");
        assert!(name.contains("unknown target `fats`; did you mean `fast`?"), "{name}");
        assert!(name.contains("the override sets no threshold"), "{name}");
        let all = problem("[gates]\nmin_rouge_l = 1\n[[gates.override]]\nmin_rouge_l = 2\n");
        assert!(all.contains("name a target, a model, or both"), "{all}");
    }
}
