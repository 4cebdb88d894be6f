use crate::wire;
use model::segment::SegmentFacts;

impl From<wire::Segment> for SegmentFacts {
    fn from(segment: wire::Segment) -> Self {
        Self {
            warmup_batches: segment.warmup_batches,
            warmup_ns: segment.warmup_ns,
            load_ns: segment.load_ns,
            peak_rss_bytes: segment.peak_rss_bytes,
            rss_after_load_bytes: segment.rss_after_load_bytes,
            kv_cache_bytes: segment.kv_cache_bytes,
            gpu_memory_bytes: segment.gpu_memory_bytes,
            gpu_memory_before_bytes: segment.gpu_memory_before_bytes,
            model_size_bytes: segment.model_size_bytes,
            adapter_bytes: segment.adapter_bytes,
            adapter_load_ns: segment.adapter_load_ns,
        }
    }
}

impl From<SegmentFacts> for wire::Segment {
    fn from(facts: SegmentFacts) -> Self {
        Self {
            warmup_batches: facts.warmup_batches,
            warmup_ns: facts.warmup_ns,
            load_ns: facts.load_ns,
            peak_rss_bytes: facts.peak_rss_bytes,
            rss_after_load_bytes: facts.rss_after_load_bytes,
            kv_cache_bytes: facts.kv_cache_bytes,
            gpu_memory_bytes: facts.gpu_memory_bytes,
            gpu_memory_before_bytes: facts.gpu_memory_before_bytes,
            model_size_bytes: facts.model_size_bytes,
            adapter_bytes: facts.adapter_bytes,
            adapter_load_ns: facts.adapter_load_ns,
        }
    }
}
