//! Which candidates a recommendation ranks by cost, and which ones it sets aside, with the reason.
//!
//! Every claim about "the cheapest" is about the ranked candidates only. A candidate is ranked unless its figures can't
//! be used, it misses the objective, a better class of candidates exists, or its summaries are worse.

use super::candidate::Candidate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::Estimate;
use stats::slo::Kept;
use stats::validity::Status;

/// A candidate that isn't ranked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SetAside {
    pub name: String,
    #[serde(flatten)]
    pub because: Because,
    /// Whether its cost, as measured, is below that of the recommended one: what would change if it counted.
    pub would_be_cheaper: bool,
}

/// Why a candidate isn't ranked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "because")]
pub enum Because {
    /// INVALID: its figures can't be used.
    Invalid,
    /// It has no cost: nothing was counted, or no time was measured.
    NoCost,
    /// It misses the objective.
    ObjectiveMissed,
    /// Whether it meets the objective is undecided, and others meet it.
    ObjectiveUndecided,
    /// DEGRADED by a cause that may have changed its figures, and others weren't.
    Degraded,
    /// Its ROUGE-L is below that of the best ranked candidate by significantly more than the margin.
    LowerQuality {
        /// The candidate with the highest ROUGE-L.
        best: String,
        /// ROUGE-L less that of the best one, dialogue by dialogue.
        difference: Estimate,
        margin: f64,
    },
}

/// The candidates of a decision, as indices.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking {
    /// By cost, the cheapest first.
    pub ranked: Vec<usize>,
    pub set_aside: Vec<(usize, Because)>,
    /// What separated the ranked ones from those set aside for quality.
    pub quality: QualityRule,
}

/// The part that quality played in a decision.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "rule")]
pub enum QualityRule {
    /// No quality was measured: cost alone decided.
    #[default]
    NotMeasured,
    /// Candidates were ranked whose ROUGE-L isn't below the best one's by significantly more than the margin.
    WithinMargin { margin: f64 },
}

/// Ranks candidates. `difference` gives the ROUGE-L of one candidate less that of another, with its interval; `None`
/// where they share no scored dialogues.
pub fn rank(
    candidates: &[Candidate],
    margin: f64,
    difference: impl Fn(usize, usize) -> Option<Estimate>,
) -> Ranking {
    let mut set_aside: Vec<(usize, Because)> = Vec::new();
    let mut usable = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        match unusable(candidate) {
            Some(because) => set_aside.push((index, because)),
            None => usable.push(index),
        }
    }
    // One that meets the objective precedes one that may; then sound figures precede doubtful ones.
    let class = |index: &usize| {
        let candidate = &candidates[*index];
        (candidate.slo == Some(Kept::Undecided), !candidate.is_sound)
    };
    let best = usable.iter().map(class).min();
    let (mut ranked, others): (Vec<usize>, Vec<usize>) =
        usable.into_iter().partition(|index| Some(class(index)) == best);
    set_aside.extend(others.into_iter().map(|index| {
        let is_open = class(&index).0 && best.is_some_and(|best| !best.0);
        (index, if is_open { Because::ObjectiveUndecided } else { Because::Degraded })
    }));
    let quality = by_quality(candidates, margin, difference, &mut ranked, &mut set_aside);
    let usd = |index: usize| candidates[index].usd_per_1000_requests.value.unwrap_or(f64::INFINITY);
    ranked.sort_by(|&a, &b| usd(a).total_cmp(&usd(b)).then(a.cmp(&b)));
    set_aside.sort_by_key(|(index, _)| *index);
    Ranking { ranked, set_aside, quality }
}

fn unusable(candidate: &Candidate) -> Option<Because> {
    if candidate.status == Status::Invalid {
        return Some(Because::Invalid);
    }
    if candidate.slo == Some(Kept::Missed) {
        return Some(Because::ObjectiveMissed);
    }
    candidate.usd_per_1000_requests.value.is_none().then_some(Because::NoCost)
}

