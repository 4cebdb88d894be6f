//! How the text of streamed responses arrives: the gaps between consecutive chunks with text.
//!
//! Percentiles come from the merged gaps of all requests, never from percentiles of requests; from a histogram, within
//! half a percent. Descriptive: the gaps of one request depend on each other, so there is no interval. Time to first
//! token and time per output token stand among a cell's estimates ([`super::CellStatistics`]).

use super::quantile::{P50, P90, P95, P99};
use model::chunk_gaps::ChunkGaps;
use model::{histogram::Histogram, load::LoadWindow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Above this ratio of tokens to chunks, chunks hold several tokens. Some tokens have no text of their own: a token
/// may be a part of a character.
const MAX_TOKENS_PER_CHUNK: f64 = 1.02;

#[derive(Debug, Clone, Default)]
pub struct StreamTimings {
    requests: u64,
    /// Of the requests whose tokens are counted.
    counted: Counts,
    gaps: Histogram,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    requests: u64,
    chunks: u64,
    tokens: u64,
}

/// How the text of a cell's streamed responses arrived.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellStream {
    /// Requests with a summary.
    pub requests: u64,
    /// Chunks with text.
    pub chunks: u64,
    /// Chunks that arrived together with the one before, in one read from the network; their gaps are zero.
    pub arrived_together: u64,
    /// Output tokens per chunk, without one end-of-sequence token for each request; null if tokens aren't counted.
    pub tokens_per_chunk: Option<f64>,
    /// Whether chunks hold one token each, so that their gaps are inter-token latencies; null if tokens aren't counted.
    pub is_per_token: Option<bool>,
    /// Between consecutive chunks with text of one request.
    pub gap_ms: Gaps,
}

/// Gaps between chunks, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gaps {
    pub n: u64,
    pub mean: Option<f64>,
    /// Standard deviation, ddof 1.
    pub std: Option<f64>,
    /// The median; null below 8 gaps.
    pub p50: Option<f64>,
    /// Nine in ten are at most this; null below 46 gaps.
    pub p90: Option<f64>,
    /// 19 in 20; null below 93 gaps.
    pub p95: Option<f64>,
    /// 99 in 100; null below 473 gaps.
    pub p99: Option<f64>,
    pub max: Option<f64>,
}

impl StreamTimings {
    /// Adds a streamed response with a summary.
    pub fn add(&mut self, gaps: &ChunkGaps, output_tokens: Option<u32>) {
        self.requests += 1;
        gaps.iter_us().for_each(|us| self.gaps.add(u64::from(us) * 1_000));
        if let Some(tokens) = output_tokens {
            self.counted.requests += 1;
            self.counted.chunks += gaps.chunks() as u64;
            self.counted.tokens += u64::from(tokens);
        }
    }

    /// Adds the streamed responses of a window, whose tokens are always counted.
    pub fn add_window(&mut self, window: &LoadWindow) {
        self.requests += window.streamed;
        self.gaps.merge(&window.chunk_gap);
        self.counted.requests += window.streamed;
        self.counted.chunks += window.chunk_gap.count() + window.streamed;
        self.counted.tokens += window.streamed_tokens;
    }

    pub fn summary(&self) -> Option<CellStream> {
        let Counts { requests, chunks, tokens } = self.counted;
        let tokens_per_chunk =
            (chunks > 0).then(|| tokens.saturating_sub(requests) as f64 / chunks as f64);
        (self.requests > 0).then(|| CellStream {
            requests: self.requests,
            chunks: self.gaps.count() + self.requests,
            // Gaps are whole microseconds.
            arrived_together: self.gaps.counts.get(&0).copied().unwrap_or_default(),
            tokens_per_chunk,
            is_per_token: tokens_per_chunk.map(|ratio| ratio <= MAX_TOKENS_PER_CHUNK),
            gap_ms: gaps(&self.gaps),
        })
    }
}

fn gaps(histogram: &Histogram) -> Gaps {
    Gaps {
        n: histogram.count(),
        mean: histogram.mean().map(|ns| ns / 1e6),
        std: histogram.standard_deviation().map(|ns| ns / 1e6),
        p50: P50.of_histogram_ms(histogram),
        p90: P90.of_histogram_ms(histogram),
        p95: P95.of_histogram_ms(histogram),
        p99: P99.of_histogram_ms(histogram),
        max: histogram.max().map(|ns| ns as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_come_from_the_merged_gaps_and_not_from_those_of_requests() {
        let mut timings = StreamTimings::default();
        assert_eq!(timings.summary(), None);
        // One long request with gaps of 1 ms, nine short ones with one gap of 101 ms each.
        timings.add(&vec![1_000; 91].into(), Some(93));
        (0..9).for_each(|_| timings.add(&vec![101_000].into(), Some(3)));
        let summary = timings.summary().unwrap();
        assert_eq!((summary.requests, summary.chunks, summary.gap_ms.n), (10, 110, 100));
        assert!((summary.gap_ms.mean.unwrap() - 10.0).abs() < 1e-9);
        assert!((summary.gap_ms.p90.unwrap() - 1.0).abs() < 0.01);
        assert!((summary.gap_ms.p95.unwrap() - 101.0).abs() < 1.0);
        assert_eq!((summary.gap_ms.p99, summary.gap_ms.max), (None, Some(101.0)));
        // 120 tokens, of which 10 end a summary and have no text.
        assert_eq!((summary.tokens_per_chunk, summary.is_per_token), (Some(1.0), Some(true)));
    }

    #[test]
    fn chunks_of_several_tokens_are_known_and_uncounted_tokens_are_null() {
        let mut timings = StreamTimings::default();
        timings.add(&vec![0, 2_000].into(), Some(12));
        let summary = timings.summary().unwrap();
        assert_eq!((summary.is_per_token, summary.arrived_together), (Some(false), 1));
        let mut timings = StreamTimings::default();
        timings.add(&Vec::new().into(), None);
        let summary = timings.summary().unwrap();
        assert_eq!((summary.chunks, summary.is_per_token, summary.gap_ms.mean), (1, None, None));
    }

    #[test]
    fn windows_add_up_to_the_same_figures_as_their_requests() {
        let (mut requests, mut windows) = (StreamTimings::default(), StreamTimings::default());
        let mut window = LoadWindow::default();
        for gaps in [vec![4_000, 5_000], vec![6_000]] {
            let tokens = gaps.len() as u64 + 2;
            window.streamed += 1;
            window.streamed_tokens += tokens;
            gaps.iter().for_each(|us: &u32| window.chunk_gap.add(u64::from(*us) * 1_000));
            requests.add(&gaps.into(), u32::try_from(tokens).ok());
        }
        windows.add_window(&window);
        assert_eq!(windows.summary(), requests.summary());
    }
}
