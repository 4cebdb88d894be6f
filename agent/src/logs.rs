//! Logs: what a program that watches this one reads. They go to standard error, as lines for people or as JSON.

use crate::terminal;
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

/// A line goes out whole.
#[derive(Debug, Clone, Copy)]
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        terminal::log(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

/// Starts logging.
pub fn start(form: Form, level: LevelFilter) {
    // Libraries speak of warnings only: their details are for those who write them.
    let ours = filter::Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(["controller", "agent", "proto"].map(|ours| (ours, level)));
    let lines = tracing_subscriber::fmt::layer().with_writer(Lines).with_target(false);
    let lines = match form {
        Form::Text => lines.with_ansi(terminal::is_watched()).without_time().boxed(),
        Form::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second start, as in tests, changes nothing.
    drop(tracing_subscriber::registry().with(lines.with_filter(ours)).try_init());
}
