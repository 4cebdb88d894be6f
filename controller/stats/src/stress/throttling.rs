//! For how long, why, and at what price the device or the processors were held back.

use super::finding::Finding;
use super::influence::{Exposed, Influence, influence};
use super::window::{Device, Window};
use crate::{Estimate, validity::MAX_THROTTLED};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A share of the time and of the requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shares {
    pub of_time: f64,
    /// Of the requests: those of a window in which it held for a part of the time count in that part.
    pub of_requests: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Onset {
    /// The beginning of the first window in which something held the clocks down, in seconds.
    pub at_s: f64,
    /// How long that window is: the onset is known no better.
    pub within_s: f64,
    pub celsius: Option<f64>,
    pub watts: Option<f64>,
}

/// Whether a device was held back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Throttling {
    /// Found: for more than 1 % of the time.
    pub finding: Finding,
    pub shares: Shares,
    /// By cause. Of a processor, every cause that could be read; of a GPU, those that occurred.
    pub by_reason: BTreeMap<String, Shares>,
    /// The share of throughput that it cost while it held.
    pub lost_while_throttled: Estimate,
    /// The share of throughput that it cost over all.
    pub throughput_lost: Estimate,
    /// The smallest loss over all that would have been found in 90 % of campaigns, as a share.
    pub minimum_detectable_loss: Option<f64>,
    /// When it began; null where it didn't.
    pub onset: Option<Onset>,
    /// The mean clock as a share of the largest that the device can do or ever showed.
    pub clock_of_maximum: Option<f64>,
}

/// Judges windows in order of time; `None` where throttling isn't measurable. `max_mhz` is what the device says that
/// it can do; without it the highest observed clock is used.
pub fn throttling(
    windows: &[Window],
    device: fn(&Window) -> &Device,
    max_mhz: Option<f64>,
) -> Option<Throttling> {
    let seen: Vec<(&Window, &Device)> = (windows.iter().map(|window| (window, device(window))))
        .filter(|(window, device)| device.throttled.is_some() && window.seconds > 0.0)
        .collect();
    if seen.is_empty() {
        return None;
    }
    let over = |weight: &dyn Fn(&Window) -> f64, share: &dyn Fn(&Device) -> f64| {
        let all: f64 = seen.iter().map(|(window, _)| weight(window)).sum();
        let held: f64 = seen.iter().map(|(window, device)| weight(window) * share(device)).sum();
        if all > 0.0 { held / all } else { 0.0 }
    };
    let shares = |share: &dyn Fn(&Device) -> f64| Shares {
        of_time: over(&|window| window.seconds, share),
        of_requests: over(&|window| window.load.ok() as f64, share),
    };
    let share = |device: &Device| device.throttled.unwrap_or_default();
    let all = shares(&share);
    let mut by_reason = BTreeMap::new();
    for reason in seen.iter().flat_map(|(_, device)| device.by_reason.keys()) {
        by_reason.entry(reason.clone()).or_insert_with(|| {
            shares(&|device| device.by_reason.get(reason).copied().unwrap_or_default())
        });
    }
    let exposed: Vec<Exposed> = (seen.iter())
        .map(|(window, device)| Exposed { throughput: window.throughput(), share: share(device) })
        .collect();
    let Influence { lost_while_on, lost, minimum_detectable } = influence(&exposed, 0.0);
    let first = seen.iter().find(|(_, device)| device.throttled > Some(0.0));
    let onset = first.map(|(window, device)| Onset {
        at_s: window.from_s,
        within_s: window.seconds,
        celsius: device.celsius,
        watts: device.watts,
    });
    let clocks = || seen.iter().filter_map(|(window, device)| Some((device.mhz?, window.seconds)));
    let clock_seconds: f64 = clocks().map(|(_, seconds)| seconds).sum();
    let mean_clock = clocks().map(|(mhz, seconds)| mhz * seconds).sum::<f64>() / clock_seconds;
    let highest = clocks().map(|(mhz, _)| mhz).fold(0.0, f64::max);
    let maximum = max_mhz.unwrap_or(highest);
    Some(Throttling {
        finding: if all.of_time > MAX_THROTTLED { Finding::Found } else { Finding::NotFound },
        shares: all,
        by_reason,
        lost_while_throttled: lost_while_on,
        throughput_lost: lost,
        minimum_detectable_loss: minimum_detectable,
        onset,
        clock_of_maximum: (clock_seconds > 0.0 && maximum > 0.0).then(|| mean_clock / maximum),
    })
}

#[cfg(test)]
mod tests {
    use super::super::window::Observed;
    use super::*;
    use model::load::LoadWindow;

    /// 100 windows of 2 s: hot from the 40th on, and a quarter slower.
    fn windows(hot_from: u32) -> Vec<Window> {
        let window = |i: u32| {
            let hot = f64::from(u32::from(i >= hot_from));
            let gpu = Device {
                throttled: Some(hot),
                by_reason: if hot > 0.0 {
                    [("sw_thermal_slowdown".to_owned(), hot)].into()
                } else {
                    BTreeMap::new()
                },
                mhz: Some(1590.0 - 690.0 * hot),
                celsius: Some(60.0 + 30.0 * hot),
                watts: Some(69.0),
            };
            let observed = Observed { gpu, ..Observed::default() };
            let mut load = LoadWindow::default();
            let requests = 200 - 50 * u32::from(i >= hot_from) + i % 3;
            (0..requests).for_each(|_| load.latency.add(5_000_000));
            Window { from_s: f64::from(i) * 2.0, seconds: 2.0, load, observed }
        };
        (0..100).map(window).collect()
    }

    fn gpu_throttling(windows: &[Window], max_mhz: Option<f64>) -> Option<Throttling> {
        throttling(windows, |window| &window.observed.gpu, max_mhz)
    }

    #[test]
    fn heat_is_told_with_its_onset_its_reason_and_its_price() {
        let found = gpu_throttling(&windows(40), Some(1590.0)).unwrap();
        assert!(found.finding.is_found());
        let onset = found.onset.unwrap();
        assert_eq!((onset.at_s, onset.within_s, onset.celsius), (80.0, 2.0, Some(90.0)));
        assert!((found.by_reason["sw_thermal_slowdown"].of_time - 0.6).abs() < 1e-12);
        // 60 windows at 151 of 8000 + 9000 + what is odd.
        assert!((found.shares.of_requests - 9060.0 / 17_100.0).abs() < 0.002);
        let (low, high) = found.lost_while_throttled.interval().unwrap();
        assert!(low < 0.25 && 0.2475 < high && high - low < 0.02, "{low} {high}");
        assert!((found.clock_of_maximum.unwrap() - (0.4 + 0.6 * 900.0 / 1590.0)).abs() < 1e-9);
    }

    #[test]
    fn a_cool_device_is_not_throttled() {
        let found = gpu_throttling(&windows(1000), None).unwrap();
        assert_eq!((found.finding, &found.onset), (Finding::NotFound, &None));
        assert_eq!(found.throughput_lost.value, None);
        assert!(found.by_reason.is_empty());
    }

    #[test]
    fn what_nobody_reads_is_not_measurable() {
        let window = Window { seconds: 1.0, ..Window::default() };
        assert_eq!(gpu_throttling(&[window], None), None);
    }
}
