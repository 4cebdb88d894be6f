//! All instruments of this machine, read together.

use super::clocks::Clocks;
use super::energy::Rapl;
use super::nvml::{self, Library, Visible, Watched};
use super::process::Process;
use super::processors::Processors;
use crate::counter::Counter;
use host::{Cgroup, Root};
use model::telemetry::{Absence, Instruments, Metric, Readings};
use std::path::PathBuf;
use stopwatch::{Stopwatch, processor_ns};

/// How often what takes longer to read is read.
const SLOW_PERIOD_NS: u64 = 2_000_000_000;

/// Why the instruments are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The agent goes from one phase to the next, and waits for the reading.
    Mark,
    /// A period is over.
    Tick,
}

/// Where to look for instruments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Where /proc and /sys are.
    pub root: Root,
    /// The library that reads GPUs; null: the system's own.
    pub nvml_library: Option<PathBuf>,
    /// What the environment says of GPUs.
    pub visible: Visible,
}

/// All instruments of this machine.
#[derive(Debug)]
pub struct Panel {
    places: Places,
    process: Process,
    processors: Processors,
    clocks: Clocks,
    cgroup: Option<Cgroup>,
    throttled: Throttled,
    rapl: Option<Rapl>,
    library: Option<Library>,
    /// The device that infers, and its GPU if it is one that can be read.
    aimed: Option<(String, Option<Watched>)>,
    /// Found while aiming, and not handed on yet.
    absences: Vec<Absence>,
    sampler_cpu: Counter,
    next_slow_ns: u64,
    instruments: Instruments,
}

impl Panel {
    /// Finds them, and what is missing.
    pub fn find(places: Places) -> Self {
        let root = &places.root;
        let mut absences = Vec::new();
        let library = Library::open(places.nvml_library.as_deref());
        let library = library.map_err(|absence| absences.push(absence)).ok();
        let gpus = library.as_ref().map(nvml::gpus).unwrap_or_default();
        if library.is_some() && gpus.is_empty() {
            absences.push(Absence {
                what: "gpu".to_owned(),
                reason: "the NVIDIA driver shows no GPU".to_owned(),
                remedy: Some(
                    "in a container start it with its GPUs (docker run --gpus all)".to_owned(),
                ),
            });
        }
        if let Some(library) = library.as_ref().filter(|_| !gpus.is_empty()) {
            absences.extend(nvml::missing(library));
        }
        let (clocks, of_clocks) = Clocks::find(root);
        absences.extend(of_clocks);
        let rapl = Rapl::find(root).map_err(|absence| absences.push(absence)).ok();
        let cgroup = Cgroup::find(root);
        if cgroup.is_none() {
            absences.push(Absence {
                what: "cgroup".to_owned(),
                reason: "this process is in no control group that can be seen".to_owned(),
                remedy: None,
            });
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
            aimed: None,
            absences: Vec::new(),
            sampler_cpu: Counter::default(),
            next_slow_ns: 0,
            instruments: Instruments { gpus, nvml, absences },
            places,
        }
    }

    /// What can be observed here, and what can't.
    pub fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    /// Whether the energy of an agent that infers on `device` can be read, so that its idle power is worth measuring.
    pub fn has_energy(&self, device: &str) -> bool {
        self.rapl.is_some() || (is_gpu(device) && !self.instruments.gpus.is_empty())
    }

    /// Looks at the device that infers: `cpu`, `cuda:0`. A GPU that nobody uses is not read.
    pub fn aim(&mut self, device: &str) {
        if self.aimed.as_ref().is_some_and(|(aimed, _)| aimed == device) {
            return;
        }
        let watched = self.library.as_ref().filter(|_| is_gpu(device)).and_then(|library| {
            let gpus = &self.instruments.gpus;
            let watched = nvml::watch(library, device, &self.places.visible, gpus);
            watched.map_err(|absence| self.absences.push(absence)).ok()
        });
        self.aimed = Some((device.to_owned(), watched));
    }

    /// What stopped being measurable since this was last asked.
    pub fn take_absences(&mut self) -> Vec<Absence> {
        let mut absences = std::mem::take(&mut self.absences);
        if let Some((_, Some(watched))) = &mut self.aimed {
            absences.extend(watched.take_absences());
        }
        // What was known at the start was told then.
        let known = &self.instruments.absences;
        absences.retain(|absence| known.iter().all(|known| known.what != absence.what));
        absences
    }

    /// Reads them. Amounts are those since the last reading.
    pub fn read(&mut self, clock: &Stopwatch, occasion: Occasion) -> Readings {
        let mut readings = Readings::default();
        let now = clock.now_ns();
        let is_slow_due = now >= self.next_slow_ns;
        // Energy first: the other readings take time in which it goes on.
        if let Some(rapl) = &mut self.rapl {
            rapl.read(&mut readings);
        }
        if let Some((_, Some(gpu))) = &mut self.aimed {
            gpu.read(&mut readings, occasion, is_slow_due);
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

/// CPU time denied by the control group.
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
