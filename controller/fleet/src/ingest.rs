//! Limits how much uncommitted data of agents is in memory. At the limit, agents are not read.

use campaign::{AgentReport, BatchReport};
use model::sample::Sample;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes per unit; sizes are rounded up.
const UNIT: usize = 1 << 10;
/// 64 MiB in units: several of the longest messages.
const UNITS: usize = 1 << 16;

/// Shared by all streams of a listener.
#[derive(Debug, Clone)]
pub(super) struct IngestLimit(Arc<Semaphore>);

/// Held by an event until its report is stored.
#[derive(Debug, Default)]
pub struct IngestPermit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for IngestLimit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UNITS)))
    }
}

impl IngestLimit {
    /// Waits until the report fits within the limit.
    pub(super) async fn acquire(&self, report: &AgentReport) -> IngestPermit {
        let units = u32::try_from(bytes(report).div_ceil(UNIT)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        IngestPermit { _permit: Arc::clone(&self.0).acquire_many_owned(units).await.ok() }
    }
}

/// Approximate size in memory, at most the limit.
fn bytes(report: &AgentReport) -> usize {
    let samples = match report {
        AgentReport::Batch(BatchReport { samples, .. }) => samples,
        AgentReport::Telemetry { windows, .. } => {
            return size_of_val(windows.as_slice()).min(UNIT * UNITS);
        }
        _ => return 0,
    };
    let texts = samples.iter().map(|(id, sample)| {
        let texts = [&sample.text, &sample.failure_detail].into_iter().flatten();
        size_of_val(sample)
            + id.as_str().len()
            + ids(sample)
            + texts.map(String::len).sum::<usize>()
    });
    texts.sum::<usize>().min(UNIT * UNITS)
}

fn ids(sample: &Sample) -> usize {
    sample.output_ids.as_ref().map_or(0, |ids| ids.as_packed().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::failure::Kind;
    use tokio::time::{Duration, timeout};

    fn report(bytes: usize) -> AgentReport {
        let mut sample = Sample::failed(0, 1, Kind::Input, String::new());
        sample.text = Some("x".repeat(bytes));
        AgentReport::Batch(BatchReport {
            shard: 0,
            attempt: 1,
            sequence: 1,
            batch: 0,
            samples: vec![("s".try_into().unwrap(), sample)],
            window: None,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_beyond_the_limit_waits() {
        let limit = IngestLimit::default();
        let large = report(UNIT * UNITS / 2);
        let first = limit.acquire(&large).await;
        assert!(timeout(Duration::from_secs(1), limit.acquire(&large)).await.is_err());
        let _small = limit.acquire(&report(1)).await;
        drop(first);
        let _second = limit.acquire(&large).await;
        let _heartbeat = limit.acquire(&AgentReport::Alive).await;
    }
}
