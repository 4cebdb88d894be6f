//! A span, and its context in messages: W3C's `traceparent`.

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, Status, TraceContextExt, TraceFlags, TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, Span as Recorded};
use std::collections::HashMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Internal,
    /// Waits for another program.
    Client,
    /// Another program waits for it.
    Server,
}

#[derive(Debug, Clone, Copy)]
pub enum Parent<'a> {
    None,
    Span(&'a Span),
    /// A span of another program, by its `traceparent`; an invalid one counts as none.
    Remote(&'a str),
}

/// A span that ends when it is dropped. Without a collector, it does nothing.
#[derive(Debug)]
pub struct Span(Option<Recorded>);

impl Span {
    pub const fn none() -> Self {
        Self(None)
    }

    pub(super) fn start(
        tracer: &SdkTracer,
        name: &'static str,
        kind: Kind,
        parent: Parent<'_>,
    ) -> Self {
        let kind = match kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Client => SpanKind::Client,
            Kind::Server => SpanKind::Server,
        };
        let parent = match parent {
            Parent::Span(Self(Some(span))) => {
                Context::new().with_remote_span_context(span.span_context().clone())
            }
            Parent::Remote(text) => read(text),
            Parent::None | Parent::Span(Self(None)) => Context::new(),
        };
        let builder = tracer.span_builder(name).with_kind(kind);
        Self(Some(tracer.build_with_context(builder, &parent)))
    }

    /// Its `traceparent`; empty without a collector.
    pub fn context(&self) -> String {
        let Some(span) = &self.0 else { return String::new() };
        written(span.span_context())
    }

    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    pub fn note(&mut self, what: &'static str, detail: &str) {
        if let Some(span) = &mut self.0 {
            span.add_event(what, vec![KeyValue::new("detail", detail.to_owned())]);
        }
    }

    /// Sets its status to error.
    pub fn fail(&mut self, why: &str) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(why.to_owned()));
        }
    }
}

fn written(context: &SpanContext) -> String {
    let sampled = context.trace_flags() & TraceFlags::SAMPLED;
    format!("00-{}-{}-{sampled:02x}", context.trace_id(), context.span_id())
}

fn read(text: &str) -> Context {
    let carrier = HashMap::from([("traceparent".to_owned(), text.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    let of = context.span().span_context().clone();
    // Without the sender's trace state, which isn't ours to forward.
    let plain =
        SpanContext::new(of.trace_id(), of.span_id(), of.trace_flags(), true, TraceState::NONE);
    Context::new().with_remote_span_context(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_survives_a_round_trip() {
        assert_eq!(written(read(PARENT).span().span_context()), PARENT);
        let unsampled = PARENT.replace("-01", "-00");
        assert_eq!(written(read(&unsampled).span().span_context()), unsampled);
    }

    #[test]
    fn an_invalid_context_is_none() {
        let long = "0".repeat(100_000);
        for text in ["", "x", "00-0-0-01", &PARENT.to_uppercase().replace('A', "Ä"), &long] {
            assert!(!read(text).span().span_context().is_valid(), "{text:.80}");
        }
    }

    #[test]
    fn a_span_is_in_the_trace_of_its_parent() {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let first = Span::start(&tracer, "first", Kind::Server, Parent::Remote(PARENT));
        let second = Span::start(&tracer, "second", Kind::Internal, Parent::Span(&first));
        for span in [&first, &second] {
            assert!(span.context().starts_with(&PARENT[..36]), "{}", span.context());
        }
        assert_ne!(first.context(), second.context());
        let own = Span::start(&tracer, "own", Kind::Internal, Parent::Remote("x"));
        assert!(!own.context().starts_with(&PARENT[..36]));
    }

    #[test]
    fn nothing_traced_has_no_context() {
        let mut none = Span::none();
        none.set("key", 1);
        assert_eq!(none.context(), "");
    }
}
