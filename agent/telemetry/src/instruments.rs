//! All instruments of this machine.

use super::clocks::Clocks;
use super::energy::Rapl;
use super::nvml::{self, GpuMonitor, Library, OpenedGpu};
use super::process::Process;
use super::processors::Processors;
use crate::{absence, counter::Counter};
use host::{Cgroup, Root};
use model::telemetry::{Absence, Instruments, Metric, Readings};
use std::path::PathBuf;
use stopwatch::{Stopwatch, processor_ns};

/// Interval of expensive readings.
const SLOW_PERIOD_NS: u64 = 2_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A change of phase, which waits for the reading.
    PhaseChange,
    /// The end of a period.
    Tick,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstrumentSources {
    pub root: Root,
    /// Default: the system's own.
    pub nvml_library: Option<PathBuf>,
    /// The GPU used for inference. `None` if it is not known, or if there is none.
    pub gpu: Option<OpenedGpu>,
}

#[derive(Debug)]
pub struct InstrumentSet {
    places: InstrumentSources,
    process: Process,
    processors: Processors,
    clocks: Clocks,
    cgroup: Option<Cgroup>,
    throttled: Throttled,
    rapl: Option<Rapl>,
    library: Option<Library>,
    /// The device used for inference, and its GPU if readable.
    selected: Option<(String, Option<GpuMonitor>)>,
    /// Not reported yet.
    absences: Vec<Absence>,
    sampler_cpu: Counter,
    next_slow_ns: u64,
    pub instruments: Instruments,
}

impl InstrumentSet {
    pub fn find(places: InstrumentSources) -> Self {
        let root = &places.root;
        let mut absences = Vec::new();
        let library = Library::open(places.nvml_library.as_deref());
        let library = library.map_err(|absence| absences.push(absence)).ok();
        let (mut gpus, is_counted) = match library.as_ref().map(nvml::gpus).transpose() {
            Ok(gpus) => {
                let is_counted = gpus.is_some();
                (gpus.unwrap_or_default(), is_counted)
            }
            Err(absence) => {
                absences.push(absence);
                (Vec::new(), false)
            }
        };
        if is_counted && gpus.is_empty() {
            let remedy = "start the container with GPUs (docker run --gpus all)";
            absences.push(absence("gpu", "the NVIDIA driver reports no GPU", Some(remedy)));
        }
        for gpu in &mut gpus {
            let opened = places.gpu.as_ref().filter(|opened| opened.uuid == gpu.uuid);
            gpu.device = opened.map(|opened| opened.device.clone());
        }
        // Without one for inference, the first stands for all.
        let watched = places.gpu.as_ref().map(|opened| &opened.uuid);
        let watched = watched.or_else(|| gpus.first().map(|gpu| &gpu.uuid));
        if let Some((library, uuid)) = library.as_ref().zip(watched) {
            absences.extend(nvml::missing(library, uuid));
        }
        let (clocks, of_clocks) = Clocks::find(root);
        absences.extend(of_clocks);
        let rapl = Rapl::find(root).map_err(|absence| absences.push(absence)).ok();
        let cgroup = Cgroup::find(root);
        if cgroup.is_none() {
            absences.push(absence("cgroup", "no visible control group", None));
        }
        let nvml = library.as_ref().map(|library| library.facts.clone());
        Self {
            process: Process::new(root),
            processors: Processors::new(root),
            clocks,
            cgroup,
            throttled: Throttled::default(),
            rapl,
            library,
            selected: None,
            absences: Vec::new(),
            sampler_cpu: Counter::default(),
            next_slow_ns: 0,
            instruments: Instruments { gpus, nvml, absences },
            places,
        }
    }

    /// Whether the energy of inference on `device` can be read, so that idle power is worth
    /// measuring.
    pub fn has_energy(&self, device: &str) -> bool {
        self.rapl.is_some() || (is_gpu(device) && !self.instruments.gpus.is_empty())
    }

    /// Selects the device used for inference, such as `cpu` or `cuda:0`. Other GPUs are not read.
    pub fn select_device(&mut self, device: &str) {
        if self.selected.as_ref().is_some_and(|(selected, _)| selected == device) {
            return;
        }
        let monitor = self.library.as_ref().filter(|_| is_gpu(device)).and_then(|library| {
            let gpus = &self.instruments.gpus;
            let monitor = nvml::watch(library, device, self.places.gpu.as_ref(), gpus);
            monitor.map_err(|absence| self.absences.push(absence)).ok()
        });
        self.selected = Some((device.to_owned(), monitor));
    }

    /// What became unmeasurable since the last call.
    pub fn take_absences(&mut self) -> Vec<Absence> {
        let mut absences = std::mem::take(&mut self.absences);
        if let Some((_, Some(monitor))) = &mut self.selected {
            absences.extend(monitor.take_absences());
        }
        // Reported at the start.
        let known = &self.instruments.absences;
        absences.retain(|absence| known.iter().all(|known| known.what != absence.what));
        absences
    }

    /// Reads all instruments. Amounts are relative to the last reading.
    pub fn read(&mut self, clock: &Stopwatch, trigger: Trigger) -> Readings {
        let mut readings = Readings::default();
        let now = clock.now_ns();
        let is_slow_due = now >= self.next_slow_ns;
        // Energy first: it accumulates during the other readings.
        if let Some(rapl) = &mut self.rapl {
            rapl.read(&mut readings);
        }
        if let Some((_, Some(gpu))) = &mut self.selected {
            gpu.read(&mut readings, trigger, is_slow_due);
        }
        self.process.read(&mut readings);
        self.processors.read(&mut readings);
        if let Some(cgroup) = &self.cgroup {
            self.throttled.read(cgroup, &mut readings);
        }
        if is_slow_due {
            self.next_slow_ns = now + SLOW_PERIOD_NS;
            self.process.read_slow(&mut readings, clock);
            self.processors.read_slow(&mut readings);
            self.clocks.read_slow(&mut readings);
        }
        readings
            .set(Metric::SamplerCpuNs, self.sampler_cpu.advance(Some(processor_ns::of_thread())));
        readings
    }
}

#[derive(Debug, Default)]
struct Throttled {
    time: Counter,
    periods: Counter,
}

impl Throttled {
    fn read(&mut self, cgroup: &Cgroup, into: &mut Readings) {
        let Some(stat) = cgroup.cpu_stat() else { return };
        into.set(Metric::CgroupThrottledNs, self.time.advance(stat.throttled_ns));
        into.set(Metric::CgroupThrottledPeriods, self.periods.advance(stat.throttled_periods));
    }
}

fn is_gpu(device: &str) -> bool {
    device.starts_with("cuda")
}
