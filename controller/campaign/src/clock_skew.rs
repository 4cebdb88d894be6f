//! Detects a wall clock that is set back: timestamps are then out of order, and nothing else is affected.

use chrono::{DateTime, TimeDelta, Utc};

/// Routine clock corrections are smaller.
const TOLERANCE: TimeDelta = TimeDelta::seconds(1);

#[derive(Debug, Default)]
pub(super) struct ClockSkew {
    last: Option<DateTime<Utc>>,
}

impl ClockSkew {
    /// Compares a timestamp with the previous one. Returns a message if the clock was set back in between.
    pub(super) fn check(&mut self, at: DateTime<Utc>) -> Option<String> {
        let last = self.last.replace(at)?;
        (at + TOLERANCE < last).then(|| {
            let format = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S UTC");
            format!(
                "the clock of this machine was set back from {} to {}: timestamps are out of order; leases and \
                 results are unaffected",
                format(last),
                format(at)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_back_is_reported_once_and_a_correction_is_not() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let mut skew = ClockSkew::default();
        let reported: Vec<bool> =
            [100, 101, 100, 101, 40, 41].map(|s| skew.check(at(s)).is_some()).into();
        assert_eq!(reported, [false, false, false, false, true, false]);
        assert_eq!(
            skew.check(at(0)).unwrap(),
            "the clock of this machine was set back from 1970-01-01 00:00:41 UTC to 1970-01-01 00:00:00 UTC: \
             timestamps are out of order; leases and results are unaffected"
        );
    }
}
