//! Sends spans in the background: on the program's own runtime, never while it is held back.

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::SpanData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Holds spans back. Clones are of one gate.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    /// It is open.
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }
}

impl Gate {
    pub(super) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn close(&self) {
        self.0.send_replace(false);
    }

    async fn pass(&self) {
        // The sender is held by this very gate.
        drop(self.0.subscribe().wait_for(|is_open| *is_open).await);
    }
}

/// An exporter that waits at a gate, and tells a collector's silence once.
#[derive(Debug)]
pub(super) struct Background {
    exporter: Arc<SpanExporter>,
    gate: Gate,
    runtime: Handle,
    is_silent: AtomicBool,
}

impl Background {
    /// Takes the runtime that it is called in.
    pub(super) fn new(exporter: SpanExporter, gate: Gate) -> Self {
        let runtime = Handle::current();
        Self { exporter: Arc::new(exporter), gate, runtime, is_silent: AtomicBool::new(false) }
    }
}

impl opentelemetry_sdk::trace::SpanExporter for Background {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        self.gate.pass().await;
        let exporter = Arc::clone(&self.exporter);
        let count = spans.len();
        // The thread that waits here belongs to no runtime, and sending needs one.
        let sending = self.runtime.spawn(async move {
            opentelemetry_sdk::trace::SpanExporter::export(&*exporter, spans).await
        });
        let sent = sending.await.unwrap_or(Err(OTelSdkError::AlreadyShutdown));
        match &sent {
            Ok(()) => self.is_silent.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.is_silent.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        %error,
                        spans = count,
                        "the collector of traces took no spans; they are lost, and later ones are tried without a word"
                    );
                }
            }
        }
        sent
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Nothing is sent yet, so nobody else has it.
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            opentelemetry_sdk::trace::SpanExporter::set_resource(exporter, resource);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Duration, timeout};

    #[tokio::test(start_paused = true)]
    async fn a_gate_holds_until_it_is_opened() {
        let gate = Gate::default();
        gate.pass().await;
        gate.close();
        assert!(timeout(Duration::from_secs(1), gate.pass()).await.is_err());
        let waiting = gate.clone();
        let waiting = tokio::spawn(async move { waiting.pass().await });
        gate.open();
        waiting.await.unwrap();
    }
}