/// Sets aside what is worse than the best of the ranked ones.
fn by_quality(
    candidates: &[Candidate],
    margin: f64,
    difference: impl Fn(usize, usize) -> Option<Estimate>,
    ranked: &mut Vec<usize>,
    set_aside: &mut Vec<(usize, Because)>,
) -> QualityRule {
    let rouge = |index: usize| candidates[index].quality.as_ref().and_then(|one| one.value);
    let best = ranked.iter().copied().filter(|&index| rouge(index).is_some()).max_by(|&a, &b| {
        let (of_a, of_b) = (rouge(a).unwrap_or_default(), rouge(b).unwrap_or_default());
        of_a.total_cmp(&of_b).then(b.cmp(&a))
    });
    let Some(best) = best else { return QualityRule::NotMeasured };
    ranked.retain(|&index| {
        let worse = (index != best)
            .then(|| difference(index, best))
            .flatten()
            .filter(|difference| difference.ci_high.is_some_and(|high| high < -margin));
        let Some(difference) = worse else { return true };
        let best = candidates[best].name.clone();
        set_aside.push((index, Because::LowerQuality { best, difference, margin }));
        false
    });
    QualityRule::WithinMargin { margin }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::tests::candidate;
    use proptest::prelude::*;

    fn no_difference(_: usize, _: usize) -> Option<Estimate> {
        None
    }

    #[test]
    fn a_lost_agent_excludes_nothing_and_doubtful_figures_do() {
        let resumed = Candidate { status: Status::Degraded, ..candidate("resumed", 0.7, 100.0) };
        let doubtful = Candidate {
            status: Status::Degraded,
            is_sound: false,
            ..candidate("doubtful", 0.5, 100.0)
        };
        let ranking =
            rank(&[candidate("valid", 1.0, 100.0), resumed, doubtful], 0.02, no_difference);
        assert_eq!(ranking.ranked, [1, 0]);
        assert_eq!(ranking.set_aside, [(2, Because::Degraded)]);
    }

    #[test]
    fn doubtful_figures_are_ranked_if_there_are_no_others() {
        let doubtful = |name, usd| Candidate {
            status: Status::Degraded,
            is_sound: false,
            ..candidate(name, usd, 100.0)
        };
        let ranking = rank(&[doubtful("a", 2.0), doubtful("b", 1.0)], 0.02, no_difference);
        assert_eq!((ranking.ranked, ranking.set_aside), (vec![1, 0], Vec::new()));
    }

    #[test]
    fn what_may_meet_the_objective_yields_to_what_meets_it() {
        let with = |name, usd, slo| Candidate { slo: Some(slo), ..candidate(name, usd, 100.0) };
        let ranking = rank(
            &[
                with("open", 0.5, Kept::Undecided),
                with("kept", 1.0, Kept::Kept),
                with("missed", 0.1, Kept::Missed),
            ],
            0.02,
            no_difference,
        );
        assert_eq!(ranking.ranked, [1]);
        assert_eq!(
            ranking.set_aside,
            [(0, Because::ObjectiveUndecided), (2, Because::ObjectiveMissed)]
        );
    }

    #[test]
    fn worse_summaries_at_the_same_cost_are_set_aside() {
        let with = |name, usd, rouge: f64| Candidate {
            quality: Some(Estimate::within(rouge, (rouge - 0.02, rouge + 0.02), 80)),
            ..candidate(name, usd, 100.0)
        };
        let candidates =
            [with("base", 0.99, 0.49), with("tuned", 1.0, 0.751), with("near", 1.1, 0.74)];
        let difference = |one: usize, other: usize| {
            let rouge = |at: usize| candidates[at].quality.as_ref()?.value;
            let value = rouge(one)? - rouge(other)?;
            Some(Estimate::within(value, (value - 0.01, value + 0.01), 80))
        };
        let ranking = rank(&candidates, 0.02, difference);
        assert_eq!(ranking.ranked, [1, 2]);
        assert!(
            matches!(&ranking.set_aside[..], [(0, Because::LowerQuality { best, .. })] if best == "tuned")
        );
        assert_eq!(ranking.quality, QualityRule::WithinMargin { margin: 0.02 });
    }

    proptest! {
        #[test]
        fn every_candidate_is_ranked_or_set_aside_once(
            of in prop::collection::vec((0..3_u8, any::<bool>(), 0..4_u8, prop::option::of(0.1..9.0_f64)), 0..12)
        ) {
            let candidates: Vec<Candidate> = of.iter().map(|&(status, is_sound, slo, usd)| Candidate {
                status: [Status::Valid, Status::Degraded, Status::Invalid][usize::from(status)],
                is_sound,
                slo: [None, Some(Kept::Kept), Some(Kept::Missed), Some(Kept::Undecided)][usize::from(slo)],
                usd_per_1000_requests: Estimate { value: usd, ..candidate("", 1.0, 1.0).usd_per_1000_requests },
                ..candidate("", 1.0, 1.0)
            }).collect();
            let ranking = rank(&candidates, 0.02, no_difference);
            let mut all: Vec<usize> = ranking.ranked.clone();
            all.extend(ranking.set_aside.iter().map(|(index, _)| *index));
            all.sort_unstable();
            prop_assert_eq!(all, (0..candidates.len()).collect::<Vec<_>>());
            for pair in ranking.ranked.windows(2) {
                let [a, b] = [pair[0], pair[1]].map(|index| &candidates[index]);
                prop_assert!(a.usd_per_1000_requests.value <= b.usd_per_1000_requests.value);
                prop_assert_eq!((a.is_sound, a.slo == Some(Kept::Undecided)), (b.is_sound, b.slo == Some(Kept::Undecided)));
            }
            for &index in &ranking.ranked {
                prop_assert!(candidates[index].status != Status::Invalid && candidates[index].slo != Some(Kept::Missed));
            }
        }
    }
}
