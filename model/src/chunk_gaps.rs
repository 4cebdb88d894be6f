//! When the text of a streamed response arrived, packed into a few bytes.

use crate::packed_numbers;
use serde::{Deserialize, Serialize};

/// The most chunks with text of an accepted response: the limit of `max_new_tokens`.
pub const MAX_CHUNKS: usize = 4_096;

/// The gaps between consecutive chunks with text, in microseconds, packed in LEB128: a gap of 20 ms
/// takes three bytes. The first chunk's time is the sample's `ttft_ns`. A server may put several
/// tokens into a chunk, and several chunks may arrive at once, with gaps of zero.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<u32>", into = "Vec<u32>")]
pub struct ChunkGaps(Box<[u8]>);

impl ChunkGaps {
    /// Of the arrivals of all chunks with text, in nanoseconds, in order. Arrivals are rounded and
    /// not gaps, so that rounding errors don't add up. A gap above 71 minutes is cut.
    pub fn of_arrivals(arrivals_ns: &[u64]) -> Self {
        let us = |ns: u64| (ns + 500) / 1_000;
        let gap = |pair: &[u64]| u32::try_from(us(pair[1]) - us(pair[0])).unwrap_or(u32::MAX);
        Self(packed_numbers::pack(arrivals_ns.windows(2).map(gap)))
    }

    /// The inverse of [`ChunkGaps::as_packed`]; `None` for other bytes.
    pub fn from_packed(bytes: Vec<u8>) -> Option<Self> {
        packed_numbers::is_packed(&bytes).then(|| Self(bytes.into()))
    }

    pub fn as_packed(&self) -> &[u8] {
        &self.0
    }

    /// Chunks with text: one more than there are gaps.
    pub fn chunks(&self) -> usize {
        packed_numbers::count(&self.0) + 1
    }

    /// In order of arrival, in microseconds.
    pub fn iter_us(&self) -> impl Iterator<Item = u32> + '_ {
        packed_numbers::unpack(&self.0)
    }

    /// From the first chunk to the last, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.iter_us().map(u64::from).sum()
    }
}

impl From<Vec<u32>> for ChunkGaps {
    fn from(gaps_us: Vec<u32>) -> Self {
        Self(packed_numbers::pack(gaps_us))
    }
}

impl From<ChunkGaps> for Vec<u32> {
    fn from(gaps: ChunkGaps) -> Self {
        gaps.iter_us().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_errors_of_gaps_do_not_add_up() {
        // 1,000 gaps of 1,400 ns: each alone would round to 1 us.
        let arrivals: Vec<u64> = (0..=1_000).map(|index| 7_000_000 + index * 1_400).collect();
        let gaps = ChunkGaps::of_arrivals(&arrivals);
        assert_eq!((gaps.chunks(), gaps.sum_us()), (1_001, 1_400));
        assert_eq!(ChunkGaps::from_packed(gaps.as_packed().to_vec()), Some(gaps));
    }

    #[test]
    fn one_chunk_has_no_gap() {
        let gaps = ChunkGaps::of_arrivals(&[5]);
        assert_eq!((gaps.chunks(), gaps.sum_us(), gaps.as_packed().len()), (1, 0, 0));
        assert_eq!(ChunkGaps::from_packed(vec![0x80]), None);
    }
}
