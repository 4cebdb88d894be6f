//! ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), equal to Google's `rouge_score` 0.1.2 with its stemmer on.

use super::stem::stem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// F1 scores of one summary, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rouge {
    pub rouge1: f64,
    pub rouge2: f64,
    /// Of the longest common subsequence of words.
    #[serde(rename = "rougeL")]
    pub rouge_l: f64,
}

pub fn rouge(reference: &str, summary: &str) -> Rouge {
    let (reference, summary) = (words(reference), words(summary));
    Rouge {
        rouge1: of_runs(&reference, &summary, 1),
        rouge2: of_runs(&reference, &summary, 2),
        rouge_l: of_subsequence(&reference, &summary),
    }
}

/// Lower-case runs of letters and digits, those of more than three stemmed.
fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words
        .map(|word| if word.len() > 3 { stem(word).into_owned() } else { word.to_owned() })
        .collect()
}

/// F1 over runs of `length` words, each counted as often as both sides have it.
fn of_runs(reference: &[String], summary: &[String], length: usize) -> f64 {
    let mut left: HashMap<&[String], usize> = HashMap::new();
    for run in reference.windows(length) {
        *left.entry(run).or_default() += 1;
    }
    let mut shared = 0;
    for run in summary.windows(length) {
        if let Some(count) = left.get_mut(run).filter(|count| **count > 0) {
            *count -= 1;
            shared += 1;
        }
    }
    let runs = |words: &[String]| (words.len() + 1).saturating_sub(length).max(1);
    f1(shared, runs(summary), runs(reference))
}

fn of_subsequence(reference: &[String], summary: &[String]) -> f64 {
    if reference.is_empty() || summary.is_empty() {
        return 0.0;
    }
    f1(common_subsequence(reference, summary), summary.len(), reference.len())
}

/// Length of the longest common subsequence, with one bit per word of the summary, so that a long
/// reference costs `reference * summary / 64` operations (Hyyrö, "Bit-Parallel LCS-length
/// Computation Revisited", 2004).
fn common_subsequence(reference: &[String], summary: &[String]) -> usize {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for word in summary {
        let next = numbers.len();
        numbers.entry(word).or_insert(next);
    }
    // Words that the summary lacks change nothing.
    let reference: Vec<usize> =
        reference.iter().filter_map(|word| numbers.get(word.as_str()).copied()).collect();
    let mut places = vec![0_u64; numbers.len()];
    let mut carries = vec![false; reference.len()];
    let mut length = 0;
    for block in summary.chunks(64) {
        for (place, word) in block.iter().enumerate() {
            places[numbers[word.as_str()]] |= 1 << place;
        }
        // A bit that is 0 is a step in the row of the usual table.
        let mut row = u64::MAX;
        for (&word, carry) in reference.iter().zip(&mut carries) {
            let matched = row & places[word];
            let (sum, overflows) = row.overflowing_add(matched);
            let (sum, carries) = sum.overflowing_add(u64::from(*carry));
            *carry = overflows || carries;
            row = sum | (row & !places[word]);
        }
        length += (0..block.len()).filter(|place| row >> place & 1 == 0).count();
        for word in block {
            places[numbers[word.as_str()]] = 0;
        }
    }
    length
}

fn f1(shared: usize, of_summary: usize, of_reference: usize) -> f64 {
    let precision = shared as f64 / of_summary as f64;
    let recall = shared as f64 / of_reference as f64;
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The table of Lin 2004, row by row.
    fn by_rows(reference: &[String], summary: &[String]) -> usize {
        let mut row = vec![0_usize; summary.len() + 1];
        for word in reference {
            let mut diagonal = 0;
            for (place, other) in summary.iter().enumerate() {
                let above = row[place + 1];
                row[place + 1] = if word == other { diagonal + 1 } else { above.max(row[place]) };
                diagonal = above;
            }
        }
        row[summary.len()]
    }

    fn words_up_to(count: usize) -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[a-e]", 0..count)
    }

    proptest! {
        #[test]
        fn the_bits_give_the_length_that_the_rows_give(
            reference in words_up_to(200),
            summary in words_up_to(200),
        ) {
            let length = common_subsequence(&reference, &summary);
            prop_assert_eq!(length, by_rows(&reference, &summary));
        }
    }
}
