//! A model on a serverless endpoint, which is paid by its processing time.
//!
//! No campaign measures such an endpoint. The traffic file names a measured target whose batch times of one request stand
//! for it, and the decision says so.

use super::candidate::Candidate;
use super::curve::Curve;
use super::options::{
    Choice, HOURS_OF_MONTH, HourOfPeriod, IndexedCandidate, Predicted, Setting, SizedPolicy,
    attained, meets,
};
use super::simulation::{Outcome, Serverless, simulate_serverless};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const HOUR_S: f64 = 3600.0;
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
        let arrivals = setting.demand.arrivals(factor, seed);
        simulate_serverless(arrivals, curve, &endpoint, seed.wrapping_add(1))
    }

    /// USD for billed seconds and processed requests.
    fn usd(&self, billed_s: f64, processed: f64) -> f64 {
        let given = self.given;
        let memory_gb = f64::from(given.memory_mb) / MB_OF_GB;
        let data_gb = processed * given.data_kb_per_request / KB_OF_GB;
        billed_s * memory_gb * given.usd_per_gb_second + data_gb * given.data_usd_per_gb
    }

    fn usd_per_month(&self, outcome: &Outcome) -> f64 {
        let processed: u64 = outcome.hours.iter().map(|hour| hour.processed).sum();
        let months = self.setting.span_s() / HOUR_S / HOURS_OF_MONTH;
        self.usd(outcome.paid_s, processed as f64) / months
    }

    fn error_share(&self, outcome: &Outcome) -> f64 {
        (outcome.error_share() + self.of.candidate.facts.failed_share).min(1.0)
    }

    fn predict(&self) -> Choice {
        let Setting { file, seed, simulations, .. } = self.setting;
        let times = &self.of.candidate.times;
        let peak = file.growth * file.peak_factor;
        let at_peak = self.simulated(&times.curve(), peak, seed);
        let meets_at_peak =
            meets(&file.objective, at_peak.good_share(), self.error_share(&at_peak));
        let outcomes: Vec<Outcome> = (1..=simulations)
            .map(|number| {
                let seed = self.setting.seed_of(number);
                let curve = times.resampled(&mut ChaCha8Rng::seed_from_u64(seed ^ 1));
                self.simulated(&curve, file.growth, seed)
            })
            .collect();
        let of =
            |figure: &dyn Fn(&Outcome) -> f64| Predicted::of(outcomes.iter().map(figure).collect());
        let percentile = file.objective.percentile / 100.0;
        let limit_ms = |outcome: &Outcome| {
            outcome.latencies.quantile_s(percentile).unwrap_or_default() * 1000.0
        };
        let (good_share, error_share) =
            (of(&Outcome::good_share), of(&|outcome| self.error_share(outcome)));
        let most = outcomes.iter().map(|outcome| outcome.most_instances).max().unwrap_or_default();
        Choice {
            candidate: self.of.index,
            base: None,
            sized: SizedPolicy::Serverless {
                memory_mb: self.given.memory_mb,
                max_concurrency: self.given.max_concurrency,
            },
            attained: attained(&file.objective, good_share, error_share, meets_at_peak),
            meets_at_peak,
            usd_per_month: of(&|outcome| self.usd_per_month(outcome)),
            latency_ms: of(&limit_ms),
            good_share,
            error_share,
            utilization: of(&Outcome::utilization),
            cold_start_share: of(&Outcome::during_start_share),
            scale_in_tail_usd_per_month: of(&|_| 0.0),
            mean_instances: of(&|outcome| outcome.paid_s / self.setting.span_s()),
            most_instances: u32::try_from(most).unwrap_or(u32::MAX),
            hours: self.hours(&outcomes),
            usd_by_simulation: outcomes.iter().map(|one| self.usd_per_month(one)).collect(),
        }
    }

    fn hours(&self, outcomes: &[Outcome]) -> Vec<HourOfPeriod> {
        let count = outcomes.first().map_or(0, |outcome| outcome.hours.len());
        let n = outcomes.len() as f64;
        let hour = |index: usize| {
            let of_hour = || outcomes.iter().map(|outcome| outcome.hours[index]);
            let arrived: u64 = of_hour().map(|hour| hour.arrived).sum();
            let good: u64 = of_hour().map(|hour| hour.good).sum();
            let processed: u64 = of_hour().map(|hour| hour.processed).sum();
            let billed_s = of_hour().map(|hour| hour.paid_s).sum::<f64>() / n;
            let length_s = (self.setting.span_s() - index as f64 * HOUR_S).clamp(1.0, HOUR_S);
            HourOfPeriod {
                requests_per_s: arrived as f64 / n / length_s,
                instances: billed_s / length_s,
                usd: self.usd(billed_s, processed as f64 / n),
                good_share: (arrived > 0).then(|| good as f64 / arrived as f64),
            }
        };
        (0..count).map(hour).collect()
    }
}
