//! A candidate with a policy: sized for the peak, then simulated again and again.

use super::candidate::{Candidate, CandidateFacts};
use super::curve::Curve;
use super::prediction::{
    BaseOfChoice, Choice, HOUR_S, HOURS_OF_MONTH, Paid, Setting, Simulations, SizedPolicy, meets,
};
use super::simulation::{
    Base, Batching, Fleet, Hpa, Outcome, Policy, Routing, SageMakerTracking, Spot, StartUp,
    TimesByType, WithoutInstance, simulate_types,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use stats::quantile::quantile;
use traffic::{Platform, PolicyKind};

/// Scale-in and scale-out cooldown of target tracking, and the stabilization of a pod autoscaler.
pub const COOLDOWN_S: u32 = 300;
/// The notice that AWS gives before it interrupts a spot instance.
const SPOT_NOTICE_S: f64 = 120.0;
/// Shares of the full rate of an instance that are tried as targets, the cheapest first.
const TARGET_SHARES: [f64; 12] = [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];

/// Sizes a candidate for a policy and predicts its figures; `index` is that of the candidate.
pub fn choice(
    setting: Setting<'_>,
    index: usize,
    candidate: &Candidate,
    kind: PolicyKind,
) -> Choice {
    let one = IndexedCandidate { index, candidate };
    let planned = Planned::new(setting, one, None);
    let (sized, meets_at_peak) = planned.sized(kind);
    planned.predict(sized, meets_at_peak)
}

/// A candidate and its index.
#[derive(Debug, Clone, Copy)]
pub struct IndexedCandidate<'a> {
    pub index: usize,
    pub candidate: &'a Candidate,
}

/// Shares of hours whose rate the base carries, if each instance has [`BASE_LOAD`] of its full rate: the bases that are
/// tried.
const BASE_HOURS: [f64; 4] = [0.0, 0.5, 0.75, 1.0];
const BASE_LOAD: f64 = 0.7;
/// Share of the limit within which the requests that a base instance has are to be answered.
const BASE_LIMIT: f64 = 0.9;

/// Sizes a fleet of a base and of instances that a policy scales, and predicts its figures: the cheapest of the bases that
/// meet the objective at the peak, by one simulation; else the largest one.
pub fn choice_with_base(
    setting: Setting<'_>,
    base: IndexedCandidate<'_>,
    scaled: IndexedCandidate<'_>,
    kind: PolicyKind,
) -> Choice {
    let curve = base.candidate.times.curve(setting.demand.mean_prompt_tokens());
    let each = BASE_LOAD * curve.full_rate(base.candidate.facts.max_batch_size as usize);
    let mut rates = setting.demand.rates_by_hour();
    rates.sort_by(f64::total_cmp);
    let most = setting.file.fleet.max_instances.saturating_sub(1).max(1);
    let instances = |hours: &f64| {
        let rate = quantile(&rates, *hours).unwrap_or_default() * setting.file.growth;
        ceiling((rate / each).round()).clamp(1, most)
    };
    let mut counts: Vec<u32> = BASE_HOURS.iter().map(instances).collect();
    counts.dedup();
    let tried = counts.into_iter().map(|instances| {
        let base = PlannedBase { of: base, curve: curve.clone(), instances };
        let planned = Planned::new(setting, scaled, Some(base));
        let (sized, meets) = planned.sized(kind);
        let seed = setting.seed;
        let outcome = planned.simulated(&sized, planned.curves(), setting.file.growth, seed);
        let usd = planned.usd(Paid::of(&outcome)) * setting.periods_of_month();
        (planned, sized, meets, usd)
    });
    let key = |meets: bool, usd: f64| if meets { usd } else { f64::INFINITY };
    let best = tried.reduce(|best, next| {
        let is_better = key(next.2, next.3) < key(best.2, best.3) || (!best.2 && !next.2);
        if is_better { next } else { best }
    });
    let (planned, sized, meets, _) = best.expect("there is at least one base");
    planned.predict(sized, meets)
}

