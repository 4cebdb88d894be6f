//! Windows of a sustained load, with what was observed in them, in bounded memory.

use model::load::LoadWindow;
use std::collections::BTreeMap;

/// Beyond this many windows, an even number, adjacent ones are merged: a long run takes no more memory.
pub const MOST: usize = 1200;

/// What was observed beside the requests. What is null was not measurable.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The least resident memory of the agent.
    pub rss_bytes: Option<f64>,
    /// The least proportional set size.
    pub pss_bytes: Option<f64>,
    pub gpu_bytes: Option<f64>,
    pub gpu: Device,
    pub cpu: Device,
    /// The share of the host's processor time that other processes took.
    pub other_load: Option<f64>,
    pub steal: Option<f64>,
    /// The share that the cgroup's limit withheld.
    pub withheld: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Device {
    /// The share of the time in which something held its clocks down.
    pub throttled: Option<f64>,
    pub by_reason: BTreeMap<String, f64>,
    pub mhz: Option<f64>,
    pub celsius: Option<f64>,
    pub watts: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    /// When it began, in seconds of measured time since the run began.
    pub from_s: f64,
    pub seconds: f64,
    pub load: LoadWindow,
    pub observed: Observed,
}

/// The windows of one run, in order of time.
#[derive(Debug, Clone, Default)]
pub struct Windows {
    in_order: Vec<Window>,
    /// How many windows as they came are joined in each.
    joined: usize,
    /// How many are joined in the last one so far.
    in_last: usize,
    came: u64,
    seconds: f64,
}

impl Windows {
    /// Takes the next window in. One without length holds no rate: a batch of the one before lasted over it.
    pub fn push(&mut self, load: LoadWindow, observed: Observed) {
        self.came += 1;
        let seconds = load.span_ns() as f64 / 1e9;
        if seconds <= 0.0 {
            return;
        }
        let window = Window { from_s: self.seconds, seconds, load, observed };
        self.seconds += seconds;
        match self.in_order.last_mut() {
            Some(last) if self.in_last < self.joined => {
                last.join(&window);
                self.in_last += 1;
            }
            _ => {
                self.in_order.push(window);
                self.in_last = 1;
                self.joined = self.joined.max(1);
            }
        }
        if self.in_order.len() > MOST && self.in_last == self.joined {
            self.halve();
        }
    }

    fn halve(&mut self) {
        let mut halved: Vec<Window> = Vec::with_capacity(MOST);
        for (index, window) in std::mem::take(&mut self.in_order).into_iter().enumerate() {
            match halved.last_mut().filter(|_| index % 2 == 1) {
                Some(last) => last.join(&window),
                None => halved.push(window),
            }
        }
        // With an odd number of full windows the last one has no partner yet.
        self.in_last = self.joined;
        self.joined *= 2;
        self.in_order = halved;
    }

    pub fn as_slice(&self) -> &[Window] {
        &self.in_order
    }

    /// How many windows came, those without length included.
    pub fn came(&self) -> u64 {
        self.came
    }

    pub fn seconds(&self) -> f64 {
        self.seconds
    }
}

impl Window {
    pub fn until_s(&self) -> f64 {
        self.from_s + self.seconds
    }

    pub fn at_s(&self) -> f64 {
        self.from_s + self.seconds / 2.0
    }

    /// Requests with a summary, per second.
    pub fn throughput(&self) -> f64 {
        self.load.ok() as f64 / self.seconds
    }

    /// Neighbors as one; `None` of none.
    pub fn joined(windows: &[Self]) -> Option<Self> {
        let (first, rest) = windows.split_first()?;
        let mut all = first.clone();
        rest.iter().for_each(|window| all.join(window));
        Some(all)
    }

    fn join(&mut self, next: &Self) {
        let weights = (self.seconds, next.seconds);
        self.observed.join(&next.observed, weights);
        self.seconds += next.seconds;
        let load = &mut self.load;
        load.end_ns = next.load.end_ns;
        load.merge(&next.load);
    }
}

