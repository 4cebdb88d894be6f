//! Processes that leak and processes that don't, with sawtooth allocators, filling caches and
//! autocorrelated noise. Megabytes are 2^20 bytes.

use super::super::{Share, in_parallel, random};
use super::Noise;
use rand::{Rng, RngExt};
use stats::stress::Finding;
use stats::stress::leak::{Held, Leak, MATTERS_PER_HOUR, MB, leak};
use stats::stress::robust::median;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Process {
    pub(crate) name: &'static str,
    /// Length of the run.
    pub(crate) seconds: f64,
    /// Length of a window, of whose four readings the minimum is kept.
    pub(crate) window_s: f64,
    /// Memory without teeth, caches and leak.
    pub(crate) level_mb: f64,
    /// Standard deviation.
    pub(crate) noise_mb: f64,
    /// Correlation of the noise of neighboring windows.
    pub(crate) autocorrelation: f64,
    /// Maximum height of teeth; each has between half of it and all of it.
    pub(crate) tooth_mb: f64,
    /// The shortest and the longest tooth.
    pub(crate) tooth_s: (f64, f64),
    /// Size of the full caches.
    pub(crate) cache_mb: f64,
    /// Time constant of filling them.
    pub(crate) cache_s: f64,
    /// Readings are rounded down to multiples of this; zero: not rounded.
    pub(crate) step_mb: f64,
    /// The inserted leak.
    pub(crate) leak_mb_per_hour: f64,
}

const CONSTANT: Process = Process {
    name: "constant",
    seconds: 300.0,
    window_s: 1.0,
    level_mb: 150.0,
    noise_mb: 0.05,
    autocorrelation: 0.5,
    tooth_mb: 0.0,
    tooth_s: (1.0, 1.0),
    cache_mb: 0.0,
    cache_s: 1.0,
    step_mb: 0.0,
    leak_mb_per_hour: MATTERS_PER_HOUR * 150.0,
};

/// 24 hours with teeth of 5 to 15 minutes, and a total leak of 12 MiB.
const DAY: Process = Process {
    name: "sawtooth",
    seconds: 86_400.0,
    window_s: 60.0,
    level_mb: 400.0,
    noise_mb: 1.0,
    autocorrelation: 0.5,
    tooth_mb: 120.0,
    tooth_s: (300.0, 900.0),
    leak_mb_per_hour: 0.5,
    ..CONSTANT
};

/// The processes of the table.
pub(crate) const PROCESSES: [Process; 8] = [
    CONSTANT,
    Process {
        name: "sawtooth",
        noise_mb: 0.2,
        tooth_mb: 20.0,
        tooth_s: (3.0, 8.0),
        leak_mb_per_hour: 15.0,
        ..CONSTANT
    },
    Process {
        name: "sawtooth",
        seconds: 3600.0,
        window_s: 5.0,
        noise_mb: 1.0,
        tooth_mb: 60.0,
        tooth_s: (20.0, 60.0),
        leak_mb_per_hour: 5.0,
        ..CONSTANT
    },
    DAY,
    Process { name: "sawtooth, persistent noise", autocorrelation: 0.95, ..DAY },
    Process { name: "sawtooth, caches that fill", cache_mb: 60.0, cache_s: 2400.0, ..DAY },
    Process { name: "noise only", tooth_mb: 0.0, noise_mb: 2.0, autocorrelation: 0.8, ..DAY },
    Process {
        name: "steps of 2 MiB, as on a GPU",
        seconds: 3600.0,
        window_s: 12.0,
        level_mb: 2000.0,
        step_mb: 2.0,
        leak_mb_per_hour: 12.0,
        ..CONSTANT
    },
];

/// How often the verdict on one process is right.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MemoryRow {
    pub(crate) name: String,
    pub(crate) hours: f64,
    pub(crate) tooth_mb: f64,
    pub(crate) noise_mb: f64,
    /// How often the healthy process is reported as leaking.
    pub(crate) false_alarms: Share,
    /// How often the verdict on the healthy process is inconclusive.
    pub(crate) inconclusive: Share,
    /// The inserted leak.
    pub(crate) leak_mb_per_hour: f64,
    /// How often it is found.
    pub(crate) found: Share,
    /// How often its interval contains it.
    pub(crate) covered: Share,
    /// Median of the reported minimum detectable leaks.
    pub(crate) minimum_detectable_mb_per_hour: f64,
    /// How often a leak of the minimum reported for a run is found in it.
    pub(crate) found_at_minimum: Share,
    /// How often it is found in another run of the same process.
    pub(crate) found_in_another: Share,
}

