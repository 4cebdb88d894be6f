//! How much of what agents said may wait for the disk: beyond it agents are read no further. So that long texts of
//! many agents don't fill the memory.

use super::Said;
use model::sample::Sample;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes are counted in thousands, rounded up.
const UNIT: usize = 1 << 10;
/// What may wait, in units: 64 MiB, which holds several of the longest messages.
const UNITS: usize = 1 << 16;

/// Shared by all streams of a door.
#[derive(Debug, Clone)]
pub(super) struct Rooms(Arc<Semaphore>);

/// Held by an event until its samples are on disk.
#[derive(Debug, Default)]
pub struct Room {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UNITS)))
    }
}

impl Rooms {
    /// Waits until there is room for this.
    pub(super) async fn take(&self, said: &Said) -> Room {
        let units = u32::try_from(bytes(said).div_ceil(UNIT)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        Room { _permit: Arc::clone(&self.0).acquire_many_owned(units).await.ok() }
    }
}

/// About the memory that it takes; no message is longer than the room.
fn bytes(said: &Said) -> usize {
    let samples = match said {
        Said::Samples { samples, .. } => samples,
        Said::Telemetry { windows, .. } => {
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

    fn said(bytes: usize) -> Said {
        let mut sample = Sample::failed(0, 1, Kind::Input, String::new());
        sample.text = Some("x".repeat(bytes));
        Said::Samples {
            shard: 0,
            attempt: 1,
            sequence: 1,
            batch: 0,
            samples: vec![("s".try_into().unwrap(), sample)],
            window: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_waits_until_there_is_room() {
        let rooms = Rooms::default();
        let large = said(UNIT * UNITS / 2);
        let first = rooms.take(&large).await;
        assert!(timeout(Duration::from_secs(1), rooms.take(&large)).await.is_err());
        let _small = rooms.take(&said(1)).await;
        drop(first);
        let _second = rooms.take(&large).await;
        let _heartbeat = rooms.take(&Said::Alive).await;
    }
}
