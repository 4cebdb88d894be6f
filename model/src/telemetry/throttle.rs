//! Why a GPU's clocks are reduced: NVML's `nvmlClocksEventReasons` bits.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ThrottleReasons(pub u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    pub bit: u32,
    pub name: &'static str,
    /// Whether it slows down requested work; idling and configured clocks don't.
    pub is_throttle: bool,
}

const fn reason(bit: u32, name: &'static str, is_throttle: bool) -> Reason {
    Reason { bit, name, is_throttle }
}

impl ThrottleReasons {
    /// In the order of their bits in nvml.h.
    pub const KNOWN: [Reason; 9] = [
        reason(0x1, "idle", false),
        reason(0x2, "application_clocks", false),
        reason(0x4, "sw_power_cap", true),
        reason(0x8, "hw_slowdown", true),
        reason(0x10, "sync_boost", true),
        reason(0x20, "sw_thermal_slowdown", true),
        reason(0x40, "hw_thermal_slowdown", true),
        reason(0x80, "hw_power_brake", true),
        reason(0x100, "display_clocks", false),
    ];

    /// `None` if the reading isn't a bit set.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be a whole number of the range"
    )]
    pub fn of_reading(value: f64) -> Option<Self> {
        let is_set = value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value);
        is_set.then_some(Self(value as u32))
    }

    pub fn reasons(self) -> impl Iterator<Item = Reason> {
        Self::KNOWN.into_iter().filter(move |reason| self.0 & reason.bit != 0)
    }

    /// Whether heat is among the reasons. `hw_slowdown` alone isn't: it also stands for power.
    pub fn is_thermal(self) -> bool {
        self.0 & (0x20 | 0x40) != 0
    }

    /// Whether any reason slows down requested work. An unknown bit counts as one that does.
    pub fn is_throttled(self) -> bool {
        let harmless = Self::KNOWN.iter().filter(|reason| !reason.is_throttle);
        self.0 & !harmless.fold(0, |bits, reason| bits | reason.bit) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_no_throttling_and_an_unknown_reason_is() {
        let throttled =
            [0x0, 0x1, 0x3, 0x4, 0x21, 0x8000].map(|bits| ThrottleReasons(bits).is_throttled());
        assert_eq!(throttled, [false, false, false, true, true, true]);
        let names: Vec<_> = ThrottleReasons(0x24).reasons().map(|reason| reason.name).collect();
        assert_eq!(names, ["sw_power_cap", "sw_thermal_slowdown"]);
        let thermal = [0x1, 0xc, 0x24, 0x48].map(|bits| ThrottleReasons(bits).is_thermal());
        assert_eq!(thermal, [false, false, true, true]);
    }

    #[test]
    fn only_whole_numbers_are_sets() {
        assert_eq!(ThrottleReasons::of_reading(36.0), Some(ThrottleReasons(36)));
        for value in [0.5, -1.0, f64::NAN, 1e12] {
            assert_eq!(ThrottleReasons::of_reading(value), None, "{value}");
        }
    }
}
