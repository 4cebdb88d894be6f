//! Batch times to draw from.

use super::simulation::{Batch, BatchTime};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use stats::Observation;

/// Fewer times of one size are only used if there is no better size.
pub(super) const LEAST_TIMES: usize = 8;

/// Batch times after a pause are grouped by its length, with at least so many in each group.
const TIMES_OF_PAUSES: usize = 30;

const MOST_PAUSES: usize = 10;

/// The time of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Timed {
    pub(super) seconds: f64,
    /// From the end of the batch before it to its begin, in seconds; 0 if they followed each other.
    pub(super) pause_s: f64,
    /// The mean length of its prompts in tokens; `None` if one was not counted.
    pub(super) prompt_tokens: Option<f64>,
}

impl Timed {
    pub(super) fn of<'a>(
        batch: impl Iterator<Item = &'a Observation>,
        ns: u64,
        pause_ns: u64,
    ) -> Self {
        let lengths: Option<Vec<f64>> = batch.map(|row| row.input_tokens.map(f64::from)).collect();
        let mean = |lengths: Vec<f64>| lengths.iter().sum::<f64>() / lengths.len() as f64;
        let (seconds, pause_s) = (ns as f64 / 1e9, pause_ns as f64 / 1e9);
        Self { seconds, pause_s, prompt_tokens: lengths.map(mean) }
    }
}

/// Batch times to draw from. Between two measured sizes the times of equal rank are interpolated, a size below the
/// smallest takes as long as that, and one above the largest takes longer in proportion.
///
/// Times are drawn from batches before which the instance paused for about as long: caches and pages get cold.
///
/// Where the lengths of the prompts are known, the time of a batch is that of a measured one of its size plus the
/// difference of their mean lengths times a slope, which is fitted to the times of that size.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    sizes: Vec<Size>,
    /// Of the batches of which mean times are asked.
    prompt_tokens: Option<f64>,
}

#[derive(Debug, Clone, PartialEq)]
struct Size {
    requests: usize,
    /// By ascending pause, the first one from 0 on; at least one.
    after_pauses: Vec<AfterPause>,
    /// Seconds per token of the mean length of the prompts, at least 0: a longer prompt is never faster. `None` if a
    /// length is unknown, or all are equal.
    slope: Option<f64>,
}

/// Times of batches after similar pauses.
#[derive(Debug, Clone, PartialEq)]
struct AfterPause {
    /// The shortest pause, in seconds.
    from_s: f64,
    /// Sorted.
    seconds: Vec<f64>,
    /// The times less the part of the slope. Sorted; empty without a slope.
    rests: Vec<f64>,
}

/// The slope of the times over the lengths of their prompts, by least squares.
fn slope(times: &[Timed]) -> Option<f64> {
    let lengths: Vec<f64> = times.iter().map(|time| time.prompt_tokens).collect::<Option<_>>()?;
    let n = times.len() as f64;
    let mean_length = lengths.iter().sum::<f64>() / n;
    let mean_seconds = times.iter().map(|time| time.seconds).sum::<f64>() / n;
    let variance: f64 = lengths.iter().map(|length| (length - mean_length).powi(2)).sum();
    let covariance: f64 = lengths
        .iter()
        .zip(times)
        .map(|(length, time)| (length - mean_length) * (time.seconds - mean_seconds))
        .sum();
    (variance > 0.0).then(|| (covariance / variance).max(0.0))
}

/// Groups of times by their pauses, which ascend: those that followed at once, and groups of equal counts.
fn by_pause(times: &[Timed]) -> Vec<&[Timed]> {
    let at_once = times.partition_point(|time| time.pause_s <= 0.0);
    let (followed, paused) = times.split_at(at_once);
    if paused.len() < LEAST_TIMES {
        return vec![times];
    }
    let (mut groups, paused) = match followed.len() {
        0..LEAST_TIMES => (Vec::new(), times),
        _ => (vec![followed], paused),
    };
    let count = (paused.len() / TIMES_OF_PAUSES).clamp(1, MOST_PAUSES);
    let bound = |group: usize| group * paused.len() / count;
    groups.extend((0..count).map(|group| &paused[bound(group)..bound(group + 1)]));
    groups
}

