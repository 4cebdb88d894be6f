//! Events -> progress on the terminal: a bar, plain lines where standard error is not a terminal, or JSON lines.

pub mod json;

use campaign::{CampaignEvent, Observer, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use json::Line;
use matrix::plan::text::time;
use ops::terminal;
use std::time::Duration;
use store::CampaignRow;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// A bar, or a line for each tenth of the campaign.
    Normal,
    /// Nothing but errors.
    Quiet,
    /// A [`Line`] per event on standard output.
    Json,
}

#[derive(Debug)]
pub struct TerminalProgress {
    verbosity: Verbosity,
    bar: Option<ProgressBar>,
    progress: Progress,
    cells: Vec<String>,
    /// The cells whose end was printed, or that had ended before.
    ended: Vec<bool>,
    targets: Vec<String>,
    /// `samples`, or `steps` if some cells have windows of a sustained load instead.
    unit: &'static str,
    /// Tenths of the campaign that were printed.
    tenths: u64,
}

impl TerminalProgress {
    pub fn new(campaign: &CampaignRow, verbosity: Verbosity) -> Self {
        let (cells, targets) = (&campaign.plan.cells, &campaign.matrix.targets);
        let is_sustained = cells.iter().any(|cell| cell.sustained().is_some());
        let unit = if is_sustained { "steps" } else { "samples" };
        let progress = Progress::new(campaign);
        let bar = (verbosity == Verbosity::Normal && terminal::is_watched()).then(|| {
            let template = format!("{{bar:32}} {{pos}}/{{len}} {unit} · {{elapsed}} · {{msg}}");
            let style =
                ProgressStyle::with_template(&template).expect("the template is well-formed");
            let bar = ProgressBar::new(progress.total()).with_style(style.progress_chars("━╸─"));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self {
            verbosity,
            bar,
            progress,
            cells: cells.iter().map(|cell| cell.id.to_string()).collect(),
            ended: vec![false; cells.len()],
            targets: targets.iter().map(|target| target.name.to_string()).collect(),
            unit,
            tenths: 0,
        }
    }

    /// Prints a line that stays on the screen.
    pub fn message(&self, text: &str) {
        match (&self.bar, self.verbosity) {
            (_, Verbosity::Quiet) => {}
            (_, Verbosity::Json) => self.json(&Line::Said { text }),
            (Some(bar), Verbosity::Normal) => bar.suspend(|| terminal::note(text)),
            (None, Verbosity::Normal) => terminal::note(text),
        }
    }

    /// Prints a line for programs.
    pub fn json(&self, line: &Line<'_>) {
        if self.verbosity == Verbosity::Json {
            // A full disk does not end a campaign: the last line, `Ended`, fails the command instead.
            drop(line.print());
        }
    }

    fn status(&self, text: &str) {
        self.json(&Line::Waiting { text });
        if let Some(bar) = &self.bar {
            bar.set_message(terminal::value(text));
        }
    }

    fn cell_ended(&mut self, cell: usize) {
        let is_complete = self.progress.cells()[cell].is_complete();
        if is_complete && !std::mem::replace(&mut self.ended[cell], true) {
            self.json(&Line::CellEnded { cell: &self.cells[cell] });
        }
    }

    fn batch(&mut self, cell: usize, samples: u64, span: Duration) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let (done, total) = (self.progress.done(), self.progress.total());
        let left = self.progress.time_left();
        let name = &self.cells[cell];
        self.json(&Line::Batch {
            cell: name,
            samples,
            span_ms: span.as_secs_f64() * 1e3,
            done,
            total,
            left_s: left.map(|left| left.as_secs_f64()),
        });
        let rate = self.progress.cells()[cell].rate();
        let rate = rate.map(|rate| format!(" at {rate:.2} {}/s", self.unit)).unwrap_or_default();
        let left = left.map(|left| format!(" · {} left", time(left.as_secs_f64())));
        let status = format!("{name}{rate}{}", left.unwrap_or_default());
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(terminal::value(status));
        } else if self.verbosity == Verbosity::Normal {
            let tenths = 10 * done / total.max(1);
            if tenths > self.tenths {
                self.tenths = tenths;
                terminal::note(&format!("{done}/{total} {} · {status}", self.unit));
            }
        }
    }
}

impl Observer for TerminalProgress {
    fn observe(&mut self, event: &CampaignEvent, now: Duration) {
        self.progress.observe(event, now);
        match event {
            CampaignEvent::Started { .. } => {
                self.ended =
                    self.progress.cells().iter().map(campaign::CellProgress::is_complete).collect();
            }
            CampaignEvent::Message(text) => self.message(text),
            CampaignEvent::Status(text) => self.status(text),
            CampaignEvent::AgentJoined { agent, host, target } => {
                let (agent, target) = (agent.as_str(), &self.targets[*target]);
                self.json(&Line::Joined { agent, host, target });
            }
            CampaignEvent::AgentLeft { agent } => self.json(&Line::Left { agent: agent.as_str() }),
            CampaignEvent::RunAdmitted { .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_length(self.progress.total());
                }
            }
            CampaignEvent::RunsSkipped { cell, steps, .. } => {
                self.json(&Line::Skipped { cell: &self.cells[*cell], samples: *steps });
                if let Some(bar) = &self.bar {
                    bar.set_length(self.progress.total());
                }
                self.cell_ended(*cell);
            }
            CampaignEvent::BatchStored { cell, steps, span, is_counted: true, .. } => {
                self.batch(*cell, *steps, *span);
                self.cell_ended(*cell);
            }
            CampaignEvent::Ended { .. } => {
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
    }
}
