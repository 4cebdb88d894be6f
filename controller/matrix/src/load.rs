//! The load of the scenarios `server` and `stress`.

use super::duration::{MAX_DURATION, time_of};
use super::reader::Section;
use super::trace::{self, Trace};
use model::load::Scenario;
use model::rate_profile::{RatePoint, RateProfile};
use model::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// Each window is a row in the database.
const MAX_WINDOWS: u128 = 1_000_000;

words!(
    /// The arrival process of an open loop.
    Arrivals, "arrival process", {
        /// Exponential gaps, as from many independent users.
        Poisson = "poisson",
        Constant = "constant",
        /// Gamma-distributed gaps: bursts, or arrivals that are more even than those of a Poisson process.
        Gamma = "gamma",
        /// As recorded.
        Trace = "trace",
    }
);

/// Limits on the coefficient of variation of gaps.
const GAP_CV: (f64, f64) = (0.01, 10.0);

words!(
    /// Which requests are decoded together under a load.
    #[derive(Default, JsonSchema)]
    Batching, "batching", {
        /// All waiting requests when the engine is free; later ones wait for the end of the batch.
        #[default]
        Dynamic = "dynamic",
        /// A waiting request joins the running batch as soon as it has a free row.
        Continuous = "continuous",
    }
);

/// The parameters of the scenarios with a load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Loads {
    pub server: Option<Server>,
    pub stress: Option<Stress>,
}

/// The queue of requests that arrive while the engine is busy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    #[serde(rename = "gaps")]
    pub arrivals: Arrivals,
    /// Coefficient of variation of the gaps; set for [`Arrivals::Gamma`] only.
    #[serde(default)]
    pub gap_cv: Option<f64>,
    /// How long the oldest request waits for others to be decoded with.
    pub max_batch_delay: Duration,
    /// Requests that arrive when the queue is full are dropped.
    pub max_queue: u32,
    /// Also applies in closed loop.
    #[serde(default)]
    pub batching: Batching,
    /// Of an endpoint, where nothing waits: requests that arrive while so many are in flight are
    /// dropped. The other limits don't apply to endpoints.
    #[serde(default = "max_in_flight")]
    pub max_in_flight: u32,
}

fn max_in_flight() -> u32 {
    1000
}

/// Every dialogue once, at each of these rates, or in closed loop where a search varies the concurrency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Requests per second and agent, above zero. Of a search: its candidates, ascending; none if it varies the
    /// concurrency. Of a trace: the factors, until it is recorded.
    pub request_rates: Vec<f64>,
    pub queue: Queue,
    /// How each rate changes over the run.
    #[serde(default)]
    pub rate_profile: RateProfile,
    /// Looks for the highest load that keeps the objective; null to measure all rates.
    #[serde(default)]
    pub search: Option<Search>,
    /// Set for [`Arrivals::Trace`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
}

words!(
    /// What a search varies.
    #[derive(Default, JsonSchema)]
    Varied, "load to vary", {
        /// Open loop: requests per second.
        #[default]
        RequestRate = "request_rate",
        /// Closed loop: requests in flight.
        Concurrency = "concurrency",
    }
);

impl Varied {
    /// Of a load.
    pub fn unit(self) -> &'static str {
        match self {
            Self::RequestRate => "requests/s",
            Self::Concurrency => "requests in flight",
        }
    }

    /// A capacity between the highest load that is kept and the lowest that is missed: `7.9 to 9.4 requests/s`. Of whole
    /// numbers, the missed one is shown to be too many: `8 to 11 requests in flight` if 12 are missed.
    pub fn interval(self, kept: f64, missed: f64) -> String {
        let unit = self.unit();
        match self {
            Self::Concurrency if missed - kept > 1.0 => {
                format!("{kept} to {} {unit}", missed - 1.0)
            }
            Self::Concurrency => format!("{kept} {unit}"),
            Self::RequestRate => format!("{kept} to {missed} {unit}"),
        }
    }
}

/// A search for the highest load that keeps the objective.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Search {
    #[serde(default)]
    pub vary: Varied,
    /// Requests per second, above zero, or whole numbers of requests in flight; the highest candidate is at least twice
    /// the lowest.
    pub lowest: f64,
    pub highest: f64,
    /// Width of the interval at which the search ends, as a share of the load, in (0, 1).
    pub resolution: f64,
    /// Of each candidate.
    pub max_runs: u32,
}

