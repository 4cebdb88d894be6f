//! Token-by-token agreement of two groups that summarised the same dialogues: a speed gap bought with
//! other texts is no speed gap.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What outputs are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// The ids that were decoded.
    Tokens,
    /// Words of the text, where tokens weren't stored.
    #[default]
    Words,
}

/// How far the outputs of two groups agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Agreement {
    /// Tokens; words where they aren't kept.
    #[serde(default)]
    pub unit: Unit,
    /// Summaries that both sides have.
    pub compared: u64,
    /// Of these, equal from the first to the last token (or word; the same applies below).
    pub identical: u64,
    /// Their share; null where nothing was compared.
    pub identical_share: Option<f64>,
    /// The share of tokens before the first difference, of the longer output's tokens.
    pub tokens_agreed_share: Option<f64>,
    /// The earliest place, from 0, at which a pair differs; null where none does.
    pub earliest_difference: Option<u64>,
}

pub fn agreement<'a, T: PartialEq + 'a>(
    unit: Unit,
    pairs: impl IntoIterator<Item = (&'a [T], &'a [T])>,
) -> Agreement {
    let (mut compared, mut identical) = (0_u64, 0_u64);
    let (mut agreed, mut tokens) = (0_u64, 0_u64);
    let mut earliest_difference = None;
    for (baseline, candidate) in pairs {
        compared += 1;
        let common = baseline.iter().zip(candidate).take_while(|(a, b)| a == b).count() as u64;
        let longer = baseline.len().max(candidate.len()) as u64;
        agreed += common;
        tokens += longer;
        if common == longer {
            identical += 1;
        } else {
            earliest_difference =
                Some(earliest_difference.map_or(common, |place: u64| place.min(common)));
        }
    }
    Agreement {
        unit,
        compared,
        identical,
        identical_share: (compared > 0).then(|| identical as f64 / compared as f64),
        tokens_agreed_share: (tokens > 0).then(|| agreed as f64 / tokens as f64),
        earliest_difference,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_after_the_first_difference_do_not_agree() {
        let pairs: [(&[u32], &[u32]); 3] =
            [(&[1, 2, 3], &[1, 2, 3]), (&[1, 9, 3], &[1, 2, 3]), (&[1, 2], &[1, 2, 3, 4])];
        let agreement = agreement(Unit::Tokens, pairs);
        assert_eq!((agreement.compared, agreement.identical), (3, 1));
        assert_eq!(agreement.tokens_agreed_share, Some(6.0 / 10.0));
        assert_eq!(agreement.earliest_difference, Some(1));
    }

    #[test]
    fn nothing_compared_agrees_in_nothing() {
        let agreement = agreement(Unit::Words, std::iter::empty::<(&[u32], &[u32])>());
        assert_eq!((agreement.identical_share, agreement.tokens_agreed_share), (None, None));
    }
}