pub(crate) fn rows(trials: u32, seed: u64) -> Vec<MemoryRow> {
    in_parallel(PROCESSES.into_iter().zip(0..), |(process, row)| fill(&process, row, trials, seed))
}

fn fill(process: &Process, row: u64, trials: u32, seed: u64) -> MemoryRow {
    let (mut false_alarms, mut inconclusive, mut found, mut covered) =
        <(Share, Share, Share, Share)>::default();
    let (mut found_at_minimum, mut found_in_another) = <(Share, Share)>::default();
    let judge = |per_hour: f64, trial: u32| -> Leak {
        let mut rng = random(seed, 6, row, trial);
        leak(&process.readings(per_hour, &mut rng), process.step_mb, None, u64::from(trial))
    };
    let mut minima = Vec::new();
    for trial in 0..trials {
        let healthy = judge(0.0, trial);
        false_alarms.count(Some(healthy.finding.is_found()));
        inconclusive.count(Some(matches!(healthy.finding, Finding::Inconclusive { .. })));
        // The same run, and one with other noise, each with a leak of the minimum reported for it.
        if let Some(minimum) = healthy.minimum_detectable_mb_per_hour {
            minima.push(minimum);
            found_at_minimum.count(Some(judge(minimum, trial).finding.is_found()));
            found_in_another.count(Some(judge(minimum, trials + trial).finding.is_found()));
        }
        let truth = process.leak_mb_per_hour;
        let leaking = judge(truth, trial);
        found.count(Some(leaking.finding.is_found()));
        covered
            .count(leaking.mb_per_hour.interval().map(|(low, high)| low <= truth && truth <= high));
    }
    let minimum = median(&mut minima).unwrap_or_default();
    MemoryRow {
        name: process.name.to_owned(),
        hours: process.seconds / 3600.0,
        tooth_mb: process.tooth_mb,
        noise_mb: process.noise_mb,
        false_alarms,
        inconclusive,
        leak_mb_per_hour: process.leak_mb_per_hour,
        found,
        covered,
        minimum_detectable_mb_per_hour: minimum,
        found_at_minimum,
        found_in_another,
    }
}

impl Process {
    /// Readings of the process while it leaks `per_hour`.
    fn readings(&self, per_hour: f64, rng: &mut impl Rng) -> Vec<Held> {
        let mut noise = Noise::start(self.autocorrelation, rng);
        let mut tooth = self.tooth(0.0, rng);
        let mut held = Vec::new();
        let mut at_s = 0.0;
        while at_s + self.window_s <= self.seconds {
            let mut least = f64::INFINITY;
            for _ in 0..4 {
                at_s += self.window_s / 4.0;
                while at_s >= tooth.until_s {
                    tooth = self.tooth(tooth.until_s, rng);
                }
                least = least.min(tooth.height(at_s));
            }
            let cache = self.cache_mb * (1.0 - (-at_s / self.cache_s).exp());
            let leaked = per_hour * at_s / 3600.0;
            let mb = self.level_mb + cache + leaked + least + self.noise_mb * noise.next(rng);
            let mb =
                if self.step_mb > 0.0 { (mb / self.step_mb).floor() * self.step_mb } else { mb };
            let requests = requests(at_s);
            held.push(Held { at_s, requests, bytes: mb * MB });
        }
        held
    }

    fn tooth(&self, from_s: f64, rng: &mut impl Rng) -> Tooth {
        let (shortest, longest) = self.tooth_s;
        let length = shortest + (longest - shortest) * rng.random::<f64>();
        let top_mb = self.tooth_mb * rng.random::<f64>().mul_add(0.5, 0.5);
        Tooth { from_s, until_s: from_s + length, top_mb }
    }
}

/// Memory that grows linearly and is freed at once.
struct Tooth {
    from_s: f64,
    until_s: f64,
    top_mb: f64,
}

impl Tooth {
    fn height(&self, at_s: f64) -> f64 {
        self.top_mb * (at_s - self.from_s) / (self.until_s - self.from_s)
    }
}

/// 20 requests per second.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds are positive")]
fn requests(at_s: f64) -> u64 {
    (at_s * 20.0) as u64
}
