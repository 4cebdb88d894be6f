//! What is predicted for an option, and its figures from simulations, whatever serves the requests.

use super::simulation::{Hour, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::quantile::quantile;
use traffic::{Demand, Objective, PolicyKind, Slots, TrafficFile};

/// Hours of a month: 365.25 days / 12.
pub const HOURS_OF_MONTH: f64 = 730.5;
/// A constant rate is simulated for so many requests, but at least an hour and at most a day.
const CONSTANT_REQUESTS: f64 = 50_000.0;
const DAY_S: f64 = 86_400.0;
pub(super) const HOUR_S: f64 = 3600.0;

/// A predicted figure with the interval that holds 95 % of the simulations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Predicted {
    /// The mean of the simulations.
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Predicted {
    /// The mean, and the quantiles 2.5 % and 97.5 % (type 7).
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let value = values.iter().sum::<f64>() / values.len() as f64;
        let end = |probability| quantile(&values, probability).unwrap_or(value);
        Self { value, low: end(0.025), high: end(0.975) }
    }
}

/// Whether an option meets the objective.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Attained {
    /// In at least 95 % of the simulations, and at the peak.
    Met,
    /// In some simulations, or not at the peak.
    Undecided,
    Missed,
}

/// A policy with its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "policy")]
pub enum SizedPolicy {
    Fixed {
        instances: u32,
    },
    /// By requests per second of one instance.
    Tracking {
        target_rate: f64,
        /// Its share of the rate at which an instance is always busy with full batches.
        target_share: f64,
    },
    /// For each hour of the day (24) or of the week from Monday (168), in the time zone of the traffic.
    Scheduled {
        instances: Vec<u32>,
        target_share: f64,
    },
    /// A sandbox for each request. It is paid by processing time: instances are billed sandboxes.
    Serverless {
        memory_mb: u32,
        max_concurrency: u32,
    },
}

/// The instances of another target that a fleet always has and uses first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BaseOfChoice {
    /// Index into the candidates.
    pub candidate: usize,
    pub instances: u32,
    /// An instance gets a request while it has fewer than this many; the others go to the scaled instances.
    pub spill_at: u32,
    /// Requests per second that the policy counts on from all of them.
    pub rate: f64,
    /// Requests that they answered over all answered ones, 0 to 1.
    pub answered_share: Predicted,
    /// Their part of the cost.
    pub usd_per_month: f64,
}

/// A candidate with a policy, and what was predicted for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// Index into the candidates; of a fleet with a base, that of the instances that the policy scales.
    pub candidate: usize,
    /// Null if all instances are of one target.
    #[serde(default)]
    pub base: Option<BaseOfChoice>,
    #[serde(flatten)]
    pub sized: SizedPolicy,
    pub attained: Attained,
    /// Whether it meets the objective with the peak factor, at the batch times as measured.
    pub meets_at_peak: bool,
    pub usd_per_month: Predicted,
    /// The percentile of the objective, in milliseconds.
    pub latency_ms: Predicted,
    /// Requests answered within the limit over all, 0 to 1.
    pub good_share: Predicted,
    /// Rejected, lost and failed requests over all, 0 to 1.
    pub error_share: Predicted,
    /// Processing over paid time, 0 to 1.
    pub utilization: Predicted,
    /// Requests that arrived while a requested instance was not ready, 0 to 1.
    pub cold_start_share: Predicted,
    /// Paid for instances that the target no longer needed.
    pub scale_in_tail_usd_per_month: Predicted,
    pub mean_instances: Predicted,
    pub most_instances: u32,
    /// Means of the simulations for each hour of the simulated period.
    pub hours: Vec<HourOfPeriod>,
    /// The cost of each simulation; those of one number share their arrivals.
    pub usd_by_simulation: Vec<f64>,
}

impl Choice {
    pub fn is_serverless(&self) -> bool {
        matches!(self.sized, SizedPolicy::Serverless { .. })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HourOfPeriod {
    pub requests_per_s: f64,
    pub instances: f64,
    pub usd: f64,
    /// Null in an hour without requests.
    pub good_share: Option<f64>,
}

/// What all options share.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    pub file: &'a TrafficFile,
    pub demand: &'a Demand,
    pub seed: u64,
    pub simulations: u32,
}

impl Setting<'_> {
    /// The length of the simulated period in seconds.
    pub fn span_s(&self) -> f64 {
        match self.demand {
            Demand::Profile(profile) if profile.is_constant() => {
                let rate = self.demand.mean_rate() * self.file.growth;
                (CONSTANT_REQUESTS / rate).clamp(HOUR_S, DAY_S)
            }
            _ => self.demand.span_s(),
        }
    }

    /// How often the simulated period is repeated in a month.
    pub(super) fn periods_of_month(&self) -> f64 {
        HOURS_OF_MONTH * HOUR_S / self.span_s()
    }

    /// The highest rate of an hour, with growth.
    pub fn busiest_rate(&self) -> f64 {
        self.demand.rates_by_hour().into_iter().fold(0.0, f64::max) * self.file.growth
    }

    /// The policies that can be simulated.
    pub fn policies(&self) -> Vec<PolicyKind> {
        let has_hours = self.slots().is_some();
        let mut kinds = self.file.fleet.policies.clone();
        kinds.retain(|kind| *kind != PolicyKind::Scheduled || has_hours);
        kinds
    }

