//! A model on a serverless endpoint, which is paid by its processing time.
//!
//! No campaign measures such an endpoint. The traffic file names a measured target whose batch times of one request stand
//! for it, and the decision says so.

use super::candidate::Candidate;
use super::curve::Curve;
use super::options::IndexedCandidate;
use super::prediction::{Choice, Paid, Setting, Simulations, SizedPolicy, meets};
use super::simulation::{Outcome, Serverless, simulate_serverless};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// SageMaker ends a request after this time.
const TIMEOUT_S: f64 = 60.0;
const MB_OF_GB: f64 = 1024.0;
const KB_OF_GB: f64 = 1024.0 * 1024.0;

/// The candidates that stand for the endpoint: those of its target that process one request at a time.
pub(super) fn stand_ins<'a>(
    target: &str,
    candidates: &'a [Candidate],
) -> Vec<IndexedCandidate<'a>> {
    let is_one = |candidate: &Candidate| candidate.facts.max_batch_size == 1;
    (candidates.iter().enumerate())
        .filter(|(_, candidate)| candidate.facts.target == target && is_one(candidate))
        .map(|(index, candidate)| IndexedCandidate { index, candidate })
        .collect()
}

/// Predicts the figures of a serverless endpoint that is as fast as a candidate.
pub(super) fn serverless_choice(
    setting: Setting<'_>,
    given: &traffic::Serverless,
    of: IndexedCandidate<'_>,
) -> Choice {
    Endpoint { setting, given, of }.predict()
}

struct Endpoint<'a> {
    setting: Setting<'a>,
    given: &'a traffic::Serverless,
    of: IndexedCandidate<'a>,
}

impl Endpoint<'_> {
    fn simulated(&self, curve: &Curve, factor: f64, seed: u64) -> Outcome {
        let Self { setting, given, of } = self;
        let endpoint = Serverless {
            max_concurrency: given.max_concurrency as usize,
            cold_start_s: given.cold_start_s.or(of.candidate.facts.load_s).unwrap_or_default(),
            idle_s: given.idle_minutes * 60.0,
            timeout_s: TIMEOUT_S,
            limit_s: setting.file.objective.latency_ms / 1000.0,
            span_s: setting.span_s(),
        };
        let requests = setting.demand.requests(factor, seed);
        simulate_serverless(requests, curve, &endpoint, seed.wrapping_add(1))
    }

    fn usd(&self, paid: Paid) -> f64 {
        let given = self.given;
        let memory_gb = f64::from(given.memory_mb) / MB_OF_GB;
        let data_gb = paid.processed * given.data_kb_per_request / KB_OF_GB;
        paid.seconds * memory_gb * given.usd_per_gb_second + data_gb * given.data_usd_per_gb
    }

    fn error_share(&self, outcome: &Outcome) -> f64 {
        (outcome.error_share() + self.of.candidate.facts.failed_share).min(1.0)
    }

    fn predict(&self) -> Choice {
        let Setting { file, seed, simulations, .. } = self.setting;
        let times = &self.of.candidate.times;
        let peak = file.growth * file.peak_factor;
        let at_peak = self.simulated(&times.curve(None), peak, seed);
        let meets_at_peak =
            meets(&file.objective, at_peak.good_share(), self.error_share(&at_peak));
        let outcomes: Vec<Outcome> = (1..=simulations)
            .map(|number| {
                let seed = self.setting.seed_of(number);
                let curve = times.resampled(&mut ChaCha8Rng::seed_from_u64(seed ^ 1));
                self.simulated(&curve, file.growth, seed)
            })
            .collect();
        let sized = SizedPolicy::Serverless {
            memory_mb: self.given.memory_mb,
            max_concurrency: self.given.max_concurrency,
        };
        let (setting, index) = (self.setting, self.of.index);
        let found = Simulations { setting, index, sized, meets_at_peak, outcomes };
        let usd = |paid| self.usd(paid);
        let error_share = |outcome: &Outcome| self.error_share(outcome);
        found.choice(&usd, &error_share, 0.0, None)
    }
}
