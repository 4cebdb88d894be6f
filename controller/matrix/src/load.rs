//! How requests come in `server` and in `stress`.

use super::reader::Section;
use super::sections::duration;
use model::load::Scenario;
use model::words::Unknown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::Duration;

/// A load lasts this long at most: ten years.
const LONGEST: Duration = Duration::from_hours(3650 * 24);
/// More windows of a run are not kept apart.
const MOST_WINDOWS: u128 = 1_000_000;

/// How requests follow each other in open loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gaps {
    /// Exponential gaps: many users who know nothing of each other.
    Poisson,
    /// Always the same gap.
    Constant,
}

impl FromStr for Gaps {
    type Err = Unknown;

    fn from_str(word: &str) -> Result<Self, Unknown> {
        match word {
            "poisson" => Ok(Self::Poisson),
            "constant" => Ok(Self::Constant),
            _ => Err(Unknown {
                what: "arrival process",
                found: word.to_owned(),
                expected: &["poisson", "constant"],
            }),
        }
    }
}

/// Which requests are decoded together under a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Batching {
    /// What waits when the engine is free; what comes meanwhile waits until that is through.
    #[default]
    Dynamic,
    /// Who waits enters as soon as there is room, beside those that are being decoded.
    Continuous,
}

impl FromStr for Batching {
    type Err = Unknown;

    fn from_str(word: &str) -> Result<Self, Unknown> {
        match word {
            "dynamic" => Ok(Self::Dynamic),
            "continuous" => Ok(Self::Continuous),
            _ => Err(Unknown {
                what: "batching",
                found: word.to_owned(),
                expected: &["dynamic", "continuous"],
            }),
        }
    }
}

/// How requests come in the scenarios that have a load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Loads {
    /// Set where the scenario is `server`.
    pub server: Option<Server>,
    /// Set where the scenario is `stress`.
    pub stress: Option<Stress>,
}

/// What becomes of requests that come while the engine is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// How they follow each other.
    pub gaps: Gaps,
    /// How long the oldest waits for others to be decoded with.
    pub max_batch_delay: Duration,
    /// What comes while so many wait is not sent.
    pub max_queue: u32,
    /// In closed loop, too.
    #[serde(default)]
    pub batching: Batching,
}

/// Open loop: every dialogue comes once, at each of these rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Requests per second of each agent, above zero.
    pub request_rates: Vec<f64>,
    /// What becomes of them.
    pub queue: Queue,
}

/// Sustained load: dialogues come again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stress {
    /// For how long.
    pub duration: Duration,
    /// How long a window is.
    pub window: Duration,
    /// Closed loop: requests that are under way at any time.
    pub concurrency: u32,
    /// Open loop: requests per second; then `concurrency` means nothing.
    pub request_rate: Option<f64>,
    /// What becomes of them in open loop.
    pub queue: Queue,
    /// A leak above this must be told, in MB per hour; null: 5 % of what is held.
    pub max_leak_mb_per_hour: Option<f64>,
}

impl Stress {
    /// How many windows a run has.
    pub fn windows(&self) -> u32 {
        let windows = self.duration.as_nanos().div_ceil(self.window.as_nanos().max(1));
        u32::try_from(windows).unwrap_or(u32::MAX)
    }
}

/// A window is short enough for the onset of heat, and long enough that days make no more than some thousands.
fn default_window(duration: Duration) -> Duration {
    (duration / 300).clamp(Duration::from_secs(1), Duration::from_mins(1))
}

/// `protocol.server` and `protocol.stress`, given the scenarios that are measured.
pub(super) fn loads(protocol: &mut Section<'_, '_>, scenarios: &[Scenario]) -> Loads {
    let mut loads = Loads::default();
    for (scenario, example) in [
        (Scenario::Server, "server = { request_rates = [1, 2, 4], max_batch_delay_ms = 20 }"),
        (Scenario::Stress, "stress = { duration = \"10m\", concurrency = 1 }"),
    ] {
        let key = if scenario == Scenario::Server { "server" } else { "stress" };
        let is_wanted = scenarios.contains(&scenario);
        let section = protocol.section(key);
        if section.is_absent() && is_wanted {
            protocol.problem(key, format!("is missing, for example: {example}"));
        }
        if section.is_absent() {
            continue;
        }
        if !is_wanted {
            let message = format!("has no effect without \"{key}\" in factors.scenarios");
            protocol.problem(key, message);
        }
        if scenario == Scenario::Server {
            loads.server = server(section);
        } else {
            loads.stress = stress(section);
        }
    }
    loads
}

fn server(mut section: Section<'_, '_>) -> Option<Server> {
    let request_rates = section.positive_list("request_rates");
    if !section.has("request_rates") {
        section.problem("request_rates", "is missing, for example: request_rates = [1, 2, 4]");
    }
    let queue = queue(&mut section);
    section.finish();
    Some(Server { request_rates: request_rates?, queue })
}

fn stress(mut section: Section<'_, '_>) -> Option<Stress> {
    let time = |section: &mut Section<'_, '_>, key| {
        let text = section.text(key)?;
        let time = duration(&text).filter(|time| *time <= LONGEST);
        if time.is_none() {
            section.problem(key, format!("expected a time such as \"10m\", found `{text}`"));
        }
        time
    };
    let duration = time(&mut section, "duration");
    let window = time(&mut section, "window");
    if !section.has("duration") {
        section.problem("duration", "is missing, for example: duration = \"10m\"");
    }
    let concurrency = section.whole("concurrency", 1..=100_000);
    let request_rate = section.positive("request_rate");
    if concurrency.is_some() && request_rate.is_some() {
        section.problem(
            "request_rate",
            "set either concurrency (closed loop) or request_rate (open loop)",
        );
    }
    for key in ["arrivals", "max_batch_delay_ms", "max_queue"] {
        if request_rate.is_none() && section.has(key) {
            section.problem(key, "has no effect in closed loop: set request_rate");
        }
    }
    let queue = queue(&mut section);
    let max_leak_mb_per_hour = section.positive("max_leak_mb_per_hour");
    if let Some((duration, window)) = duration.zip(window) {
        if window > duration {
            section.problem("window", "is longer than the duration of the load");
        }
        if duration.as_nanos() / window.as_nanos() > MOST_WINDOWS {
            section.problem("window", format!("results in more than {MOST_WINDOWS} windows"));
        }
    }
    section.finish();
    let duration = duration?;
    let window = window.unwrap_or_else(|| default_window(duration));
    let concurrency = concurrency.unwrap_or(1);
    Some(Stress { duration, window, concurrency, request_rate, queue, max_leak_mb_per_hour })
}

fn queue(section: &mut Section<'_, '_>) -> Queue {
    let gaps = section.word("arrivals").unwrap_or(Gaps::Poisson);
    let delay_ms = section.whole("max_batch_delay_ms", 0..=3_600_000_u64).unwrap_or(0);
    let max_queue = section.whole("max_queue", 1..=1_000_000).unwrap_or(1000);
    let batching = section.word("batching").unwrap_or_default();
    if batching == Batching::Continuous && section.has("max_batch_delay_ms") {
        section.problem("max_batch_delay_ms", "has no effect with continuous batching");
    }
    Queue { gaps, max_batch_delay: Duration::from_millis(delay_ms), max_queue, batching }
}
