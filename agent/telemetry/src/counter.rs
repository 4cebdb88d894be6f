//! A monotonic counter, sampled periodically.

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Counter(Option<f64>);

impl Counter {
    /// The increase since the last reading. `None` for the first reading, an unreadable counter, or
    /// after a reset.
    pub(super) fn advance(&mut self, now: Option<f64>) -> Option<f64> {
        let now = now?;
        let before = self.0.replace(now)?;
        (now >= before).then_some(now - before)
    }

    /// The same for a counter that wraps at `range`.
    pub(super) fn advance_within(&mut self, now: Option<f64>, range: f64) -> Option<f64> {
        let now = now?;
        let before = self.0.replace(now)?;
        Some(if now >= before { now - before } else { now + range - before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_over_readings_that_failed() {
        let mut counter = Counter::default();
        let grown = [Some(5.0), Some(7.0), None, Some(10.0), Some(1.0), Some(2.0)]
            .map(|now| counter.advance(now));
        assert_eq!(grown, [None, Some(2.0), None, Some(3.0), None, Some(1.0)]);
    }

    #[test]
    fn a_counter_that_wraps_goes_on() {
        let mut counter = Counter::default();
        let grown = [Some(90.0), Some(10.0)].map(|now| counter.advance_within(now, 100.0));
        assert_eq!(grown, [None, Some(20.0)]);
    }
}
