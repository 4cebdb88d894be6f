//! Windows of a sustained load, changes of its rate, and recorded arrivals.

use crate::wire;
use model::histogram::Histogram;
use model::load::{Error, LoadWindow, Share};
use model::rate_profile::{self, RatePoint, RateProfile};
use model::recorded_arrivals::{self, RecordedArrivals};

impl TryFrom<wire::LoadWindow> for LoadWindow {
    type Error = Error;

    fn try_from(wire: wire::LoadWindow) -> Result<Self, Error> {
        let histogram =
            |wire: Option<wire::Histogram>| Histogram::try_from(wire.unwrap_or_default());
        Self {
            start_ns: wire.start_ns,
            end_ns: wire.end_ns,
            failed: wire.failed,
            not_sent: wire.not_sent,
            input_tokens: wire.input_tokens,
            output_tokens: wire.output_tokens,
            batches: wire.batches,
            latency: histogram(wire.latency)?,
            ttft: histogram(wire.ttft)?,
            schedule_delay: histogram(wire.schedule_delay)?,
            chunk_gap: histogram(wire.chunk_gap)?,
            streamed_tokens: wire.streamed_tokens,
            streamed: wire.streamed,
        }
        .check()
    }
}

impl From<LoadWindow> for wire::LoadWindow {
    fn from(window: LoadWindow) -> Self {
        Self {
            start_ns: window.start_ns,
            end_ns: window.end_ns,
            failed: window.failed,
            not_sent: window.not_sent,
            input_tokens: window.input_tokens,
            output_tokens: window.output_tokens,
            batches: window.batches,
            latency: Some(window.latency.into()),
            ttft: Some(window.ttft.into()),
            schedule_delay: Some(window.schedule_delay.into()),
            chunk_gap: Some(window.chunk_gap.into()),
            streamed_tokens: window.streamed_tokens,
            streamed: window.streamed,
        }
    }
}

impl TryFrom<wire::Share> for Share {
    type Error = Error;

    fn try_from(wire: wire::Share) -> Result<Self, Error> {
        let index = usize::try_from(wire.index).unwrap_or(usize::MAX);
        Self { index, requests: wire.requests }.check()
    }
}

impl From<Share> for wire::Share {
    fn from(share: Share) -> Self {
        let index = u32::try_from(share.index).unwrap_or(u32::MAX);
        Self { index, requests: share.requests }
    }
}

impl TryFrom<wire::RateProfile> for RateProfile {
    type Error = rate_profile::Error;

    fn try_from(wire: wire::RateProfile) -> Result<Self, rate_profile::Error> {
        let point = |point: wire::RatePoint| RatePoint { at_ns: point.at_ns, factor: point.factor };
        Self::new(wire.points.into_iter().map(point).collect())
    }
}

impl From<RateProfile> for wire::RateProfile {
    fn from(profile: RateProfile) -> Self {
        let point =
            |point: &RatePoint| wire::RatePoint { at_ns: point.at_ns, factor: point.factor };
        Self { points: profile.points().iter().map(point).collect() }
    }
}

impl TryFrom<wire::RecordedArrivals> for RecordedArrivals {
    type Error = recorded_arrivals::Error;

    fn try_from(wire: wire::RecordedArrivals) -> Result<Self, recorded_arrivals::Error> {
        Self::from_gaps(&wire.gap_ns, wire.period_ns)?.sending(wire.requests)
    }
}

impl From<RecordedArrivals> for wire::RecordedArrivals {
    fn from(arrivals: RecordedArrivals) -> Self {
        Self {
            gap_ns: arrivals.gaps_ns(),
            period_ns: arrivals.period_ns(),
            requests: arrivals.requests().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_survives_the_wire_and_lies_are_refused() {
        let mut window = LoadWindow { start_ns: 3, end_ns: 9, batches: 1, ..LoadWindow::default() };
        window.latency.add(6);
        window.chunk_gap.add(2);
        (window.streamed, window.streamed_tokens) = (1, 2);
        assert_eq!((window.ok(), window.span_ns()), (1, 6));
        assert_eq!(
            LoadWindow::try_from(wire::LoadWindow::from(window.clone())),
            Ok(window.clone())
        );
        let lie = wire::LoadWindow { end_ns: 2, ..window.clone().into() };
        assert!(matches!(LoadWindow::try_from(lie), Err(Error::Times { .. })));
        let lie = wire::LoadWindow { failed: u64::MAX, ..window.into() };
        assert_eq!(LoadWindow::try_from(lie), Err(Error::Counts));
    }

    #[test]
    fn a_rate_profile_survives_the_wire_and_lies_are_refused() {
        let points = vec![RatePoint { at_ns: 0, factor: 0.5 }, RatePoint { at_ns: 9, factor: 2.0 }];
        let profile = RateProfile::new(points).unwrap();
        let wire = wire::RateProfile::from(profile.clone());
        assert_eq!(RateProfile::try_from(wire.clone()), Ok(profile));
        let lie = wire::RateProfile { points: wire.points.into_iter().rev().collect() };
        assert_eq!(RateProfile::try_from(lie), Err(rate_profile::Error::Order { index: 1 }));
    }

    #[test]
    fn recorded_arrivals_survive_the_wire_and_lies_are_refused() {
        let arrivals = RecordedArrivals::new(vec![3, 3, 9], 20).unwrap();
        let arrivals = arrivals.sending(vec![2, 0, 2]).unwrap();
        let wire = wire::RecordedArrivals::from(arrivals.clone());
        assert_eq!(wire.gap_ns, [3, 0, 6]);
        assert_eq!(RecordedArrivals::try_from(wire.clone()), Ok(arrivals));
        let lie = wire::RecordedArrivals { period_ns: 8, ..wire.clone() };
        let error = recorded_arrivals::Error::Period { period_ns: 8 };
        assert_eq!(RecordedArrivals::try_from(lie), Err(error));
        let lie = wire::RecordedArrivals { requests: vec![1], ..wire.clone() };
        let error = recorded_arrivals::Error::Requests { found: 1, expected: 3 };
        assert_eq!(RecordedArrivals::try_from(lie), Err(error));
        let lie = wire::RecordedArrivals { gap_ns: vec![1, u64::MAX], ..wire };
        let error = recorded_arrivals::Error::Period { period_ns: 20 };
        assert_eq!(RecordedArrivals::try_from(lie), Err(error));
    }
}
