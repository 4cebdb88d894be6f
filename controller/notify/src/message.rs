//! The message, the same on every channel: how the campaign ended, the verdict, and a line per entry.
//! Pure.

use matrix::Occasion;
use model::text::{LineBreaks, printable};
use report::document::{Ties, verdict_of};
use results::{Cell, Entry, Results};
use serde::Serialize;
use stats::Estimate;
use stats::validity::Status;

/// Names and sentences are cut to so many characters, so that no channel chokes on one.
const LONGEST: usize = 600;
/// Further entries are only in the report.
const MOST_LINES: usize = 20;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    pub occasion: Occasion,
    pub campaign: String,
    /// A headline: the matrix's name and how it ended.
    pub title: String,
    /// What to choose and why, or why there is no answer.
    pub verdict: String,
    /// The best-ranked cell of each entry, the recommended one first.
    pub lines: Vec<Line>,
    /// How many entries are left out of `lines`.
    pub more_lines: usize,
    pub notes: Vec<String>,
    /// Where the whole report is.
    pub link: Option<String>,
    /// Results and reports in S3.
    pub files: Vec<File>,
    /// Sent by hand to try the channel.
    pub is_test: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// Such as `results.json`.
    pub name: String,
    /// `s3://bucket/key`.
    pub address: String,
    /// Where a browser finds it.
    pub url: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    pub target: String,
    pub model: String,
    pub dtype: String,
    pub num_beams: Option<u32>,
    pub prompt_lookup_num_tokens: Option<u32>,
    pub scenario: String,
    /// Of the cell whose figures these are.
    pub batch_size: u32,
    /// Whether they may be used.
    pub status: Status,
    /// US dollars.
    pub usd_per_1000_requests: Estimate,
    /// Samples per second of one host.
    pub throughput: Estimate,
    /// Request latency in milliseconds.
    pub p95_ms: Estimate,
}

impl Message {
    /// The message on the end of a campaign; `why` is the reason if it isn't complete.
    pub fn of(
        results: &Results,
        occasion: Occasion,
        why: Option<&str>,
        link: Option<&str>,
    ) -> Self {
        let campaign = &results.campaign;
        let ranked = results.recommendation.as_ref().map_or(&[][..], |found| &found.ranked);
        let rank =
            |cell: &Cell| ranked.iter().position(|name| *name == cell.cell).unwrap_or(ranked.len());
        let cost = |cell: &Cell| cell.cost.usd_per_1000_requests.value.unwrap_or(f64::INFINITY);
        let mut cells: Vec<(&Entry, &Cell)> = results.results.iter().filter_map(chosen).collect();
        cells.sort_by(|(_, a), (_, b)| {
            (rank(a), a.validity.status)
                .cmp(&(rank(b), b.validity.status))
                .then(cost(a).total_cmp(&cost(b)))
        });
        let mut lines: Vec<Line> =
            cells.into_iter().map(|(entry, cell)| line(entry, cell)).collect();
        let more_lines = lines.len().saturating_sub(MOST_LINES);
        lines.truncate(MOST_LINES);
        let found = verdict_of(results);
        let sentence = plain(&found.text());
        let verdict = match why {
            Some(why) if found.is_answer => format!("{}. So far: {sentence}", plain(why)),
            Some(why) => plain(why),
            None => sentence,
        };
        let counted = format!(
            "{} of {} samples counted over {} dialogues; 95% CI in parentheses",
            campaign.counted_samples, campaign.planned_samples, results.dataset.samples
        );
        let mut notes: Vec<String> = found.ties.iter().map(Ties::text).collect();
        notes.extend(found.notes);
        notes.push(counted);
        let notes = notes.iter().map(|note| plain(note)).collect();
        Self {
            occasion,
            campaign: plain(campaign.id.as_str()),
            title: format!("{}: {}", plain(&campaign.name), ended(occasion, results)),
            verdict,
            lines,
            more_lines,
            notes,
            link: link.map(str::to_owned),
            files: Vec::new(),
            is_test: false,
        }
    }

