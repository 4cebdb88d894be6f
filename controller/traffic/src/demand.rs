//! What arrives: a profile or a trace with its growth, and the hours of the day that a schedule needs.

use super::arrivals::{Arrivals, Request, scaled};
use super::profile::Profile;
use super::trace::Trace;
use chrono::{DateTime, Datelike, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

const HOUR_S: f64 = 3600.0;
const DAY_S: f64 = 24.0 * HOUR_S;

/// A profile or a recorded trace.
#[derive(Debug, Clone, PartialEq)]
pub enum Demand {
    Profile(Profile),
    Trace(Box<Trace>),
}

/// The hours that a schedule distinguishes.
#[derive(Debug, Clone, PartialEq)]
pub struct Slots {
    /// 24 for a day, 168 for a week from Monday.
    pub count: usize,
    /// The slot in which the simulated period starts, with the part of the hour that has passed.
    first: usize,
    offset_s: f64,
}

impl Slots {
    /// The slot at a time of the simulated period. Changes of daylight saving time within it are ignored.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an hour of a period"
    )]
    pub fn at(&self, at_s: f64) -> usize {
        let hours = ((at_s + self.offset_s) / HOUR_S).floor().max(0.0) as usize;
        (self.first + hours) % self.count
    }
}

impl Demand {
    /// The length of the simulated period in seconds.
    pub fn span_s(&self) -> f64 {
        match self {
            Self::Profile(profile) => profile.span_s(),
            Self::Trace(trace) => trace.span_s(),
        }
    }

    /// Requests in order of time, with every rate multiplied by `factor`; all randomness follows from `seed`.
    ///
    /// A profile is a Poisson process. The requests of a trace are thinned or repeated up to a minute later at random,
    /// and spread over their second if it records whole seconds.
    pub fn requests(&self, factor: f64, seed: u64) -> Box<dyn Iterator<Item = Request>> {
        match self {
            Self::Profile(profile) => {
                let rates = profile.rates().iter().map(|rate| rate * factor).collect();
                Box::new(Arrivals::poisson(rates, HOUR_S, seed).map(Request::from))
            }
            Self::Trace(trace) => Box::new(scaled(trace, factor, seed).into_iter()),
        }
    }

    /// The mean length of the prompts in tokens; `None` if it is unknown.
    pub fn mean_prompt_tokens(&self) -> Option<f64> {
        let Self::Trace(trace) = self else { return None };
        let lengths = &trace.input_tokens;
        let sum: f64 = lengths.iter().map(|length| f64::from(*length)).sum();
        (!lengths.is_empty()).then(|| sum / lengths.len() as f64)
    }

    /// The same with prompts cut to `most` tokens.
    #[must_use]
    pub fn cut_to(mut self, most: u32) -> Self {
        if let Self::Trace(trace) = &mut self {
            trace.input_tokens.iter_mut().for_each(|length| *length = (*length).min(most));
        }
        self
    }

    /// Requests per second in each hour, the last one of a trace being incomplete.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an hour of a period"
    )]
    pub fn rates_by_hour(&self) -> Vec<f64> {
        match self {
            Self::Profile(profile) => profile.rates().to_vec(),
            Self::Trace(trace) => {
                let span_s = trace.span_s();
                let hours = (span_s / HOUR_S).ceil().max(1.0) as usize;
                let mut counts = vec![0.0; hours];
                for at_s in &trace.arrivals_s {
                    counts[((at_s / HOUR_S) as usize).min(hours - 1)] += 1.0;
                }
                let length = |hour: usize| (span_s - hour as f64 * HOUR_S).min(HOUR_S);
                counts.iter().enumerate().map(|(hour, count)| count / length(hour)).collect()
            }
        }
    }

    /// Requests per second over the simulated period.
    pub fn mean_rate(&self) -> f64 {
        match self {
            Self::Profile(profile) => {
                profile.rates().iter().sum::<f64>() / profile.rates().len() as f64
            }
            Self::Trace(trace) => trace.arrivals_s.len() as f64 / trace.span_s(),
        }
    }

    /// The hours of a schedule in `zone`; `None` if the period is constant, shorter than a day, or without dates.
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
    pub fn slots(&self, zone: Tz) -> Option<Slots> {
        match self {
            Self::Profile(profile) => {
                let slots = Slots { count: profile.rates().len(), first: 0, offset_s: 0.0 };
                (!profile.is_constant()).then_some(slots)
            }
            Self::Trace(trace) => {
                let start_s = trace.start_s.filter(|_| trace.span_s() >= DAY_S)?;
                let utc = DateTime::from_timestamp(start_s.floor() as i64, 0)?.naive_utc();
                let offset_s = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
                let local = utc + chrono::TimeDelta::seconds(i64::from(offset_s));
                let hour = local.hour() as usize;
                let day = local.weekday().num_days_from_monday() as usize;
                let is_week = trace.span_s() >= 7.0 * DAY_S;
                let (count, first) = if is_week { (168, day * 24 + hour) } else { (24, hour) };
                let passed = local.minute() * 60 + local.second();
                Some(Slots { count, first, offset_s: f64::from(passed) + start_s.fract() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(rows: impl Iterator<Item = f64>) -> Demand {
        let text = rows.map(|at| at.to_string()).collect::<Vec<_>>().join("\n");
        let text = format!("timestamp\n{text}");
        Demand::Trace(Box::new(Trace::read("t", text.as_bytes(), None).unwrap()))
    }

    #[test]
    fn a_schedule_uses_the_local_hour() {
        // 2026-11-23 is a Monday; 22:30 UTC is 23:30 in Berlin.
        let start = 1_795_473_000.0;
        let two_days = trace((0..=48).map(|hour| start + f64::from(hour) * 3600.0));
        let slots = two_days.slots(Tz::Europe__Berlin).unwrap();
        assert_eq!(slots.count, 24);
        assert_eq!([0.0, 1799.0, 1800.0, 5400.0].map(|at| slots.at(at)), [23, 23, 0, 1]);
        let week = trace((0..=168).map(|hour| start + f64::from(hour) * 3600.0));
        let slots = week.slots(Tz::Asia__Kolkata).unwrap();
        // 04:00 on Tuesday in Kolkata.
        assert_eq!((slots.count, slots.at(0.0)), (168, 28));
        assert!(trace([start, start + 7200.0].into_iter()).slots(Tz::UTC).is_none());
    }

    #[test]
    fn rates_of_a_trace_are_those_of_its_hours() {
        let demand = trace((0..=900).map(|ten| f64::from(ten) * 10.0));
        let rates = demand.rates_by_hour();
        assert_eq!(rates.len(), 3);
        assert!((rates[0] - 0.1).abs() < 1e-3 && (rates[2] - 0.1).abs() < 1e-3, "{rates:?}");
        assert!((demand.mean_rate() - 0.1).abs() < 1e-3);
    }
}