impl Search {
    /// An interval as wide as the resolution spans this many gaps between neighboring rates: where the capacity is within
    /// the interval can't be chosen, so its ends need candidates on both sides at some distance.
    const GAPS: f64 = 4.0;
    /// Searches climb by doubling: ten steps.
    const MOST_RATIO: f64 = 1024.0;

    fn is_closed(self) -> bool {
        self.vary == Varied::Concurrency
    }

    /// The candidates, ascending: a geometric sequence, rounded to four significant digits.
    fn rates(self) -> Vec<f64> {
        let step = (1.0 + self.resolution).powf(1.0 / Self::GAPS);
        let mut rates = vec![round(self.lowest)];
        let mut next = self.lowest * step;
        // Out of range, there are problems in place of a plan.
        while next < self.highest * step.sqrt() && rates.len() < 2000 {
            rates.push(round(next));
            next *= step;
        }
        rates
    }

    /// The candidates of a closed loop, ascending: the same sequence in whole numbers, each once. They are multiples of the
    /// agents that share the requests in flight, so that all of them end a run at about the same time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 1, and at most MOST_IN_FLIGHT"
    )]
    pub(super) fn concurrencies(self, agents: u32) -> Vec<u32> {
        let agents = f64::from(agents.max(1));
        let highest = (self.highest / agents).floor();
        let each = |load: f64| (load / agents).round().clamp(1.0, highest.max(1.0));
        let mut all: Vec<u32> =
            self.rates().into_iter().map(|load| (each(load) * agents) as u32).collect();
        all.dedup();
        all
    }
}

/// To four significant digits.
pub(super) fn round(rate: f64) -> f64 {
    format!("{rate:.3e}").parse().unwrap_or(rate)
}

/// Sustained load: the dialogues repeat until the time is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stress {
    pub duration: Duration,
    /// Length of a load window.
    pub window: Duration,
    /// Closed loop: requests in flight. Unused if `request_rate` is set.
    pub concurrency: u32,
    /// Open loop: requests per second.
    pub request_rate: Option<f64>,
    pub queue: Queue,
    /// How the rate changes over the duration.
    #[serde(default)]
    pub rate_profile: RateProfile,
    /// The smallest leak that must be detectable, in MiB per hour; null for 5% of the memory in use.
    pub max_leak_mb_per_hour: Option<f64>,
    /// Set for [`Arrivals::Trace`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
}

impl Stress {
    /// Number of load windows per run.
    pub fn windows(&self) -> u32 {
        let windows = self.duration.as_nanos().div_ceil(self.window.as_nanos().max(1));
        u32::try_from(windows).unwrap_or(u32::MAX)
    }
}

impl Loads {
    /// How the rate of an open loop changes; `None` for scenarios without a rate.
    pub fn rate_profile(&self, scenario: Scenario) -> Option<&RateProfile> {
        match scenario {
            Scenario::Offline | Scenario::SingleStream => None,
            Scenario::Server => self.server.as_ref().map(|server| &server.rate_profile),
            Scenario::Stress => self.stress.as_ref().map(|stress| &stress.rate_profile),
        }
    }
}

/// Short enough to show thermal throttling set in, long enough that days have only thousands of
/// windows.
fn default_window(duration: Duration) -> Duration {
    (duration / 300).clamp(Duration::from_secs(1), Duration::from_mins(1))
}

/// Reads `protocol.server` and `protocol.stress`.
pub(super) fn loads(
    protocol: &mut Section<'_, '_>,
    scenarios: &[Scenario],
    folder: &Path,
) -> Loads {
    let mut loads = Loads::default();
    for (scenario, key, example) in [
        (Scenario::Server, "server", "{ request_rates = [1, 2, 4], max_batch_delay_ms = 20 }"),
        (Scenario::Stress, "stress", "{ duration = \"10m\", concurrency = 1 }"),
    ] {
        let is_used = scenarios.contains(&scenario);
        let section = protocol.section(key);
        if section.is_absent() {
            if is_used {
                protocol.problem(key, format!("is missing, for example: {key} = {example}"));
            }
            continue;
        }
        if !is_used {
            let message = format!("has no effect without \"{key}\" in factors.scenarios");
            protocol.problem(key, message);
        }
        if scenario == Scenario::Server {
            loads.server = server(section, folder);
        } else {
            loads.stress = stress(section, folder);
        }
    }
    loads
}

