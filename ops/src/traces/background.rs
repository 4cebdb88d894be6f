//! Exports spans in the background, on the program's own runtime, and not while the gate is closed.

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::SpanData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Holds the export while it is closed. Clones share one state.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    /// Open.
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
        // It can't fail: the sender lives in this gate.
        drop(self.0.subscribe().wait_for(|is_open| *is_open).await);
    }
}

/// An exporter that waits at a gate, and reports an unreachable collector once.
#[derive(Debug)]
pub(super) struct Background {
    exporter: Arc<SpanExporter>,
    gate: Gate,
    runtime: Handle,
    has_failed: AtomicBool,
}

impl Background {
    /// On the current runtime.
    pub(super) fn new(exporter: SpanExporter, gate: Gate) -> Self {
        let runtime = Handle::current();
        Self { exporter: Arc::new(exporter), gate, runtime, has_failed: AtomicBool::new(false) }
    }
}

impl opentelemetry_sdk::trace::SpanExporter for Background {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        self.gate.pass().await;
        let exporter = Arc::clone(&self.exporter);
        let count = spans.len();
        // The batch processor's thread has no runtime, and the exporter needs one.
        let sending = self.runtime.spawn(async move {
            opentelemetry_sdk::trace::SpanExporter::export(&*exporter, spans).await
        });
        let sent = sending.await.unwrap_or(Err(OTelSdkError::AlreadyShutdown));
        match &sent {
            Ok(()) => self.has_failed.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.has_failed.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        %error,
                        spans = count,
                        "failed to export spans, which are lost; later failures aren't logged"
                    );
                }
            }
        }
        sent
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Nothing is exported yet, so this is the only handle.
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
