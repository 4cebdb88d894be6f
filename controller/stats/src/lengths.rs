//! How well the lengths of the prompts that were sent match recorded ones.

use super::quantile::quantile;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Differences of at most this share of the requested length are counted as near.
const NEAR: f64 = 0.1;

/// Quantiles (type 7) of lengths.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LengthQuantiles {
    pub mean: f64,
    pub p50: f64,
    pub p95: f64,
    pub max: u32,
}

impl LengthQuantiles {
    /// `None` without lengths.
    pub fn of(lengths: &[u32]) -> Option<Self> {
        let max = *lengths.iter().max()?;
        let mut values: Vec<f64> = lengths.iter().map(|length| f64::from(*length)).collect();
        values.sort_by(f64::total_cmp);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(Self { mean, p50: quantile(&values, 0.5)?, p95: quantile(&values, 0.95)?, max })
    }
}

/// Requested and used lengths, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LengthMatch {
    pub requests: u64,
    /// As recorded.
    pub requested: LengthQuantiles,
    /// Of the dialogues that were sent.
    pub used: LengthQuantiles,
    /// The mean difference of the two lengths of a request, whatever its sign.
    pub mean_difference: f64,
    /// Share of the requests whose dialogue differs by at most 10% of the requested length, 0 to 1.
    pub near_share: f64,
    /// Different dialogues that were sent.
    pub dialogues: u64,
    /// The number of requests that sent the same dialogue, at most.
    pub most_uses: u64,
}

impl LengthMatch {
    /// `requested`: a length for each request, `sent`: the dialogue of each, an index of `lengths`. `None` without requests.
    pub fn of(requested: &[u32], sent: &[u32], lengths: &[u32]) -> Option<Self> {
        let pairs =
            || requested.iter().zip(sent).map(|(wanted, one)| (*wanted, lengths[*one as usize]));
        let requests = pairs().count() as u64;
        let differs = |(wanted, used): (u32, u32)| f64::from(wanted.abs_diff(used));
        let is_near = |pair: &(u32, u32)| differs(*pair) <= NEAR * f64::from(pair.0);
        let mut uses: BTreeMap<u32, u64> = BTreeMap::new();
        for dialogue in sent.iter().take(requested.len()) {
            *uses.entry(*dialogue).or_default() += 1;
        }
        Some(Self {
            requests,
            requested: LengthQuantiles::of(&pairs().map(|pair| pair.0).collect::<Vec<_>>())?,
            used: LengthQuantiles::of(&pairs().map(|pair| pair.1).collect::<Vec<_>>())?,
            mean_difference: pairs().map(differs).sum::<f64>() / requests as f64,
            near_share: pairs().filter(is_near).count() as f64 / requests as f64,
            dialogues: uses.len() as u64,
            most_uses: uses.into_values().max().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requested_and_used_lengths_are_compared_by_request() {
        let lengths = [100, 200, 1000];
        let found = LengthMatch::of(&[100, 180, 190, 600], &[0, 1, 1, 2], &lengths).unwrap();
        assert_eq!((found.requests, found.dialogues, found.most_uses), (4, 3, 2));
        // 0, 20, 10 and 400; 20 of 180 is more than 10%.
        assert!(
            (found.mean_difference - 107.5).abs() < 1e-9 && (found.near_share - 0.5).abs() < 1e-9
        );
        assert_eq!((found.requested.p50, found.requested.max), (185.0, 600));
        assert_eq!((found.used.mean, found.used.p50, found.used.max), (375.0, 200.0, 1000));
        assert_eq!(LengthMatch::of(&[], &[], &lengths), None);
    }
}