fn server(mut section: Section<'_, '_>, folder: &Path) -> Option<Server> {
    let request_rates = section.positive_list("request_rates");
    let searching = section.section("search");
    let is_search = !searching.is_absent();
    let queue = queue(&mut section);
    let is_trace = queue.arrivals == Arrivals::Trace;
    if is_search && request_rates.is_some() {
        let message = "has no effect with request_rates: a search chooses the loads";
        section.problem("search", message);
    } else if !is_search && !is_trace {
        section.require("request_rates", "[1, 2, 4]");
    }
    let search = if is_search { search(searching) } else { None };
    let is_closed = search.is_some_and(Search::is_closed);
    for key in OPEN_LOOP_KEYS.iter().filter(|_| is_closed) {
        if section.has(key) {
            let message = "has no effect in closed loop: set search.vary = \"request_rate\"";
            section.problem(key, message);
        }
    }
    let trace = trace(&mut section, queue.arrivals, folder, Scenario::Server);
    let rate_profile = rate_profile(&mut section, None);
    if is_search && !rate_profile.is_constant() {
        let message = "can't be combined with a search, whose runs have one load each";
        section.problem("rate_profile", message);
    }
    section.finish();
    let request_rates = match &trace {
        Some(trace) => trace.factors.clone(),
        None if is_closed => Vec::new(),
        None if is_search => search?.rates(),
        None => request_rates?,
    };
    Some(Server { request_rates, queue, rate_profile, search, trace })
}

/// Keys of an arrival process and its queue.
const OPEN_LOOP_KEYS: [&str; 6] =
    ["arrivals", "gap_cv", "rate_profile", "max_batch_delay_ms", "max_queue", "max_in_flight"];

/// Limit on the requests in flight.
const MOST_IN_FLIGHT: u32 = 100_000;

fn search(mut section: Section<'_, '_>) -> Option<Search> {
    let vary = section.word("vary").unwrap_or_default();
    let (lowest, highest) = (section.positive("lowest"), section.positive("highest"));
    section.require("lowest", "1");
    section.require("highest", "64");
    let resolution = section.positive("resolution").unwrap_or(0.2);
    let max_runs = section.whole("max_runs", 1..=1000).unwrap_or(30);
    if !(0.05..1.0).contains(&resolution) {
        let message = "expected a share of the load from 0.05 to below 1, such as 0.2 for 20%";
        section.problem("resolution", message);
    }
    if let Some((lowest, highest)) = lowest.zip(highest) {
        if highest < 2.0 * lowest {
            section.problem("highest", "expected at least twice `lowest`");
        } else if highest > Search::MOST_RATIO * lowest {
            let message = format!("expected at most {} times `lowest`", Search::MOST_RATIO);
            section.problem("highest", message);
        }
    }
    for (key, load) in [("lowest", lowest), ("highest", highest)] {
        let is_number = |load: f64| load.fract() == 0.0 && load <= f64::from(MOST_IN_FLIGHT);
        if vary == Varied::Concurrency && load.is_some_and(|load| !is_number(load)) {
            let message =
                format!("expected a whole number of requests in flight, 1 to {MOST_IN_FLIGHT}");
            section.problem(key, message);
        }
    }
    section.finish();
    Some(Search { vary, lowest: lowest?, highest: highest?, resolution, max_runs })
}

fn stress(mut section: Section<'_, '_>, folder: &Path) -> Option<Stress> {
    let expected = "a time such as \"10m\"";
    let duration = section.time("duration", expected, MAX_DURATION);
    let window = section.time("window", expected, MAX_DURATION);
    section.require("duration", "\"10m\"");
    let concurrency = section.whole("concurrency", 1..=MOST_IN_FLIGHT);
    let request_rate = section.positive("request_rate");
    if concurrency.is_some() && request_rate.is_some() {
        section.problem(
            "request_rate",
            "set either concurrency (closed loop) or request_rate (open loop)",
        );
    }
    let queue = queue(&mut section);
    let is_trace = queue.arrivals == Arrivals::Trace;
    for key in OPEN_LOOP_KEYS {
        if request_rate.is_none() && !is_trace && section.has(key) {
            section.problem(key, "has no effect in closed loop: set request_rate");
        }
    }
    if is_trace && concurrency.is_some() {
        section.problem("concurrency", "has no effect with arrivals = \"trace\", an open loop");
    }
    let trace = trace(&mut section, queue.arrivals, folder, Scenario::Stress);
    let rate_profile = rate_profile(&mut section, duration);
    let max_leak_mb_per_hour = section.positive("max_leak_mb_per_hour");
    if let Some((duration, window)) = duration.zip(window) {
        if window > duration {
            section.problem("window", "is longer than the duration of the load");
        }
        if duration.as_nanos() / window.as_nanos() > MAX_WINDOWS {
            section.problem("window", format!("results in more than {MAX_WINDOWS} windows"));
        }
    }
    section.finish();
    let duration = duration?;
    let window = window.unwrap_or_else(|| default_window(duration));
    let concurrency = concurrency.unwrap_or(1);
    // The rate of a trace is known once it is recorded.
    let of_trace = trace.as_ref().and_then(|trace| trace.factors.first().copied());
    Some(Stress {
        duration,
        window,
        concurrency,
        request_rate: request_rate.or(of_trace),
        queue,
        rate_profile,
        max_leak_mb_per_hour,
        trace,
    })
}

