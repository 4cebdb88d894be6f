//! Groups of prompts encoded together.

use std::ops::Range;

/// Target size of a group in tokens: large enough to amortize reading the weights, small enough
/// that the rows stay in cache and memory is bounded.
const TOKENS: usize = 1024;

/// Sequences of these lengths one after the other, as ranges of rows.
pub fn ranges(lengths: impl Iterator<Item = usize>) -> impl Iterator<Item = Range<usize>> {
    let mut end = 0;
    lengths.map(move |length| {
        let start = end;
        end += length;
        start..end
    })
}

/// The first group of prompts with these lengths, as ranges of rows.
fn next(lengths: &[usize]) -> Vec<Range<usize>> {
    let fits = |prompt: &Range<usize>| prompt.start == 0 || prompt.end <= TOKENS;
    ranges(lengths.iter().copied()).take_while(fits).collect()
}

/// All prompts, in groups.
pub fn all(lengths: &[usize]) -> Vec<Vec<Range<usize>>> {
    let mut groups = Vec::new();
    let mut first = 0;
    while first < lengths.len() {
        let ranges = next(&lengths[first..]);
        first += ranges.len();
        groups.push(ranges);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_take_every_prompt_once_and_a_long_one_alone() {
        assert!(all(&[]).is_empty());
        let ends: Vec<Vec<usize>> = all(&[500, 524, 1, 3000, 2])
            .into_iter()
            .map(|group| group.into_iter().map(|prompt| prompt.end).collect())
            .collect();
        assert_eq!(ends, [vec![500, 1024], vec![1], vec![3000], vec![2]]);
        assert_eq!(next(&[3, 4, 5]), [0..3, 3..7, 7..12]);
    }
}
