//! How many instances a policy wants.

use std::collections::VecDeque;
use traffic::Slots;

#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    Fixed(usize),
    /// A number of instances for each slot; they start early enough to be ready.
    Scheduled {
        slots: Slots,
        instances: Vec<usize>,
    },
    SageMaker(SageMakerTracking),
    Kubernetes(Hpa),
}

/// Target tracking of SageMaker endpoints on `SageMakerVariantInvocationsPerInstance`.
///
/// Application Auto Scaling publishes neither its alarms' thresholds nor its steps as a contract. What is simulated is
/// what its alarms show: scale out in proportion after 3 minutes above the target, scale in after 15 minutes below
/// 90 % of it. A cooldown delays only a scale-in after another: a scale-out may start during both cooldowns if it is
/// larger than the last one, and a smaller one would add nothing. Without a ready instance there is no metric: an alarm
/// on failed requests, evaluated each minute, adds the first one. The last one is removed after 15 minutes without a
/// request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SageMakerTracking {
    /// Requests per second of one instance.
    pub target_rate: f64,
    pub scale_in_cooldown_s: f64,
}

/// A horizontal pod autoscaler on requests per second and pod, evaluated every 15 seconds over the last minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hpa {
    /// Requests per second of one pod.
    pub target_rate: f64,
    pub scale_down_stabilization_s: f64,
}

const SAGEMAKER_PERIOD_S: f64 = 60.0;
const HPA_PERIOD_S: f64 = 15.0;
const SCHEDULE_PERIOD_S: f64 = 60.0;
const OUT_MINUTES: u32 = 3;
const IN_MINUTES: u32 = 15;
/// Share of the target below which instances are removed.
const IN_THRESHOLD: f64 = 0.9;
/// The default tolerance of the horizontal pod autoscaler.
const HPA_TOLERANCE: f64 = 0.1;
/// The default limit on scaling up: to twice the pods, or by 4, within 15 seconds.
const HPA_MOST_PODS: usize = 4;

impl Policy {
    /// The time between evaluations; `None` if there are none.
    pub(super) fn period_s(&self) -> Option<f64> {
        match self {
            Self::Fixed(_) => None,
            Self::Scheduled { .. } => Some(SCHEDULE_PERIOD_S),
            Self::SageMaker(_) => Some(SAGEMAKER_PERIOD_S),
            Self::Kubernetes(_) => Some(HPA_PERIOD_S),
        }
    }

    pub(super) fn target_rate(&self) -> Option<f64> {
        match self {
            Self::Fixed(_) | Self::Scheduled { .. } => None,
            Self::SageMaker(rule) => Some(rule.target_rate),
            Self::Kubernetes(rule) => Some(rule.target_rate),
        }
    }
}

/// What a policy sees when it is evaluated.
pub(super) struct Seen {
    pub(super) now_s: f64,
    /// Requests since the last evaluation: of SageMaker those that the scaled instances got, else all.
    pub(super) arrived: u64,
    /// Requests since the last evaluation that failed because no instance was ready.
    pub(super) failed: u64,
    /// Instances that serve.
    pub(super) ready: usize,
    /// Instances that serve or start.
    pub(super) wanted: usize,
}

/// A policy with its memory.
#[derive(Debug)]
pub(super) struct Scaler<'a> {
    policy: &'a Policy,
    lead_s: f64,
    min: usize,
    max: usize,
    /// Requests per second that a base carries.
    base_rate: f64,
    above: u32,
    below: u32,
    /// Minutes without a request.
    idle: u32,
    last_in_s: Option<f64>,
    /// Requests of the last evaluations.
    recent: VecDeque<u64>,
    /// When, and how many instances the autoscaler wanted.
    recommended: VecDeque<(f64, usize)>,
    /// Instances that the target needs at the rate of the last minute.
    needed: usize,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of instances"
)]
fn ceiling(instances: f64) -> usize {
    (instances - 1e-9).ceil().max(0.0) as usize
}

impl<'a> Scaler<'a> {
    pub(super) fn new(
        policy: &'a Policy,
        lead_s: f64,
        (min, max): (usize, usize),
        base_rate: f64,
    ) -> Self {
        Self {
            policy,
            lead_s,
            min,
            max,
            base_rate,
            above: 0,
            below: 0,
            idle: 0,
            last_in_s: None,
            recent: VecDeque::new(),
            recommended: VecDeque::new(),
            needed: usize::MAX,
        }
    }

    /// Instances beyond those that the last evaluation needed.
    pub(super) fn surplus(&self, instances: usize) -> usize {
        instances.saturating_sub(self.needed)
    }

