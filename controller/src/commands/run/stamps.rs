//! Notices a wall clock that is set back: stamps are then out of order, and nothing else is.

use chrono::{DateTime, TimeDelta, Utc};

/// Clocks are corrected by less than this all the time.
const SLACK: TimeDelta = TimeDelta::seconds(1);

/// The stamps that were taken so far.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    last: Option<DateTime<Utc>>,
}

impl Stamps {
    /// Takes in a stamp; says so where it lies before the one that was taken last.
    pub(super) fn take(&mut self, at: DateTime<Utc>) -> Option<String> {
        let last = self.last.replace(at)?;
        (at + SLACK < last).then(|| {
            let stamp = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S UTC");
            format!(
                "the clock of this machine was set back from {} to {}: stamps are out of order; leases and figures \
                 don't depend on it",
                stamp(last),
                stamp(at)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_back_is_told_once_and_a_correction_is_not() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let mut stamps = Stamps::default();
        let told: Vec<bool> =
            [100, 101, 100, 101, 40, 41].map(|s| stamps.take(at(s)).is_some()).into();
        assert_eq!(told, [false, false, false, false, true, false]);
        assert_eq!(
            stamps.take(at(0)).unwrap(),
            "the clock of this machine was set back from 1970-01-01 00:00:41 UTC to 1970-01-01 00:00:00 UTC: stamps are \
             out of order; leases and figures don't depend on it"
        );
    }
}
