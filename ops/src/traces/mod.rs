//! Spans of a campaign, exported to the collector that OpenTelemetry's standard variables name.
//!
//! Without a collector, every call does nothing. Spans are exported in the background, but not between [`Traces::hold`]
//! and [`Traces::release`], so that the export doesn't disturb a measurement. Nothing waits for the collector except the
//! end of the program, briefly: an unreachable collector loses spans and nothing else. Spans are stamped with wall time;
//! no measurement uses them.

mod background;
mod settings;
mod span;

pub use span::{Kind, Parent, Span};

use background::{Background, Gate};
use opentelemetry::trace::{TraceId, TracerProvider};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider,
};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest wait for the last spans at the end of a program.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A variable of OpenTelemetry has an invalid value.
#[derive(Debug, thiserror::Error)]
#[error("can't export traces: correct the OTEL_* variables, or set OTEL_SDK_DISABLED=true")]
pub struct Error(#[from] ExporterBuildError);

#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// `service.name`, unless the environment sets it.
    pub name: &'static str,
    /// `service.version`.
    pub version: &'static str,
}

/// The exporter, or nothing. Clones share it.
#[derive(Clone)]
pub struct Traces(Option<Arc<Open>>);

#[derive(Debug)]
struct Open {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    ids: Ids,
    gate: Gate,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traces").field(&self.0.is_some()).finish()
    }
}

impl Traces {
    pub const fn off() -> Self {
        Self(None)
    }

    /// Starts the exporter if the environment names a collector. `variable` decides only that; OpenTelemetry's own code
    /// reads endpoint, protocol, headers, timeouts, sampler and limits.
    ///
    ///
    /// # Panics
    /// Outside of a Tokio runtime, on which the export runs.
    pub fn start(
        program: Program,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        if !settings::is_wanted(variable) {
            return Ok(Self::off());
        }
        let gate = Gate::default();
        let exporter = Background::new(SpanExporter::builder().build()?, gate.clone());
        let ids = Ids::default();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(program))
            .with_id_generator(ids.clone())
            .with_span_processor(BatchSpanProcessor::builder(exporter).build())
            .build();
        let tracer = provider.tracer("fleetmark");
        Ok(Self(Some(Arc::new(Open { provider, tracer, ids, gate }))))
    }

    /// Starts a span, which ends when it is dropped.
    pub fn span(&self, name: &'static str, kind: Kind, parent: Parent<'_>) -> Span {
        self.0
            .as_ref()
            .map_or_else(Span::none, |open| Span::start(&open.tracer, name, kind, parent))
    }

    /// Starts a root span in the trace with this id: a resumed campaign continues its trace.
    pub fn root(&self, name: &'static str, trace: [u8; 16]) -> Span {
        let Some(open) = &self.0 else { return Span::none() };
        *open.ids.next.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(TraceId::from_bytes(trace));
        Span::start(&open.tracer, name, Kind::Internal, Parent::None)
    }

    /// Stops the export until [`Traces::release`], because this machine measures.
    pub fn hold(&self) {
        if let Some(open) = &self.0 {
            open.gate.close();
        }
    }

    pub fn release(&self) {
        if let Some(open) = &self.0 {
            open.gate.open();
        }
    }

    /// Exports the remaining spans, with a short time limit.
    pub async fn close(self) {
        let Some(open) = self.0 else { return };
        open.gate.open();
        let provider = open.provider.clone();
        let closing = move || provider.shutdown_with_timeout(CLOSE_TIMEOUT);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(closing).await {
            tracing::warn!(%error, "the last spans may be lost");
        }
    }
}

/// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` take precedence.
fn resource(program: Program) -> Resource {
    let found = Resource::builder().build();
    let key = opentelemetry::Key::from_static_str("service.name");
    let is_named =
        found.get(&key).is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let builder = Resource::builder()
        .with_attribute(opentelemetry::KeyValue::new("service.version", program.version));
    if is_named { builder.build() } else { builder.with_service_name(program.name).build() }
}

/// Random ids, except for the trace of a root span with a given id.
#[derive(Debug, Clone, Default)]
struct Ids {
    next: Arc<Mutex<Option<TraceId>>>,
    random: RandomIdGenerator,
}

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        let given = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        given.unwrap_or_else(|| self.random.new_trace_id())
    }

    fn new_span_id(&self) -> opentelemetry::trace::SpanId {
        self.random.new_span_id()
    }
}