    /// How many instances there are to be.
    pub(super) fn wanted(&mut self, seen: &Seen) -> usize {
        let wanted = match self.policy {
            Policy::Fixed(instances) => *instances,
            Policy::Scheduled { slots, instances } => {
                let now = instances[slots.at(seen.now_s)];
                now.max(instances[slots.at(seen.now_s + self.lead_s)])
            }
            Policy::SageMaker(rule) => self.sagemaker(*rule, seen),
            Policy::Kubernetes(rule) => self.kubernetes(*rule, seen),
        };
        wanted.clamp(self.min, self.max)
    }

    fn sagemaker(&mut self, rule: SageMakerTracking, seen: &Seen) -> usize {
        if self.min == 0 && seen.ready == 0 {
            (self.above, self.below, self.idle, self.needed) = (0, 0, 0, 0);
            return seen.wanted.max(usize::from(seen.failed > 0));
        }
        let rate = seen.arrived as f64 / SAGEMAKER_PERIOD_S;
        let needed = ceiling(rate / rule.target_rate);
        self.needed = needed.clamp(self.min, self.max);
        self.idle = if seen.arrived == 0 { self.idle + 1 } else { 0 };
        let least = usize::from(self.idle < IN_MINUTES).max(self.min);
        let needed = needed.clamp(least.min(self.max), self.max);
        let by_instance = rate / seen.ready.max(1) as f64;
        self.above = if by_instance > rule.target_rate { self.above + 1 } else { 0 };
        let is_low = by_instance < IN_THRESHOLD * rule.target_rate;
        self.below = if is_low { self.below + 1 } else { 0 };
        let rests = self.last_in_s.is_some_and(|at| seen.now_s < at + rule.scale_in_cooldown_s);
        if self.above >= OUT_MINUTES {
            return needed.max(seen.wanted);
        }
        if self.below >= IN_MINUTES && !rests && needed < seen.wanted {
            self.last_in_s = Some(seen.now_s);
            return needed;
        }
        seen.wanted
    }

