//! Events of a campaign -> what is seen on the way: a bar on a terminal, plain lines elsewhere, a JSON object a line for
//! programs.

pub mod event;
pub mod pace;

use event::Event;
use indicatif::{ProgressBar, ProgressStyle};
use matrix::plan::text::time;
use ops::terminal;
use pace::Pace;
use std::time::Duration;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// A bar, or a line for each tenth of the way.
    Normal,
    /// Nothing but errors.
    Quiet,
    /// An [`Event`] a line on standard output.
    Json,
}

/// Shows how far a campaign is.
#[derive(Debug)]
pub struct Progress {
    volume: Volume,
    bar: Option<ProgressBar>,
    pace: Pace,
    /// What is counted.
    step: &'static str,
    tenths: u64,
}

impl Progress {
    /// For a campaign whose cells have `totals` steps over all runs: samples, or windows of a sustained load.
    ///
    /// # Panics
    /// Never: the bar's template is well-formed.
    pub fn new(totals: Vec<u64>, targets: Vec<usize>, step: &'static str, volume: Volume) -> Self {
        let pace = Pace::new(totals, targets);
        let bar = (volume == Volume::Normal && terminal::is_watched()).then(|| {
            let template = format!("{{bar:32}} {{pos}}/{{len}} {step} · {{elapsed}} · {{msg}}");
            let style =
                ProgressStyle::with_template(&template).expect("the template is well-formed");
            let bar = ProgressBar::new(pace.total()).with_style(style.progress_chars("━╸─"));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self { volume, bar, pace, step, tenths: 0 }
    }

    /// Says something that stays on the screen.
    pub fn say(&self, text: &str) {
        match (&self.bar, self.volume) {
            (_, Volume::Quiet) => {}
            (_, Volume::Json) => self.tell(&Event::Said { text }),
            (Some(bar), Volume::Normal) => bar.suspend(|| terminal::note(text)),
            (None, Volume::Normal) => terminal::note(text),
        }
    }

    /// For programs only.
    pub fn tell(&self, event: &Event<'_>) {
        if self.volume == Volume::Json {
            // A full disk doesn't end a campaign: the last event, `Ended`, fails the command instead.
            drop(event.print());
        }
    }

    /// Shows what is being waited for.
    pub fn wait(&self, text: &str) {
        self.tell(&Event::Waiting { text });
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// A batch is stored.
    pub fn batch(&mut self, cell: usize, name: &str, samples: u64, span: Duration) {
        self.pace.add(cell, samples, span);
        self.tell(&Event::Batch {
            cell: name,
            samples,
            span_ms: span.as_secs_f64() * 1e3,
            done: self.pace.done(),
            total: self.pace.total(),
            left_s: self.left().map(|left| left.as_secs_f64()),
        });
        let left = self
            .left()
            .map_or_else(String::new, |left| format!(" · about {} left", time(left.as_secs_f64())));
        let rate = self
            .pace
            .rate(cell)
            .map_or_else(String::new, |rate| format!(" at {rate:.2} {}/s", self.step));
        let message = format!("{name}{rate}{left}");
        if let Some(bar) = &self.bar {
            bar.set_position(self.pace.done());
            bar.set_message(message);
        } else if self.volume == Volume::Normal {
            let tenths = 10 * self.pace.done() / self.pace.total().max(1);
            if tenths > self.tenths {
                self.tenths = tenths;
                let (done, total) = (self.pace.done(), self.pace.total());
                terminal::note(&format!("{done}/{total} {} · {message}", self.step));
            }
        }
    }

    /// Time left, about.
    pub fn left(&self) -> Option<Duration> {
        self.pace.left()
    }

    /// Samples that a campaign that goes on already has.
    pub fn resume(&mut self, cell: usize, samples: u64) {
        self.pace.add(cell, samples, Duration::ZERO);
    }

    /// Samples that turned out not to be needed.
    pub fn skip(&mut self, cell: usize, samples: u64) {
        self.pace.skip(cell, samples);
        if let Some(bar) = &self.bar {
            bar.set_length(self.pace.total());
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
