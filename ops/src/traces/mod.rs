//! Spans of a campaign, sent to a collector that OpenTelemetry's standard variables name.
//!
//! Where no collector is named, every call does nothing. Spans are sent in the background, never while [`Traces::hold`]
//! holds them back, and never waited for but for a moment at the end: a collector that is gone costs its spans and
//! nothing else. Wall time stamps spans; nothing is measured by them.

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

/// How long the end of a program waits for the collector to take its last spans.
const PARTING: Duration = Duration::from_secs(2);

/// The variables can't be followed.
#[derive(Debug, thiserror::Error)]
#[error(
    "traces can't be sent as the OTEL_* variables say; set them right, or OTEL_SDK_DISABLED=true"
)]
pub struct Error(#[from] ExporterBuildError);

/// Who speaks.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// `service.name`, where the environment gives no other.
    pub name: &'static str,
    /// `service.version`.
    pub version: &'static str,
}

/// The way to the collector, or nowhere. Clones share it.
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
    /// Nothing is traced.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Opens the way to the collector that the environment names, where it names one. `variable` looks one up; endpoint,
    /// protocol, headers, time limits, sampler, limits of spans and batches are read by OpenTelemetry's own code.
    ///
    /// # Errors
    /// [`Error`] where a variable can't be followed.
    ///
    /// # Panics
    /// Outside of a Tokio runtime, which carries what is sent.
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

    /// A span that begins now and ends when it is dropped.
    pub fn span(&self, name: &'static str, kind: Kind, parent: Parent<'_>) -> Span {
        self.0
            .as_ref()
            .map_or_else(Span::none, |open| Span::start(&open.tracer, name, kind, parent))
    }

    /// A span without a parent, in the trace of this id: what is gone on with later is in the same trace.
    pub fn root(&self, name: &'static str, trace: [u8; 16]) -> Span {
        let Some(open) = &self.0 else { return Span::none() };
        *open.ids.next.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(TraceId::from_bytes(trace));
        Span::start(&open.tracer, name, Kind::Internal, Parent::None)
    }

    /// Sends nothing until [`Traces::release`]: something is measured on this machine.
    pub fn hold(&self) {
        if let Some(open) = &self.0 {
            open.gate.close();
        }
    }

    /// Sends again.
    pub fn release(&self) {
        if let Some(open) = &self.0 {
            open.gate.open();
        }
    }

    /// Sends what is left, and waits a moment for it to be taken.
    pub async fn close(self) {
        let Some(open) = self.0 else { return };
        open.gate.open();
        let provider = open.provider.clone();
        let closing = move || provider.shutdown_with_timeout(PARTING);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(closing).await {
            tracing::warn!(%error, "the last spans may not have been taken");
        }
    }
}

/// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` come first.
fn resource(program: Program) -> Resource {
    let found = Resource::builder().build();
    let key = opentelemetry::Key::from_static_str("service.name");
    let is_named =
        found.get(&key).is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let builder = Resource::builder()
        .with_attribute(opentelemetry::KeyValue::new("service.version", program.version));
    if is_named { builder.build() } else { builder.with_service_name(program.name).build() }
}

/// Random ids, but for the trace of a root that says its own.
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
