use crate::wire;
use model::segment::SegmentFacts;

impl From<wire::Segment> for SegmentFacts {
    fn from(segment: wire::Segment) -> Self {
        let wire::Segment {
            warmup_batches,
            warmup_ns,
            load_ns,
            peak_rss_bytes,
            rss_after_load_bytes,
            kv_cache_bytes,
            gpu_memory_bytes,
            model_size_bytes,
            adapter_bytes,
            adapter_load_ns,
            gpu_memory_before_bytes,
        } = segment;
        Self {
            warmup_batches,
            warmup_ns,
            load_ns,
            peak_rss_bytes,
            rss_after_load_bytes,
            kv_cache_bytes,
            gpu_memory_bytes,
            gpu_memory_before_bytes,
            model_size_bytes,
            adapter_bytes,
            adapter_load_ns,
        }
    }
}

impl From<SegmentFacts> for wire::Segment {
    fn from(facts: SegmentFacts) -> Self {
        let SegmentFacts {
            warmup_batches,
            warmup_ns,
            load_ns,
            peak_rss_bytes,
            rss_after_load_bytes,
            kv_cache_bytes,
            gpu_memory_bytes,
            gpu_memory_before_bytes,
            model_size_bytes,
            adapter_bytes,
            adapter_load_ns,
        } = facts;
        Self {
            warmup_batches,
            warmup_ns,
            load_ns,
            peak_rss_bytes,
            rss_after_load_bytes,
            kv_cache_bytes,
            gpu_memory_bytes,
            model_size_bytes,
            adapter_bytes,
            adapter_load_ns,
            gpu_memory_before_bytes,
        }
    }
}