impl Observed {
    pub fn join(&mut self, next: &Self, weights: (f64, f64)) {
        self.rss_bytes = either(self.rss_bytes, next.rss_bytes, f64::min);
        self.pss_bytes = either(self.pss_bytes, next.pss_bytes, f64::min);
        self.gpu_bytes = either(self.gpu_bytes, next.gpu_bytes, f64::min);
        self.gpu.join(&next.gpu, weights);
        self.cpu.join(&next.cpu, weights);
        self.other_load = average(self.other_load, next.other_load, weights);
        self.steal = average(self.steal, next.steal, weights);
        self.withheld = average(self.withheld, next.withheld, weights);
    }
}

impl Device {
    fn join(&mut self, next: &Self, weights: (f64, f64)) {
        self.throttled = average(self.throttled, next.throttled, weights);
        for share in self.by_reason.values_mut() {
            *share *= weights.0 / (weights.0 + weights.1);
        }
        for (reason, share) in &next.by_reason {
            let added = share * weights.1 / (weights.0 + weights.1);
            *self.by_reason.entry(reason.clone()).or_default() += added;
        }
        self.mhz = average(self.mhz, next.mhz, weights);
        self.watts = average(self.watts, next.watts, weights);
        self.celsius = either(self.celsius, next.celsius, f64::max);
    }
}

/// The one that is there, or what both make.
fn either(a: Option<f64>, b: Option<f64>, both: impl Fn(f64, f64) -> f64) -> Option<f64> {
    a.zip(b).map(|(a, b)| both(a, b)).or(a).or(b)
}

fn average(a: Option<f64>, b: Option<f64>, (of_a, of_b): (f64, f64)) -> Option<f64> {
    either(a, b, |a, b| (a * of_a + b * of_b) / (of_a + of_b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(index: u64) -> LoadWindow {
        let mut window = LoadWindow {
            start_ns: index * 1_000_000_000,
            end_ns: (index + 1) * 1_000_000_000,
            failed: 1,
            ..LoadWindow::default()
        };
        window.latency.add(5_000_000 + index);
        window
    }

    fn observed(share: f64) -> Observed {
        let gpu = Device {
            throttled: Some(share),
            by_reason: [("heat".to_owned(), share)].into(),
            ..Device::default()
        };
        Observed { rss_bytes: Some(100.0 - share), gpu, ..Observed::default() }
    }

    #[test]
    fn a_long_run_is_joined_and_nothing_is_lost() {
        let mut windows = Windows::default();
        for index in 0..10_001 {
            windows.push(window(index), observed(f64::from(u32::from(index >= 5000))));
        }
        let all = windows.as_slice();
        assert!(all.len() <= MOST + 1 && all.len() > MOST / 2);
        assert_eq!(all.iter().map(|one| one.load.failed).sum::<u64>(), 10_001);
        assert_eq!(all.iter().map(|one| one.load.ok()).sum::<u64>(), 10_001);
        assert!((windows.seconds() - 10_001.0).abs() < 1e-6);
        let ends = all.windows(2).all(|pair| (pair[0].until_s() - pair[1].from_s).abs() < 1e-6);
        assert!(ends, "windows follow each other without a gap");
        let throttled: f64 =
            all.iter().map(|one| one.seconds * one.observed.gpu.by_reason["heat"]).sum();
        assert!((throttled - 5001.0).abs() < 1e-6);
        assert_eq!(all[0].observed.rss_bytes, Some(100.0));
    }

    #[test]
    fn windows_of_a_joined_run_are_equally_long_but_for_the_last() {
        let mut windows = Windows::default();
        (0..5000).for_each(|index| windows.push(window(index), Observed::default()));
        let all = windows.as_slice();
        let length = all[0].seconds;
        assert!(all[..all.len() - 1].iter().all(|one| (one.seconds - length).abs() < 1e-9));
    }

    #[test]
    fn a_window_without_length_came_and_holds_nothing() {
        let mut windows = Windows::default();
        windows.push(LoadWindow::default(), Observed::default());
        assert_eq!((windows.came(), windows.as_slice().len()), (1, 0));
    }
}
