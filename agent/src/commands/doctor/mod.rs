//! `agent doctor`: observes this machine and prints findings.

mod reach;

use crate::doctor::{self, Clock, Computed, DriverLibrary, Finding, Folder, Observations};
use crate::options::InstrumentOptions;
use crate::visible_gpu;
use anyhow::Context;
use clap::Args;
use engine::files::Blob;
use host::{Host, Root};
use model::finding::table;
use model::telemetry::{Phase, Window};
use ops::{atomic_file, error_chain, program::Exit, terminal};
use seq2seq::device::Device;
use serde_json::json;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stopwatch::Stopwatch;
use telemetry::sampler::{Observation, PhaseStart};
use telemetry::{InstrumentSet, OpenedGpu, Sampler};

const WATCHED: Duration = Duration::from_secs(4);
const CLOCK_READINGS: u64 = 10_000;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agent doctor
  agent doctor --controller https://bench.example.com:7437 --ca ca.pem --cert agent.pem --key agent.key
  agent doctor --model google/flan-t5-base --device cuda:0
  agent doctor --json | jq '.findings[] | select(.status == \"trouble\")'

Exit codes: 0 ok · 1 a request on the command line is impossible · 2 wrong input")]
pub struct Options {
    /// Controller to try to reach, without joining
    #[arg(long, value_name = "URL")]
    controller: Option<String>,
    /// CA that signed the controller's certificate, for https://
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// This agent's certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Model to look up; nothing is downloaded
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Adapter to look up; nothing is downloaded
    #[arg(long, value_name = "ADAPTER")]
    adapter: Option<String>,
    /// Tokenizer to look up; nothing is downloaded
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<String>,
    /// Inference threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Sampling period of the instruments in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 250)]
    period_ms: u64,
    /// Device to check in addition to the CPU, such as cuda:0 [default: cuda:0 if there is a GPU]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    #[command(flatten)]
    instruments: InstrumentOptions,
    /// Print one JSON object, and nothing else on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> anyhow::Result<Exit> {
    let nvml_library = options.instruments.nvml_library.as_deref();
    let has_gpu = telemetry::gpus(nvml_library).is_ok_and(|gpus| !gpus.is_empty());
    let first_gpu = if has_gpu { "cuda:0" } else { "cpu" };
    let device = options.device.clone().unwrap_or_else(|| first_gpu.to_owned());
    // What is wrong with the name is a finding.
    let is_visible = match visible_gpu::make_visible(&device, nvml_library) {
        Err(error @ visible_gpu::Error::Restart { .. }) => return Err(error.into()),
        outcome => outcome,
    };
    // Opening it would end its idle state, which is observed first.
    let gpu = Device::uuid_of(&device).ok().flatten();
    let gpu = gpu.map(|uuid| OpenedGpu { device: device.clone(), uuid });
    let panel = InstrumentSet::find(options.instruments.sources(gpu));
    let instruments = panel.instruments.clone();
    let period = Duration::from_millis(options.period_ms);
    if !options.json {
        terminal::note(&format!("observing this machine for {} s", WATCHED.as_secs()));
    }
    let windows = watch(panel, &device, period)?;
    let observations = Observations {
        host: Host::read(),
        threads: super::threads(options.threads),
        instruments,
        windows,
        period,
        clock: clock(),
        folders: folders(),
        controller: options.controller.as_deref().map(|url| reach::controller(url, options)),
        certificates: reach::certificates(options),
        now_s: ops::clock::Clock::System.now().timestamp(),
        sources: reach::sources(options),
        computed: computed(options.device.as_deref(), has_gpu, is_visible),
    };
    let findings = doctor::findings(&observations);
    if options.json {
        terminal::json(&json(&observations, &findings))?;
    } else {
        terminal::result(&table(&findings))?;
    }
    Ok(if doctor::is_request_impossible(&observations) { Exit::Failed } else { Exit::Ok })
}

fn watch(panel: InstrumentSet, device: &str, period: Duration) -> anyhow::Result<Vec<Window>> {
    let (sampler, mut sampled) = Sampler::start(panel).context("failed to start a thread")?;
    sampler.set_period(period);
    let clock = Stopwatch::start();
    sampler.start_phase(PhaseStart {
        phase: Phase::Idle,
        of: None,
        device: device.to_owned(),
        clock,
        server: None,
    });
    sampler.wait(WATCHED);
    sampler.pause();
    let windows = sampled.take().into_iter().filter_map(|observed| match observed {
        Observation::Window(window) => Some(*window),
        Observation::Absent(_) => None,
    });
    Ok(windows.collect())
}

fn clock() -> Clock {
    let stopwatch = Stopwatch::start();
    for _ in 1..CLOCK_READINGS {
        std::hint::black_box(stopwatch.now_ns());
    }
    Clock {
        source: Root::default()
            .text("sys/devices/system/clocksource/clocksource0/current_clocksource"),
        reading_ns: stopwatch.now_ns() as f64 / CLOCK_READINGS as f64,
    }
}

fn computed(
    named: Option<&str>,
    has_gpu: bool,
    is_visible: Result<(), visible_gpu::Error>,
) -> Option<Computed> {
    let device = match named {
        Some("cpu") => return None,
        Some(named) => named,
        None if has_gpu => "cuda:0",
        None => return None,
    };
    let outcome = is_visible.map_err(|error| error_chain::one_line(&error)).and_then(|()| {
        let outcome = Device::open(device).and_then(|device| device.self_test());
        outcome.map_err(|error| error_chain::one_line(&error))
    });
    let library = Device::driver_library().map(|path| {
        let file = Blob::open(&path).map_err(|error| error.to_string());
        let sha256 =
            file.and_then(|file| file.sha256().map_err(|error| error_chain::one_line(&error)));
        DriverLibrary { path, sha256 }
    });
    Some(Computed { device: device.to_owned(), is_wanted: named.is_some(), outcome, library })
}

fn folders() -> Vec<Folder> {
    let folder = |path: PathBuf, purpose| Folder { free_bytes: free_bytes(&path), path, purpose };
    let here = std::env::current_dir().map(|path| folder(path, "working directory"));
    here.into_iter().chain([folder(std::env::temp_dir(), "temporary files")]).collect()
}

/// Free space for this user, after a test write.
fn free_bytes(path: &Path) -> Result<u64, String> {
    atomic_file::check_folder(path).map_err(|error| error.to_string())?;
    let room = rustix::fs::statvfs(path).map_err(|error| error.to_string())?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

fn json(observations: &Observations, findings: &[Finding]) -> String {
    let read =
        |window: &Window| window.readings.present().map(|(metric, _)| metric).collect::<Vec<_>>();
    let mut measurable: Vec<&str> =
        observations.windows.iter().flat_map(read).map(model::telemetry::Metric::as_str).collect();
    measurable.sort_unstable();
    measurable.dedup();
    let computed = observations.computed.as_ref();
    let library = computed.and_then(|computed| computed.library.as_ref());
    let library = library
        .map(|library| json!({"path": library.path, "sha256": library.sha256.as_ref().ok()}));
    json!({
        "host": observations.host.facts.name,
        "threads": observations.threads,
        "findings": findings,
        "measurable": measurable,
        "instruments": observations.instruments,
        "libcuda": library,
        "gpu_throttle_reasons": doctor::throttle_reasons(observations).map(|reasons| {
            reasons.reasons().map(|reason| reason.name).collect::<Vec<_>>()
        }),
    })
    .to_string()
}