/// Reads `trace`, which is required where `arrivals` is `trace`.
fn trace(
    section: &mut Section<'_, '_>,
    arrivals: Arrivals,
    folder: &Path,
    scenario: Scenario,
) -> Option<Trace> {
    let trace = section.section("trace");
    if arrivals != Arrivals::Trace {
        if !trace.is_absent() {
            section.problem("trace", "has no effect without arrivals = \"trace\"");
            // Its other problems are reported too.
            trace::read(trace, folder, scenario);
        }
        return None;
    }
    if trace.is_absent() {
        let message = "is missing, for example: trace = { path = \"trace.csv\" }";
        section.problem("trace", message);
        return None;
    }
    for key in ["request_rates", "request_rate", "search", "rate_profile"] {
        if section.has(key) {
            let factors = trace::factors_key(scenario);
            let message = format!(
                "has no effect with arrivals = \"trace\", whose rate is the recorded one: set trace.{factors}"
            );
            section.problem(key, message);
        }
    }
    trace::read(trace, folder, scenario)
}

fn queue(section: &mut Section<'_, '_>) -> Queue {
    let arrivals = section.word("arrivals").unwrap_or(Arrivals::Poisson);
    let gap_cv = section.positive("gap_cv");
    if arrivals == Arrivals::Gamma {
        section.require("gap_cv", "2");
        if gap_cv.is_some_and(|cv| !(GAP_CV.0..=GAP_CV.1).contains(&cv)) {
            section.problem("gap_cv", "expected a number from 0.01 to 10");
        }
    } else if section.has("gap_cv") {
        section.problem("gap_cv", "has no effect without arrivals = \"gamma\"");
    }
    let delay_ms = section.whole("max_batch_delay_ms", 0..=3_600_000_u64).unwrap_or(0);
    let max_queue = section.whole("max_queue", 1..=1_000_000).unwrap_or(1000);
    let batching = section.word("batching").unwrap_or_default();
    if batching == Batching::Continuous && section.has("max_batch_delay_ms") {
        section.problem("max_batch_delay_ms", "has no effect with continuous batching");
    }
    let in_flight = section.whole("max_in_flight", 1..=100_000);
    Queue {
        arrivals,
        gap_cv,
        max_batch_delay: Duration::from_millis(delay_ms),
        max_queue,
        batching,
        max_in_flight: in_flight.unwrap_or_else(max_in_flight),
    }
}

/// Reads how a rate changes, within `duration` if the load has one.
fn rate_profile(section: &mut Section<'_, '_>, duration: Option<Duration>) -> RateProfile {
    let mut points = Vec::new();
    for mut point in section.sections("rate_profile") {
        let (at, factor) = (point.text("at"), point.positive("factor"));
        point.require("at", "\"5m\"");
        point.require("factor", "2");
        let time = at.as_ref().and_then(|at| time_of(at)).filter(|time| *time <= MAX_DURATION);
        match (at, time) {
            (Some(at), None) => {
                point.problem(
                    "at",
                    format!("expected a time such as \"0s\" or \"5m\", found `{at}`"),
                );
            }
            (_, Some(time)) if duration.is_some_and(|duration| time > duration) => {
                point.problem("at", "is after the end of the load");
            }
            _ => {}
        }
        point.finish();
        if let Some((time, factor)) = time.zip(factor) {
            // At most ten years.
            let at_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            points.push(RatePoint { at_ns, factor });
        }
    }
    RateProfile::new(points).unwrap_or_else(|error| {
        section.problem("rate_profile", error.to_string());
        RateProfile::default()
    })
}
