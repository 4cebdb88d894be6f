//! Logs: what a program that watches this one reads, as lines for people or as JSON.

use clap::ValueEnum;
use std::io::{self, Write};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, filter};

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The one place of a program that prints.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Prints a line, which comes whole.
    pub print: fn(&[u8]),
    /// Whether a person watches it.
    pub is_watched: bool,
}

/// A line goes out whole.
#[derive(Debug, Clone, Copy)]
struct Lines(fn(&[u8]));

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        (self.0)(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Starts logging, of our own crates from `level` on.
pub fn start(form: Form, level: LevelFilter, terminal: Terminal) {
    // Libraries speak of warnings only: their details are for those who write them.
    let ours = filter::Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(["controller", "agent", "proto", "fetch", "ops"].map(|ours| (ours, level)));
    let lines =
        tracing_subscriber::fmt::layer().with_writer(Lines(terminal.print)).with_target(false);
    let lines = match form {
        Form::Text => lines.with_ansi(terminal.is_watched).without_time().boxed(),
        Form::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second start, as in tests, changes nothing.
    drop(tracing_subscriber::registry().with(lines.with_filter(ours)).try_init());
}
