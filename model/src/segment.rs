//! Facts about a segment: an unbroken stretch of a run on one host, with its own warm-up.

use serde::{Deserialize, Serialize};

/// Reported by an agent at the end of a shard. Times are nanoseconds of its monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SegmentFacts {
    pub warmup_batches: u32,
    pub warmup_ns: u64,
    /// 0 if the engine was already loaded.
    pub load_ns: u64,
    /// Maximum resident memory of the process since it began to load the engine.
    pub peak_rss_bytes: u64,
    pub rss_after_load_bytes: u64,
    pub kv_cache_bytes: u64,
    /// Growth by loading; 0 if not on a GPU or unknown.
    pub gpu_memory_bytes: u64,
    /// Before loading; null if not on a GPU or unknown.
    pub gpu_memory_before_bytes: Option<u64>,
    /// Weights in memory, including an unmerged adapter.
    pub model_size_bytes: u64,
    /// Of an unmerged adapter.
    pub adapter_bytes: u64,
    /// The part of `load_ns` spent on an unmerged adapter.
    pub adapter_load_ns: u64,
}
