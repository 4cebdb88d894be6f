//! The Pareto set and the recommendation.

use cost::Candidate;
use cost::decision::{Caveat, NoneBecause, cost_contrast, judge_costs, recommend};
use cost::pareto::standings;
use cost::ranking::{Because, Ranking, rank};
use stats::Estimate;
use stats::comparison::{Contrast, Finding, Rounds};
use stats::slo::Kept;
use stats::validity::Status;

fn estimate(value: f64, half: f64) -> Estimate {
    Estimate::within(value, (value - half, value + half), 3)
}

fn candidate(name: &str, usd: f64, latency_ms: f64) -> Candidate {
    Candidate {
        name: name.to_owned(),
        status: Status::Valid,
        is_sound: true,
        usd_per_1000_requests: estimate(usd, usd * 0.02),
        latency_ms: estimate(latency_ms, latency_ms * 0.02),
        quality: None,
        slo: None,
        hosts: 2,
        random_weights: false,
    }
}

fn ranking(candidates: &[Candidate]) -> Ranking {
    rank(candidates, 0.02, |_, _| None)
}

fn throughput(ratio: f64, error: f64) -> Contrast {
    Contrast {
        log_ratio: Some(ratio.ln()),
        error: Some((error, 2.0)),
        rounds: Rounds::Paired,
        runs: 3,
        shared_samples: 100,
        reason: None,
        hosts: 2,
    }
}

#[test]
fn the_front_holds_the_cheap_and_the_fast_and_not_what_is_neither() {
    let candidates = [
        candidate("cheap", 1.0, 500.0),
        candidate("fast", 2.0, 100.0),
        candidate("neither", 3.0, 600.0),
    ];
    let standings = standings(&candidates);
    assert_eq!(standings.iter().map(|one| one.on_front).collect::<Vec<_>>(), [true, true, false]);
    assert!(standings.iter().all(|one| one.certain));
    assert_eq!(standings[2].dominated_by, ["cheap", "fast"]);
}

#[test]
fn intervals_that_overlap_leave_the_front_open() {
    let candidates = [candidate("a", 1.0, 500.0), candidate("b", 1.01, 501.0)];
    let standings = standings(&candidates);
    assert!(standings[0].on_front && !standings[1].on_front);
    assert!(standings.iter().all(|one| !one.certain));
}

#[test]
fn better_summaries_keep_a_dearer_candidate_on_the_front() {
    let with_quality = |candidate: Candidate, rouge| Candidate {
        quality: Some(estimate(rouge, 0.01)),
        ..candidate
    };
    let candidates = [
        with_quality(candidate("base", 1.0, 100.0), 0.3),
        with_quality(candidate("tuned", 1.2, 110.0), 0.4),
    ];
    assert!(standings(&candidates).iter().all(|one| one.on_front && one.certain));
}

#[test]
fn an_invalid_cell_is_never_recommended() {
    let broken = Candidate { status: Status::Invalid, ..candidate("broken", 0.1, 10.0) };
    let slow = Candidate { slo: Some(Kept::Missed), ..candidate("slow", 0.5, 900.0) };
    let good = candidate("good", 1.0, 100.0);
    assert_eq!(ranking(&[broken.clone(), slow.clone(), good]).ranked, [2]);
    let none = [broken, slow];
    let none = recommend(&none, &ranking(&none), &[None, None]);
    let because: Vec<&Because> = none.set_aside.iter().map(|one| &one.because).collect();
    assert_eq!(because, [&Because::Invalid, &Because::ObjectiveMissed]);
    assert_eq!(none.name, None);
    assert_eq!(none.none_because, Some(NoneBecause::ObjectiveMissed));
}

#[test]
fn the_cheapest_is_recommended_and_the_next_one_compared() {
    let candidates = [
        candidate("ml.g4dn.xlarge f16 b8", 0.012, 80.0),
        candidate("ml.m5.xlarge f32 b1", 0.031, 700.0),
    ];
    let contrasts = [cost_contrast(&throughput(1.0 / 8.27, 0.01), 0.7364, 0.23)];
    let judged = judge_costs(&contrasts, None);
    assert_eq!(judged[0].verdict.finding, Finding::More);
    let recommendation =
        recommend(&candidates, &ranking(&candidates), &[None, Some((judged[0].clone(), None))]);
    assert_eq!(recommendation.name.as_deref(), Some("ml.g4dn.xlarge f16 b8"));
    let nearest = recommendation.nearest.unwrap();
    assert_eq!(nearest.name, "ml.m5.xlarge f32 b1");
    assert_eq!(nearest.cost, judged[0]);
    assert!(recommendation.not_distinguishable_from.is_empty());
}

#[test]
fn what_is_not_distinguishable_is_named_and_labelled() {
    let local =
        |name, usd| Candidate { hosts: 1, random_weights: true, ..candidate(name, usd, 10.0) };
    let judged = judge_costs(&[cost_contrast(&throughput(0.99, 0.05), 1.0, 1.0)], None);
    let candidates = [local("a", 1.0), local("b", 1.01)];
    let recommendation = recommend(
        &candidates,
        &ranking(&candidates),
        &[None, judged.first().cloned().map(|one| (one, None))],
    );
    assert_eq!(recommendation.not_distinguishable_from, ["b"]);
    assert_eq!(recommendation.caveats, [Caveat::OneHostPerTarget, Caveat::RandomWeights]);
}