    /// The same with files in S3. Without a link, it becomes the HTML report among them.
    #[must_use]
    pub fn with(mut self, files: &[File]) -> Self {
        let page = files.iter().find(|file| file.name == "report.html");
        self.link = self.link.or_else(|| page.map(|file| file.url.clone()));
        self.files = files.to_vec();
        self
    }

    /// What `controller notify test` sends: obviously invented figures.
    pub fn test(name: &str, link: Option<&str>) -> Self {
        Self {
            occasion: Occasion::Complete,
            campaign: "test".to_owned(),
            title: format!("{}: test message", plain(name)),
            verdict: "Notifications of this matrix arrive here. Nothing was measured.".to_owned(),
            lines: Vec::new(),
            more_lines: 0,
            notes: Vec::new(),
            link: link.map(str::to_owned),
            files: Vec::new(),
            is_test: true,
        }
    }

    /// The same for the same ending of the same campaign.
    pub fn key(&self) -> String {
        format!("{}.{}", self.campaign, self.occasion)
    }
}

impl Line {
    pub fn name(&self) -> String {
        let mark = match self.status {
            Status::Valid => "",
            Status::Degraded => " (degraded)",
            Status::Invalid => " (invalid)",
        };
        let batch = self.batch_size;
        let beams = self.num_beams.map_or_else(String::new, |number| format!(" · beams {number}"));
        let lookup = (self.prompt_lookup_num_tokens)
            .map_or_else(String::new, |tokens| format!(" · prompt lookup {tokens}"));
        format!(
            "{} · {} · {}{beams}{lookup} · {}, batch {batch}{mark}",
            self.target, self.model, self.dtype, self.scenario
        )
    }

    /// Cost, throughput and latency with their units.
    pub fn figures(&self) -> String {
        let cost = with_interval(&self.usd_per_1000_requests, "USD per 1,000 requests");
        let throughput = with_interval(&self.throughput, "samples/s");
        let p95 = with_interval(&self.p95_ms, "ms at p95");
        format!("{cost}; {throughput}; {p95}")
    }
}

/// `0.0123 (0.0120 to 0.0126) USD`; `USD not measured` where there is no figure.
pub fn with_interval(estimate: &Estimate, unit: &str) -> String {
    use plot::number::shown;
    match (estimate.value, estimate.interval()) {
        (None, _) => format!("{unit}: too few samples"),
        (Some(value), None) => format!("{} {unit}", shown(value)),
        (Some(value), Some((low, high))) => {
            format!("{} ({} to {}) {unit}", shown(value), shown(low), shown(high))
        }
    }
}

fn ended(occasion: Occasion, results: &Results) -> &'static str {
    match occasion {
        Occasion::Threshold if results.has_failed_gate() => "complete, a gate failed",
        Occasion::Complete => "complete",
        Occasion::Threshold => "complete, no target meets the objective",
        Occasion::Failed => "failed",
        Occasion::Stopped => "stopped",
    }
}

/// The cell that the entry's cost repeats, or its first one.
fn chosen(entry: &Entry) -> Option<(&Entry, &Cell)> {
    let chosen = entry.cost.as_ref().map(|cost| cost.batch_size);
    let cell = entry.cells.iter().find(|cell| chosen == Some(cell.batch_size));
    Some((entry, cell.or_else(|| entry.cells.first())?))
}

fn line(entry: &Entry, cell: &Cell) -> Line {
    Line {
        target: plain(&entry.target),
        model: plain(&entry.model),
        dtype: plain(&entry.dtype),
        num_beams: entry.num_beams,
        prompt_lookup_num_tokens: entry.prompt_lookup_num_tokens,
        scenario: plain(&entry.scenario),
        batch_size: cell.batch_size,
        status: cell.validity.status,
        usd_per_1000_requests: cell.cost.usd_per_1000_requests.clone(),
        throughput: cell.estimates.throughput.per_host.clone(),
        p95_ms: cell.estimates.latency_ms.p95.clone(),
    }
}

/// One line with the characters escaped that would act where it is shown, cut to [`LONGEST`].
pub fn plain(text: &str) -> String {
    cut(&printable(text, LineBreaks::Escaped), LONGEST)
}

/// At most `longest` characters, the last one "…" where something is left out.
pub fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest.saturating_sub(1)).chain(std::iter::once('…')).collect()
}