impl AfterPause {
    fn new(times: &[Timed], slope: Option<f64>) -> Self {
        let rest = |time: &Timed| Some(time.seconds - slope? * time.prompt_tokens?);
        Self {
            from_s: times[0].pause_s,
            seconds: sorted(times.iter().map(|time| time.seconds)),
            rests: sorted(times.iter().filter_map(rest)),
        }
    }
}

impl Size {
    /// `times`: at least one.
    fn new(requests: usize, mut times: Vec<Timed>) -> Self {
        times.sort_by(|a, b| a.pause_s.total_cmp(&b.pause_s));
        let slope = slope(&times);
        let after_pauses =
            by_pause(&times).into_iter().map(|group| AfterPause::new(group, slope)).collect();
        Self { requests, after_pauses, slope }
    }

    fn after(&self, pause_s: f64) -> &AfterPause {
        let longer = self.after_pauses.partition_point(|group| group.from_s <= pause_s);
        &self.after_pauses[longer.saturating_sub(1)]
    }

    /// The time at an index of the sorted ones after a pause.
    fn at(&self, group: &AfterPause, index: usize, prompt_tokens: Option<f64>) -> f64 {
        match (self.slope, prompt_tokens) {
            (Some(slope), Some(length)) => (group.rests[index] + slope * length).max(0.0),
            _ => group.seconds[index],
        }
    }

    /// Of batches that follow each other, as far as there are any.
    fn mean(&self, prompt_tokens: Option<f64>) -> f64 {
        let group = &self.after_pauses[0];
        let all = (0..group.seconds.len()).map(|index| self.at(group, index, prompt_tokens));
        all.sum::<f64>() / group.seconds.len() as f64
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

impl Curve {
    /// Sizes in ascending order, each with at least one time.
    pub(super) fn new(
        sizes: impl Iterator<Item = (usize, Vec<Timed>)>,
        prompt_tokens: Option<f64>,
    ) -> Self {
        let sizes = sizes.map(|(size, times)| Size::new(size, times)).collect();
        Self { sizes, prompt_tokens }
    }

    /// Whether the times of each size tell how they depend on the prompts.
    pub(super) fn has_lines(&self) -> bool {
        !self.sizes.is_empty() && self.sizes.iter().all(|size| size.slope.is_some())
    }

    /// The mean time of a batch that follows another one, in seconds.
    pub fn mean_s(&self, size: usize) -> f64 {
        self.between(size, |one| one.mean(self.prompt_tokens))
    }

    /// Requests per second of an instance whose batches are full and follow each other.
    pub fn full_rate(&self, size: usize) -> f64 {
        size as f64 / self.mean_s(size)
    }

    fn between(&self, size: usize, of: impl Fn(&Size) -> f64) -> f64 {
        let next = self.sizes.partition_point(|one| one.requests < size);
        match (next.checked_sub(1).map(|index| &self.sizes[index]), self.sizes.get(next)) {
            (_, Some(same)) if same.requests == size => of(same),
            (None, Some(smallest)) => of(smallest),
            (Some(largest), None) => of(largest) * size as f64 / largest.requests as f64,
            (Some(low), Some(high)) => {
                let share = (size - low.requests) as f64 / (high.requests - low.requests) as f64;
                of(low) * (1.0 - share) + of(high) * share
            }
            (None, None) => 0.0,
        }
    }
}

impl BatchTime for Curve {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    fn seconds(&self, batch: Batch, rng: &mut ChaCha8Rng) -> f64 {
        let unit: f64 = rng.random();
        self.between(batch.size, |one| {
            let group = one.after(batch.pause_s);
            let index = (unit * group.seconds.len() as f64) as usize;
            one.at(group, index, batch.prompt_tokens)
        })
    }
}
