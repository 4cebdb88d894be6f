//! Processes that leak and processes that don't: sawtooth allocators, caches that fill, noise that remembers.

use super::super::{Share, chance, side_by_side};
use super::Noise;
use rand::{Rng, RngExt};
use stats::stress::Finding;
use stats::stress::leak::{Held, Leak, MATTERS_PER_HOUR, MB, leak};
use stats::stress::robust::median;

/// A process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Process {
    /// What it is called.
    pub(crate) name: &'static str,
    /// For how long it is watched, in seconds.
    pub(crate) seconds: f64,
    /// How long a window is, in seconds; the least of four readings is kept.
    pub(crate) window_s: f64,
    /// What it holds when nothing is wrong.
    pub(crate) level_mb: f64,
    /// The standard deviation of the noise.
    pub(crate) noise_mb: f64,
    /// The correlation of the noise from window to window.
    pub(crate) autocorrelation: f64,
    /// How high teeth are at most; each is from half of it to all of it.
    pub(crate) tooth_mb: f64,
    /// The shortest and the longest tooth, in seconds.
    pub(crate) tooth_s: (f64, f64),
    /// What its caches hold when they are full.
    pub(crate) cache_mb: f64,
    /// The time in which they fill but for a third, in seconds.
    pub(crate) cache_s: f64,
    /// What is held is told in whole steps of so much; zero: exactly.
    pub(crate) step_mb: f64,
    /// The leak that is put in, in MB per hour.
    pub(crate) leak_mb_per_hour: f64,
}

const STILL: Process = Process {
    name: "still",
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

/// 24 hours with teeth of 5 to 15 minutes, and a leak of 12 MB in all.
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
    ..STILL
};

/// The processes of the table.
pub(crate) const PROCESSES: [Process; 8] = [
    STILL,
    Process {
        name: "sawtooth",
        noise_mb: 0.2,
        tooth_mb: 20.0,
        tooth_s: (3.0, 8.0),
        leak_mb_per_hour: 15.0,
        ..STILL
    },
    Process {
        name: "sawtooth",
        seconds: 3600.0,
        window_s: 5.0,
        noise_mb: 1.0,
        tooth_mb: 60.0,
        tooth_s: (20.0, 60.0),
        leak_mb_per_hour: 5.0,
        ..STILL
    },
    DAY,
    Process { name: "sawtooth, noise that lasts", autocorrelation: 0.95, ..DAY },
    Process { name: "sawtooth, caches that fill", cache_mb: 60.0, cache_s: 2400.0, ..DAY },
    Process { name: "noise alone", tooth_mb: 0.0, noise_mb: 2.0, autocorrelation: 0.8, ..DAY },
    Process {
        name: "in steps of 2 MB, as on a GPU",
        seconds: 3600.0,
        window_s: 12.0,
        level_mb: 2000.0,
        step_mb: 2.0,
        leak_mb_per_hour: 12.0,
        ..STILL
    },
];

/// How often the verdict on one process is right.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MemoryRow {
    /// The process.
    pub(crate) name: String,
    /// For how long it was watched, in hours.
    pub(crate) hours: f64,
    /// Teeth at most, and noise, in MB.
    pub(crate) tooth_mb: f64,
    /// The standard deviation of the noise, in MB.
    pub(crate) noise_mb: f64,
    /// How often the healthy process is said to leak.
    pub(crate) false_alarms: Share,
    /// How often the healthy process is left open.
    pub(crate) left_open: Share,
    /// The leak that was put in, in MB per hour.
    pub(crate) leak_mb_per_hour: f64,
    /// How often it is found.
    pub(crate) found: Share,
    /// How often its interval holds it.
    pub(crate) held: Share,
    /// The median of the minimum detectable leaks that were printed, in MB per hour.
    pub(crate) minimum_detectable_mb_per_hour: f64,
    /// How often a leak of the size that was printed for a run is found in it.
    pub(crate) found_at_minimum: Share,
    /// How often it is found in another run of the same process.
    pub(crate) found_in_another: Share,
}

/// Fills the table.
pub(crate) fn rows(trials: u32, seed: u64) -> Vec<MemoryRow> {
    side_by_side(PROCESSES.into_iter().zip(0..), |(process, row)| fill(&process, row, trials, seed))
}

fn fill(process: &Process, row: u64, trials: u32, seed: u64) -> MemoryRow {
    let (mut false_alarms, mut left_open, mut found, mut held) =
        <(Share, Share, Share, Share)>::default();
    let (mut found_at_minimum, mut found_in_another) = <(Share, Share)>::default();
    let judge = |per_hour: f64, trial: u32| -> Leak {
        let mut rng = chance(seed, 6, row, trial);
        leak(&process.watch(per_hour, &mut rng), process.step_mb, None, u64::from(trial))
    };
    let mut minima = Vec::new();
    for trial in 0..trials {
        let healthy = judge(0.0, trial);
        false_alarms.count(Some(healthy.finding.is_found()));
        left_open.count(Some(matches!(healthy.finding, Finding::Inconclusive { .. })));
        // The same run again, and one with other noise, with a leak of the size that was printed for it.
        if let Some(minimum) = healthy.minimum_detectable_mb_per_hour {
            minima.push(minimum);
            found_at_minimum.count(Some(judge(minimum, trial).finding.is_found()));
            found_in_another.count(Some(judge(minimum, trials + trial).finding.is_found()));
        }
        let truth = process.leak_mb_per_hour;
        let leaking = judge(truth, trial);
        found.count(Some(leaking.finding.is_found()));
        held.count(leaking.mb_per_hour.interval().map(|(low, high)| low <= truth && truth <= high));
    }
    let minimum = median(&mut minima).unwrap_or_default();
    MemoryRow {
        name: process.name.to_owned(),
        hours: process.seconds / 3600.0,
        tooth_mb: process.tooth_mb,
        noise_mb: process.noise_mb,
        false_alarms,
        left_open,
        leak_mb_per_hour: process.leak_mb_per_hour,
        found,
        held,
        minimum_detectable_mb_per_hour: minimum,
        found_at_minimum,
        found_in_another,
    }
}

impl Process {
    /// Watches it while it leaks `per_hour` MB.
    fn watch(&self, per_hour: f64, rng: &mut impl Rng) -> Vec<Held> {
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

/// What is allocated until it is given back at once.
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

/// Twenty a second.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds, above zero")]
fn requests(at_s: f64) -> u64 {
    (at_s * 20.0) as u64
}
