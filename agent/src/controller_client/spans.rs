//! The agent's spans in the campaign's trace. Export is suspended while a shard is leased, so that
//! it does not disturb the measurement.

use crate::runner::Activity;
use ops::traces::{Kind, Parent, Span, Traces};
use proto::wire;

#[derive(Debug)]
pub(super) struct Spans {
    traces: Traces,
    inspection: Option<Span>,
    attempt: Option<Span>,
    phase: Option<Span>,
}

impl Spans {
    pub(super) fn new(traces: &Traces) -> Self {
        Self { traces: traces.clone(), inspection: None, attempt: None, phase: None }
    }

    pub(super) fn welcomed(&mut self, welcome: &wire::Welcome) {
        let parent = Parent::Remote(&welcome.trace_parent);
        let mut span = self.traces.span("inspecting", Kind::Internal, parent);
        span.set("fleetmark.campaign", welcome.campaign.clone());
        span.set("fleetmark.target", welcome.target.clone());
        self.inspection = Some(span);
    }

    pub(super) fn inspected(&mut self) {
        self.inspection = None;
    }

    pub(super) fn leased(&mut self, offer: &wire::ShardOffer) {
        self.traces.hold();
        let parent = Parent::Remote(&offer.trace_parent);
        let mut span = self.traces.span("attempt", Kind::Server, parent);
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        span.set("fleetmark.cell", offer.cell.clone());
        span.set("fleetmark.run", i64::from(offer.run));
        span.set("fleetmark.shard", number(offer.shard));
        span.set("fleetmark.attempt", number(offer.attempt));
        self.phase = Some(self.traces.span("waiting", Kind::Internal, Parent::Span(&span)));
        self.attempt = Some(span);
    }

    pub(super) fn activity(&mut self, activity: Activity) {
        let Some(attempt) = &self.attempt else { return };
        let name = match activity {
            Activity::Loading => "loading",
            Activity::Warming => "warming",
            Activity::Waiting => "waiting for the other agents",
            Activity::Measuring => "measuring",
            // It waits since it was leased.
            Activity::Queued | Activity::Idle => return,
        };
        // End the previous span first.
        self.phase = None;
        self.phase = Some(self.traces.span(name, Kind::Internal, Parent::Span(attempt)));
    }

    pub(super) fn end(&mut self, failure: Option<&str>) {
        self.phase = None;
        if let (Some(attempt), Some(why)) = (&mut self.attempt, failure) {
            attempt.fail(why);
        }
        self.attempt = None;
        self.traces.release();
    }
}

impl Drop for Spans {
    fn drop(&mut self) {
        self.end(Some("the connection ended"));
    }
}
