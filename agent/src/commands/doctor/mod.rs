//! `agent doctor`: looks at this machine, and prints what can and can't be measured on it.

mod reach;

use crate::cli::InstrumentOptions;
use crate::doctor::{self, Clock, Computed, Finding, Folder, Seen};
use anyhow::Context;
use clap::Args;
use host::{Host, Root};
use model::finding::table;
use model::telemetry::{Phase, Window};
use ops::program::Exit;
use ops::{error_chain, terminal};
use serde_json::json;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stopwatch::Stopwatch;
use t5::device::Device;
use telemetry::sampler::{Mark, Observed};
use telemetry::{Panel, Sampler};

/// How long the machine is watched.
const WATCHED: Duration = Duration::from_secs(4);
/// Readings of the clock whose time is averaged.
const CLOCK_READINGS: u64 = 10_000;

/// What `agent doctor` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agent doctor
  agent doctor --controller https://bench.example.com:7437 --ca ca.pem --cert agent.pem --key agent.key
  agent doctor --model google/flan-t5-base --device cuda:0
  agent doctor --json | jq '.findings[] | select(.status == \"trouble\")'

Exit codes: 0 ok · 1 something that was asked for is impossible · 2 wrong input")]
pub struct Options {
    /// A controller whose way is tried, as far as whoever hasn't joined may go
    #[arg(long, value_name = "URL")]
    controller: Option<String>,
    /// The authority that signed its certificate, for https://
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// This agent's certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// A model whose place is looked at; nothing is fetched
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// An adapter, likewise
    #[arg(long, value_name = "ADAPTER")]
    adapter: Option<String>,
    /// A tokenizer, likewise
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<String>,
    /// How many threads would compute; all cores by default
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// How often the instruments are read, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 250)]
    period_ms: u64,
    /// A device to look at beside the processor, such as cuda:0 [default: the first GPU that is found]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    #[command(flatten)]
    instruments: InstrumentOptions,
    /// Print one JSON object, and nothing else on stdout
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Where stdout can't be written or the system gives no thread.
pub fn run(options: &Options) -> anyhow::Result<Exit> {
    let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let panel = Panel::find(options.instruments.places());
    let instruments = panel.instruments().clone();
    let has_gpu = !instruments.gpus.is_empty();
    let first_gpu = if instruments.gpus.is_empty() { "cpu" } else { "cuda:0" };
    let device = options.device.clone().unwrap_or_else(|| first_gpu.to_owned());
    let period = Duration::from_millis(options.period_ms);
    if !options.json {
        terminal::note(&format!("watching this machine for {} s", WATCHED.as_secs()));
    }
    let windows = watch(panel, &device, period)?;
    let seen = Seen {
        host: Host::read(),
        threads: options.threads.unwrap_or_else(all).get(),
        instruments,
        windows,
        period,
        clock: clock(),
        folders: folders(),
        controller: options.controller.as_deref().map(|url| reach::controller(url, options)),
        certificates: reach::certificates(options),
        now_s: reach::now_s(),
        sources: reach::sources(options),
        computed: computed(options.device.as_deref(), has_gpu),
    };
    let findings = doctor::findings(&seen);
    let text = if options.json { json(&seen, &findings) } else { table(&findings) };
    terminal::result(&text)?;
    Ok(if doctor::is_request_impossible(&seen) { Exit::Failed } else { Exit::Ok })
}

/// What the sampler sees while nothing of ours runs.
fn watch(panel: Panel, device: &str, period: Duration) -> anyhow::Result<Vec<Window>> {
    let (sampler, mut observations) =
        Sampler::start(panel).context("the system gives no thread")?;
    sampler.set_period(period);
    let clock = Stopwatch::start();
    sampler.mark(Mark { phase: Phase::Idle, of: None, device: device.to_owned(), clock });
    sampler.rest(WATCHED);
    sampler.pause();
    let windows = observations.take().into_iter().filter_map(|observed| match observed {
        Observed::Window(window) => Some(*window),
        Observed::Absent(_) => None,
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

/// Computes something on the GPU that is named, or on the first one.
fn computed(named: Option<&str>, has_gpu: bool) -> Option<Computed> {
    let device = match named {
        Some("cpu") => return None,
        Some(named) => named,
        None if has_gpu => "cuda:0",
        None => return None,
    };
    let outcome = Device::open(device).and_then(|device| device.prove());
    let outcome = outcome.map_err(|error| error_chain::one_line(&error));
    Some(Computed { device: device.to_owned(), is_wanted: named.is_some(), outcome })
}

fn folders() -> Vec<Folder> {
    let folder = |path: PathBuf, purpose| Folder { free_bytes: free_bytes(&path), path, purpose };
    let here = std::env::current_dir().map(|path| folder(path, "where the agent was started"));
    here.into_iter().chain([folder(std::env::temp_dir(), "temporary files")]).collect()
}

/// Room for this user, after a file could be made there.
fn free_bytes(path: &Path) -> Result<u64, String> {
    let probe = path.join(format!(".fleetmark-doctor-{}", std::process::id()));
    std::fs::write(&probe, b"x")
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|e| e.to_string())?;
    let room = rustix::fs::statvfs(path).map_err(|error| error.to_string())?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

fn json(seen: &Seen, findings: &[Finding]) -> String {
    let read =
        |window: &Window| window.readings.present().map(|(metric, _)| metric).collect::<Vec<_>>();
    let mut measurable: Vec<&str> =
        seen.windows.iter().flat_map(read).map(model::telemetry::Metric::as_str).collect();
    measurable.sort_unstable();
    measurable.dedup();
    json!({
        "host": seen.host.name,
        "threads": seen.threads,
        "findings": findings,
        "measurable": measurable,
        "instruments": seen.instruments,
    })
    .to_string()
}