    fn kubernetes(&mut self, rule: Hpa, seen: &Seen) -> usize {
        self.recent.push_back(seen.arrived);
        if self.recent.len() > 4 {
            self.recent.pop_front();
        }
        let seconds = self.recent.len() as f64 * HPA_PERIOD_S;
        let rate = self.recent.iter().sum::<u64>() as f64 / seconds;
        let rate = (rate - self.base_rate).max(0.0);
        let needed = ceiling(rate / rule.target_rate);
        self.needed = needed.clamp(self.min, self.max);
        let pods = seen.wanted.max(1);
        let ratio = rate / pods as f64 / rule.target_rate;
        let is_within = (ratio - 1.0).abs() <= HPA_TOLERANCE && seen.wanted > 0;
        let wanted = if is_within { seen.wanted } else { needed };
        let wanted = wanted.min((2 * seen.wanted).max(seen.wanted + HPA_MOST_PODS));
        self.recommended.push_back((seen.now_s, wanted));
        let from_s = seen.now_s - rule.scale_down_stabilization_s;
        while self.recommended.front().is_some_and(|(at_s, _)| *at_s < from_s) {
            self.recommended.pop_front();
        }
        let highest = self.recommended.iter().map(|(_, pods)| *pods).max().unwrap_or(wanted);
        if wanted < seen.wanted { highest.min(seen.wanted) } else { wanted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(minute: u32, rate: f64, instances: usize) -> Seen {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let arrived = (rate * 60.0) as u64;
        let now_s = f64::from(minute) * 60.0;
        Seen { now_s, arrived, failed: 0, ready: instances, wanted: instances }
    }

    #[test]
    fn target_tracking_adds_after_three_minutes_and_removes_after_fifteen() {
        let policy =
            Policy::SageMaker(SageMakerTracking { target_rate: 2.0, scale_in_cooldown_s: 300.0 });
        let mut scaler = Scaler::new(&policy, 0.0, (1, 10), 0.0);
        assert_eq!(scaler.wanted(&seen(1, 7.0, 2)), 2);
        assert_eq!(scaler.wanted(&seen(2, 7.0, 2)), 2);
        assert_eq!(scaler.wanted(&seen(3, 7.0, 2)), 4);
        for minute in 4..18 {
            assert_eq!(scaler.wanted(&seen(minute, 1.0, 4)), 4, "minute {minute}");
        }
        assert_eq!(scaler.surplus(4), 3);
        assert_eq!(scaler.wanted(&seen(18, 1.0, 4)), 1);
    }

    #[test]
    fn more_load_scales_out_during_a_cooldown_and_less_load_waits_for_its_end() {
        let policy =
            Policy::SageMaker(SageMakerTracking { target_rate: 2.0, scale_in_cooldown_s: 300.0 });
        let mut scaler = Scaler::new(&policy, 0.0, (1, 10), 0.0);
        for minute in 1..=2 {
            scaler.wanted(&seen(minute, 7.0, 2));
        }
        assert_eq!(scaler.wanted(&seen(3, 7.0, 2)), 4);
        // The two new ones start; the load grows on.
        let starting = Seen { ready: 2, ..seen(4, 11.0, 4) };
        assert_eq!(scaler.wanted(&starting), 6);
        for minute in 5..19 {
            assert_eq!(scaler.wanted(&seen(minute, 7.0, 6)), 6, "minute {minute}");
        }
        assert_eq!(scaler.wanted(&seen(19, 7.0, 6)), 4);
        for minute in 20..24 {
            assert_eq!(scaler.wanted(&seen(minute, 1.0, 4)), 4, "minute {minute}");
        }
        assert_eq!(scaler.wanted(&seen(24, 1.0, 4)), 1, "the alarm lasts");
        // During the cooldown of minute 24.
        for minute in 25..27 {
            assert_eq!(scaler.wanted(&seen(minute, 5.0, 1)), 1, "minute {minute}");
        }
        assert_eq!(scaler.wanted(&seen(27, 5.0, 1)), 3);
    }

    #[test]
    fn the_last_instance_leaves_after_15_idle_minutes_and_a_failed_request_brings_it_back() {
        let policy =
            Policy::SageMaker(SageMakerTracking { target_rate: 2.0, scale_in_cooldown_s: 300.0 });
        let mut scaler = Scaler::new(&policy, 0.0, (0, 10), 0.0);
        for minute in 1..20 {
            let rate = if minute == 4 { 0.1 } else { 0.0 };
            let wanted = usize::from(minute < 19);
            assert_eq!(scaler.wanted(&seen(minute, rate, 1)), wanted, "minute {minute}");
        }
        let at_zero = |minute, failed, wanted| Seen { failed, wanted, ..seen(minute, 0.0, 0) };
        assert_eq!(scaler.wanted(&at_zero(20, 0, 0)), 0);
        assert_eq!(scaler.wanted(&at_zero(21, 7, 0)), 1);
        // More failures while it starts don't add another one.
        assert_eq!(scaler.wanted(&at_zero(22, 9, 1)), 1);
        assert_eq!(scaler.surplus(0), 0);
        let mut at_least_one = Scaler::new(&policy, 0.0, (1, 10), 0.0);
        assert!((1..40).all(|minute| at_least_one.wanted(&seen(minute, 0.0, 1)) == 1));
    }

    #[test]
    fn a_pod_autoscaler_waits_before_it_removes() {
        let policy =
            Policy::Kubernetes(Hpa { target_rate: 1.0, scale_down_stabilization_s: 300.0 });
        let mut scaler = Scaler::new(&policy, 0.0, (1, 20), 0.0);
        let mut at = |second: u32, arrived: u64, wanted: usize| {
            let now_s = f64::from(second);
            scaler.wanted(&Seen { now_s, arrived, failed: 0, ready: wanted, wanted })
        };
        assert_eq!(at(15, 16, 1), 1, "within 10% of the target");
        assert_eq!(at(30, 150, 1), 5, "at most 4 more");
        assert_eq!(at(45, 150, 5), 8);
        for second in (60..=345).step_by(15) {
            assert!(at(second, 15, 8) >= 2, "second {second}");
        }
        assert_eq!(at(420, 15, 8), 1);
    }

    #[test]
    fn a_pod_autoscaler_of_peaks_needs_none_below_the_rate_of_the_base() {
        let policy =
            Policy::Kubernetes(Hpa { target_rate: 1.0, scale_down_stabilization_s: 300.0 });
        let mut scaler = Scaler::new(&policy, 0.0, (0, 20), 2.0);
        let mut at = |second: u32, arrived: u64, wanted: usize| {
            let now_s = f64::from(second);
            scaler.wanted(&Seen { now_s, arrived, failed: 0, ready: wanted, wanted })
        };
        assert_eq!(at(15, 30, 0), 0, "2 per second");
        assert_eq!(at(30, 90, 0), 2, "4 per second in these 30 s");
    }
}