    pub(super) fn slots(&self) -> Option<Slots> {
        self.demand.slots(self.file.time_zone)
    }

    /// The seed of a simulation: the arrivals of one number are the same for all options.
    pub(super) fn seed_of(&self, number: u32) -> u64 {
        self.seed.wrapping_add(u64::from(number).wrapping_mul(0x9E37_79B9))
    }

    pub(super) fn objective(&self) -> &Objective {
        &self.file.objective
    }
}

/// What is paid for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Paid {
    /// Instance-seconds, of all types.
    pub(super) seconds: f64,
    /// Those of them that are of the base.
    pub(super) base_seconds: f64,
    /// Requests that a serverless endpoint processed.
    pub(super) processed: f64,
}

impl Paid {
    pub(super) fn of(outcome: &Outcome) -> Self {
        let processed: u64 = outcome.hours.iter().map(|hour| hour.processed).sum();
        let (seconds, base_seconds) = (outcome.paid_s, outcome.base_paid_s);
        Self { seconds, base_seconds, processed: processed as f64 }
    }
}

/// Simulations of one option.
pub(super) struct Simulations<'a> {
    pub(super) setting: Setting<'a>,
    /// Of the candidate.
    pub(super) index: usize,
    pub(super) sized: SizedPolicy,
    pub(super) meets_at_peak: bool,
    pub(super) outcomes: Vec<Outcome>,
}

impl Simulations<'_> {
    /// `usd`: of what is paid for. `error_share`: of a simulation. `tail_usd_per_hour`: of an instance that is paid beyond
    /// what the target needs.
    pub(super) fn choice(
        self,
        usd: &dyn Fn(Paid) -> f64,
        error_share: &dyn Fn(&Outcome) -> f64,
        tail_usd_per_hour: f64,
        base: Option<BaseOfChoice>,
    ) -> Choice {
        let objective = &self.setting.file.objective;
        let span_s = self.setting.span_s();
        let per_month = self.setting.periods_of_month();
        let usd_per_month = |outcome: &Outcome| usd(Paid::of(outcome)) * per_month;
        let percentile = objective.percentile / 100.0;
        let limit_ms = |outcome: &Outcome| {
            outcome.latencies.quantile_s(percentile).unwrap_or_default() * 1000.0
        };
        let tail_usd = |outcome: &Outcome| outcome.tail_s / HOUR_S * tail_usd_per_hour * per_month;
        let good_share = self.figure(&Outcome::good_share);
        let error_share = self.figure(error_share);
        let most = self.outcomes.iter().map(|outcome| outcome.most_instances).max();
        Choice {
            candidate: self.index,
            base,
            attained: attained(objective, good_share, error_share, self.meets_at_peak),
            meets_at_peak: self.meets_at_peak,
            usd_per_month: self.figure(&usd_per_month),
            latency_ms: self.figure(&limit_ms),
            good_share,
            error_share,
            utilization: self.figure(&Outcome::utilization),
            cold_start_share: self.figure(&Outcome::during_start_share),
            scale_in_tail_usd_per_month: self.figure(&tail_usd),
            mean_instances: self.figure(&|outcome| outcome.paid_s / span_s),
            most_instances: u32::try_from(most.unwrap_or_default()).unwrap_or(u32::MAX),
            hours: self.hours(usd),
            usd_by_simulation: self.outcomes.iter().map(usd_per_month).collect(),
            sized: self.sized,
        }
    }

    pub(super) fn figure(&self, figure: &dyn Fn(&Outcome) -> f64) -> Predicted {
        Predicted::of(self.outcomes.iter().map(figure).collect())
    }

    fn hours(&self, usd: &dyn Fn(Paid) -> f64) -> Vec<HourOfPeriod> {
        let count = self.outcomes.first().map_or(0, |outcome| outcome.hours.len());
        let n = self.outcomes.len() as f64;
        let hour = |index: usize| {
            let sum = |of: fn(&Hour) -> f64| {
                self.outcomes.iter().map(|outcome| of(&outcome.hours[index])).sum::<f64>()
            };
            let (arrived, good) = (sum(|hour| hour.arrived as f64), sum(|hour| hour.good as f64));
            let paid = Paid {
                seconds: sum(|hour| hour.paid_s) / n,
                base_seconds: sum(|hour| hour.base_paid_s) / n,
                processed: sum(|hour| hour.processed as f64) / n,
            };
            let length_s = (self.setting.span_s() - index as f64 * HOUR_S).clamp(1.0, HOUR_S);
            HourOfPeriod {
                requests_per_s: arrived / n / length_s,
                instances: paid.seconds / length_s,
                usd: usd(paid),
                good_share: (arrived > 0.0).then(|| good / arrived),
            }
        };
        (0..count).map(hour).collect()
    }
}

/// Whether shares of requests meet the objective.
pub(super) fn meets(objective: &Objective, good_share: f64, error_share: f64) -> bool {
    good_share >= objective.percentile / 100.0 && error_share <= objective.max_error_share
}

fn attained(
    objective: &Objective,
    good: Predicted,
    errors: Predicted,
    meets_at_peak: bool,
) -> Attained {
    let needed = objective.percentile / 100.0;
    if good.high < needed || errors.low > objective.max_error_share {
        Attained::Missed
    } else if good.low >= needed && errors.high <= objective.max_error_share && meets_at_peak {
        Attained::Met
    } else {
        Attained::Undecided
    }
}