/// The limits on the number of scaled instances beside a base of so many.
pub(super) fn bounds_beside(fleet: &traffic::Fleet, base: u32) -> (u32, u32) {
    if base == 0 {
        return (fleet.min_instances, fleet.max_instances);
    }
    // A SageMaker endpoint with instances has at least one.
    let least = match fleet.platform {
        Platform::Sagemaker => 1,
        Platform::Kubernetes => 0,
    };
    let max = fleet.max_instances.saturating_sub(base).max(1);
    (fleet.min_instances.saturating_sub(base).clamp(least, max), max)
}

struct Planned<'a> {
    setting: Setting<'a>,
    scaled: IndexedCandidate<'a>,
    curve: Curve,
    base: Option<PlannedBase<'a>>,
}

struct PlannedBase<'a> {
    of: IndexedCandidate<'a>,
    curve: Curve,
    instances: u32,
}

impl PlannedBase<'_> {
    fn batch_size(&self) -> usize {
        self.of.candidate.facts.max_batch_size as usize
    }

    /// Requests per second of all of them at a share of their full rate.
    fn rate(&self, share: f64) -> f64 {
        f64::from(self.instances) * share * self.curve.full_rate(self.batch_size())
    }

    /// As many requests as there are in the whole batches that the limit has room for, at least one batch.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    fn spill_at(&self, limit_s: f64) -> usize {
        let batches = BASE_LIMIT * limit_s / self.curve.mean_s(self.batch_size());
        (batches.floor().clamp(1.0, 1000.0) as usize) * self.batch_size()
    }
}

impl SizedPolicy {
    fn share(&self) -> f64 {
        match self {
            Self::Fixed { .. } | Self::Serverless { .. } => 1.0,
            Self::Tracking { target_share, .. } | Self::Scheduled { target_share, .. } => {
                *target_share
            }
        }
    }
}

impl<'a> Planned<'a> {
    fn new(
        setting: Setting<'a>,
        scaled: IndexedCandidate<'a>,
        base: Option<PlannedBase<'a>>,
    ) -> Self {
        let curve = scaled.candidate.times.curve(setting.demand.mean_prompt_tokens());
        Self { setting, scaled, curve, base }
    }

    fn facts(&self) -> &CandidateFacts {
        &self.scaled.candidate.facts
    }

    fn full_rate(&self) -> f64 {
        self.curve.full_rate(self.facts().max_batch_size as usize)
    }

    /// Requests per second that the base carries at a share of its full rate.
    fn base_rate(&self, share: f64) -> f64 {
        self.base.as_ref().map_or(0.0, |base| base.rate(share))
    }

    fn bounds(&self) -> (u32, u32) {
        let base = self.base.as_ref().map_or(0, |base| base.instances);
        bounds_beside(&self.setting.file.fleet, base)
    }

