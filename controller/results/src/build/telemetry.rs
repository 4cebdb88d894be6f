//! Windows of telemetry -> the telemetry of a cell.

use super::StoredCampaign;
use model::engine::EngineFacts;
use model::telemetry::{Metric, Phase};
use records::{AgentRow, SampleRow, WindowRow};
use stats::telemetry::credits::Credits;
use stats::telemetry::energy::{CellEnergy, Stretch, energy};
use stats::telemetry::{
    self, CellTelemetry, Collector, Device, NotMeasurable, Timeline, Track, other_load_share,
    steal_share, withheld_share,
};
use stats::throughput::RunRow;
use stats::validity::Evidence;
use std::collections::{BTreeMap, BTreeSet};

/// All windows of a campaign, summed up: those of measured time by cell, run and agent, those at idle by agent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Windows {
    measured: BTreeMap<(usize, u32, usize), Collector>,
    idle: BTreeMap<usize, Collector>,
    credits: BTreeMap<(usize, usize), Credits>,
    /// By cell and agent, of the first few agents of each cell.
    tracks: BTreeMap<(usize, usize), Track>,
}

/// Over time no more hosts of a cell are shown.
const MOST_HOSTS: usize = 4;

impl Windows {
    /// Adds a window, unless it is of loading or warm-up.
    pub fn add(&mut self, window: &WindowRow) {
        let windows = match (window.phase, window.of) {
            (Phase::Measuring, Some((cell, run, segment))) => {
                let key = (cell, window.agent);
                let known = self.tracks.range((cell, 0)..(cell + 1, 0)).count();
                if known < MOST_HOSTS || self.tracks.contains_key(&key) {
                    let span = (window.start_ns, window.end_ns);
                    let track = self.tracks.entry(key).or_default();
                    track.window((run, segment), span, &window.readings);
                }
                let credits = self.credits.entry((cell, window.agent)).or_default();
                credits.add(window.seconds(), &window.readings);
                self.measured.entry((cell, run, window.agent)).or_default()
            }
            (Phase::Idle, None) => self.idle.entry(window.agent).or_default(),
            _ => return,
        };
        windows.add(window.seconds(), &window.readings);
    }

    /// Adds samples to the timelines, after all windows.
    pub fn see(&mut self, samples: &[SampleRow]) {
        for SampleRow { key: of, sample, .. } in samples.iter().filter(|row| row.is_counted) {
            let key = (of.cell as usize, of.agent as usize);
            if let Some(track) = self.tracks.get_mut(&key) {
                let segment = (of.run, of.segment.into());
                track.request(segment, sample.start_ns, sample.latency_ns);
            }
        }
    }
}

pub(super) struct Watched<'a> {
    all: Collector,
    stretches: BTreeMap<u32, Vec<Stretch>>,
    idle: &'a BTreeMap<usize, Collector>,
    credits_spent_after_s: Option<f64>,
    agents: Vec<&'a AgentRow>,
    timelines: Vec<Timeline>,
    device: Device,
}

pub(super) fn of_cell<'a>(
    read: &StoredCampaign<'a>,
    cell: usize,
    facts: Option<&EngineFacts>,
) -> Watched<'a> {
    let mut all = Collector::default();
    let mut stretches: BTreeMap<u32, Vec<Stretch>> = BTreeMap::new();
    let of_cell = (cell, 0, 0)..(cell + 1, 0, 0);
    for (&(_, run, agent), windows) in read.windows.measured.range(of_cell) {
        all.merge(windows);
        let windows = windows.clone();
        stretches.entry(run).or_default().push(Stretch { agent, windows });
    }
    let measured = read.segments.iter().filter(|segment| segment.cell == cell);
    let agents: BTreeSet<usize> = measured.map(|segment| segment.agent).collect();
    Watched {
        all,
        stretches,
        idle: &read.windows.idle,
        credits_spent_after_s: read
            .windows
            .credits
            .range((cell, 0)..(cell + 1, 0))
            .filter_map(|(_, credits)| credits.spent_after_s())
            .reduce(f64::min),
        timelines: read
            .windows
            .tracks
            .range((cell, 0)..(cell + 1, 0))
            .filter_map(|(&(_, agent), track)| {
                track.timeline(read.agents.get(agent)?.host_id.as_str())
            })
            .collect(),
        agents: agents.into_iter().filter_map(|agent| read.agents.get(agent)).collect(),
        device: match facts {
            Some(facts) if facts.is_on_gpu() => Device::Gpu,
            _ => Device::Cpu,
        },
    }
}

impl Watched<'_> {
    pub(super) fn summary(&self) -> Option<CellTelemetry> {
        let absences = self.agents.iter().flat_map(|agent| &agent.facts.instruments.absences);
        let spent = self.credits_spent_after_s;
        let absences = absences.map(NotMeasurable::from);
        let mut found = telemetry::summarize(&self.all, self.device, spent, absences)?;
        found.timelines.clone_from(&self.timelines);
        Some(found)
    }

    pub(super) fn energy(&self, runs: &[RunRow], grams_per_kwh: Option<f64>) -> CellEnergy {
        energy(runs, &self.stretches, self.idle, grams_per_kwh)
    }

    /// The largest reading of a state.
    pub(super) fn largest(&self, metric: Metric) -> Option<f64> {
        self.all.figure(metric)?.max
    }

    /// Cores that the process of an agent used in a run, of the busiest one.
    pub(super) fn busiest_cores(&self) -> Option<f64> {
        let agents = self.stretches.values().flatten();
        let used = agents.filter_map(|agent| agent.windows.figure(Metric::ProcessCpuNs));
        used.map(|cpu_ns| cpu_ns.mean / 1e9).reduce(f64::max)
    }

    pub(super) fn evidence(&self) -> Evidence {
        let libraries =
            self.agents.iter().filter_map(|agent| agent.facts.instruments.nvml.as_ref());
        let foreign = libraries.filter(|library| library.is_foreign);
        let gpus = self.agents.iter().flat_map(|agent| &agent.facts.instruments.gpus);
        let mut instances = gpus.filter(|gpu| gpu.device.is_some());
        Evidence {
            throttled_share: self.all.throttled().map(|(share, _)| share),
            heat_throttles: self.all.total(Metric::HostThermalThrottles),
            other_load_share: other_load_share(&self.all),
            steal_share: steal_share(&self.all),
            withheld_share: withheld_share(&self.all),
            gpu_errors: self.all.xids(),
            foreign_telemetry: foreign
                .map(|library| (library.path.clone(), library.sha256.clone()))
                .next(),
            gpu_of_instance: instances.find_map(|gpu| gpu.parent_uuid.clone()),
            ..Evidence::default()
        }
    }
}