    /// The batch times as they were measured.
    fn curves(&self) -> TimesByType<'_, Curve> {
        let base = self.base.as_ref().map_or(&self.curve, |base| &base.curve);
        TimesByType { base, scaled: &self.curve }
    }

    fn usd(&self, paid: Paid) -> f64 {
        let Paid { seconds, base_seconds, .. } = paid;
        let base = self.base.as_ref().map_or(0.0, |base| base.of.candidate.facts.usd_per_hour);
        ((seconds - base_seconds) * self.facts().usd_per_hour + base_seconds * base) / HOUR_S
    }

    /// The policy with the least instances that meets the objective at the peak.
    fn sized(&self, kind: PolicyKind) -> (SizedPolicy, bool) {
        match kind {
            PolicyKind::Fixed => self.fixed(),
            PolicyKind::Tracking => self.by_share(|share| SizedPolicy::Tracking {
                target_rate: share * self.full_rate(),
                target_share: share,
            }),
            PolicyKind::Scheduled => self.by_share(|share| SizedPolicy::Scheduled {
                instances: self.schedule(share),
                target_share: share,
            }),
        }
    }

    fn fixed(&self) -> (SizedPolicy, bool) {
        let fleet = &self.setting.file.fleet;
        let (least, most) = (fleet.min_instances.max(1), fleet.max_instances);
        let meets = |instances: u32| self.meets_at_peak(&SizedPolicy::Fixed { instances });
        // Doubles until it holds, then halves the range.
        let (mut failing, mut holding) = (least - 1, least);
        while !meets(holding) {
            failing = holding;
            if holding == most {
                return (SizedPolicy::Fixed { instances: most }, false);
            }
            holding = (holding * 2).min(most);
        }
        while holding - failing > 1 {
            let middle = u32::midpoint(failing, holding);
            if meets(middle) { holding = middle } else { failing = middle }
        }
        (SizedPolicy::Fixed { instances: holding }, true)
    }

    /// The highest share of the full rate at which the objective holds.
    fn by_share(&self, sized: impl Fn(f64) -> SizedPolicy) -> (SizedPolicy, bool) {
        let fails = |share: &f64| !self.meets_at_peak(&sized(*share));
        let first = TARGET_SHARES.partition_point(fails);
        match TARGET_SHARES.get(first) {
            Some(share) => (sized(*share), true),
            None => (sized(TARGET_SHARES[TARGET_SHARES.len() - 1]), false),
        }
    }

    /// Instances for each slot at the peak.
    fn schedule(&self, share: f64) -> Vec<u32> {
        let Setting { file, demand, .. } = self.setting;
        let Some(slots) = self.setting.slots() else { return Vec::new() };
        let mut highest = vec![0.0_f64; slots.count];
        for (hour, rate) in demand.rates_by_hour().into_iter().enumerate() {
            // An hour of the period may begin within a slot.
            let begin_s = hour as f64 * HOUR_S;
            for slot in [slots.at(begin_s), slots.at(begin_s + HOUR_S - 1.0)] {
                highest[slot] = highest[slot].max(rate);
            }
        }
        let (min, max) = self.bounds();
        let min = if self.base.is_some() { min } else { min.max(1) };
        let (factor, each) = (file.growth * file.peak_factor, share * self.full_rate());
        let beyond = |rate: f64| (rate * factor - self.base_rate(share)).max(0.0);
        highest.into_iter().map(|rate| ceiling(beyond(rate) / each).max(min).min(max)).collect()
    }

    fn meets_at_peak(&self, sized: &SizedPolicy) -> bool {
        let Setting { file, seed, .. } = self.setting;
        let factor = file.growth * file.peak_factor;
        let outcome = self.simulated(sized, self.curves(), factor, seed);
        meets(self.setting.objective(), outcome.good_share(), self.error_share(&outcome))
    }

    fn error_share(&self, outcome: &Outcome) -> f64 {
        let of_base = self.base.as_ref().map_or(0.0, |base| base.of.candidate.facts.failed_share);
        (outcome.error_share() + self.facts().failed_share.max(of_base)).min(1.0)
    }

    fn fleet(&self, sized: &SizedPolicy, factor: f64) -> Fleet {
        let Setting { file, demand, .. } = self.setting;
        let given = &file.fleet;
        let first_rate = demand.rates_by_hour().first().copied().unwrap_or_default() * factor;
        let base_rate = self.base_rate(sized.share());
        let limit_s = file.objective.latency_ms / 1000.0;
        let (policy, first) = match sized {
            SizedPolicy::Fixed { instances } => (Policy::Fixed(*instances as usize), *instances),
            SizedPolicy::Tracking { target_rate, .. } => {
                let target_rate = *target_rate;
                let policy = match given.platform {
                    Platform::Sagemaker => Policy::SageMaker(SageMakerTracking {
                        target_rate,
                        scale_in_cooldown_s: f64::from(COOLDOWN_S),
                    }),
                    Platform::Kubernetes => Policy::Kubernetes(Hpa {
                        target_rate,
                        scale_down_stabilization_s: f64::from(COOLDOWN_S),
                    }),
                };
                (policy, ceiling((first_rate - base_rate).max(0.0) / target_rate))
            }
            SizedPolicy::Serverless { .. } => unreachable!("a serverless endpoint has no fleet"),
            SizedPolicy::Scheduled { instances, .. } => {
                let instances = instances.iter().map(|count| *count as usize).collect();
                match self.setting.slots() {
                    Some(slots) => (Policy::Scheduled { slots, instances }, 0),
                    None => (Policy::Fixed(1), 1),
                }
            }
        };
        let is_fixed = matches!(policy, Policy::Fixed(_));
        let (min, max) = if is_fixed { (first, first) } else { self.bounds() };
        let max_delay_s = given.max_batch_delay_ms / 1000.0;
        let base = self.base.as_ref().map(|base| Base {
            instances: base.instances as usize,
            batching: Batching { max_size: base.batch_size(), max_delay_s },
            spill_at: base.spill_at(limit_s),
            rate: base_rate,
        });
        let spot = given.spot_interruptions_per_hour;
        let without_instance = match policy {
            Policy::SageMaker(_) if min == 0 => WithoutInstance::Fail,
            _ => WithoutInstance::Wait,
        };
        Fleet {
            batching: Batching { max_size: self.facts().max_batch_size as usize, max_delay_s },
            routing: match given.routing {
                traffic::Routing::Random => Routing::Random,
                traffic::Routing::LeastOutstanding => Routing::LeastOutstanding,
            },
            max_queue: given.max_queue as usize,
            min_instances: min as usize,
            max_instances: max as usize,
            first_instances: first.clamp(min, max) as usize,
            start_up: StartUp {
                provisioning_s: given.provisioning_s,
                load_s: given.load_s.or(self.facts().load_s).unwrap_or_default(),
            },
            policy,
            without_instance,
            base,
            spot: (spot > 0.0)
                .then_some(Spot { interruptions_per_hour: spot, notice_s: SPOT_NOTICE_S }),
            limit_s,
            span_s: self.setting.span_s(),
        }
    }

    fn simulated(
        &self,
        sized: &SizedPolicy,
        times: TimesByType<'_, Curve>,
        factor: f64,
        seed: u64,
    ) -> Outcome {
        let fleet = self.fleet(sized, factor);
        let requests = self.setting.demand.requests(factor, seed);
        simulate_types(requests, times, &fleet, seed.wrapping_add(1))
    }

    fn predict(&self, sized: SizedPolicy, meets_at_peak: bool) -> Choice {
        let Setting { file, simulations, .. } = self.setting;
        let outcomes: Vec<Outcome> = (1..=simulations)
            .map(|number| {
                let seed = self.setting.seed_of(number);
                let drawn = |of: &Candidate, stream: u64| {
                    of.times.resampled(&mut ChaCha8Rng::seed_from_u64(seed ^ stream))
                };
                let scaled = drawn(self.scaled.candidate, 1);
                let base = self.base.as_ref().map(|base| drawn(base.of.candidate, 2));
                let base = base.as_ref().unwrap_or(&scaled);
                self.simulated(&sized, TimesByType { base, scaled: &scaled }, file.growth, seed)
            })
            .collect();
        let share = sized.share();
        let index = self.scaled.index;
        let found = Simulations { setting: self.setting, index, sized, meets_at_peak, outcomes };
        let base = self.base.as_ref().map(|base| {
            let paid_hours = f64::from(base.instances) * HOURS_OF_MONTH;
            let spill_at = base.spill_at(file.objective.latency_ms / 1000.0);
            BaseOfChoice {
                candidate: base.of.index,
                instances: base.instances,
                spill_at: u32::try_from(spill_at).unwrap_or(u32::MAX),
                rate: base.rate(share),
                answered_share: found.figure(&Outcome::base_share),
                usd_per_month: paid_hours * base.of.candidate.facts.usd_per_hour,
            }
        });
        let usd = |paid| self.usd(paid);
        let error_share = |outcome: &Outcome| self.error_share(outcome);
        found.choice(&usd, &error_share, self.facts().usd_per_hour, base)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of instances"
)]
fn ceiling(instances: f64) -> u32 {
    (instances - 1e-9).ceil().clamp(0.0, 1e6) as u32
}
