//! The log on standard error, as text or JSON, and the options that choose its form.

use crate::terminal;
use clap::{Args, ValueEnum};
use std::io::{self, Write};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, filter};

/// Format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// The options of every command that configure the log.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Log")]
pub struct Options {
    /// Log format on standard error: text or json
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    pub log_format: Format,
    /// Minimum log level: error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn")]
    pub log_level: LevelFilter,
}

/// Every crate of the workspace that logs.
const OUR_CRATES: [&str; 5] = ["controller", "agent", "proto", "fetch", "ops"];

/// Passes each line to the terminal in one piece. The terminal escapes and colors it.
#[derive(Debug, Clone, Copy)]
struct Lines(Format);

/// A line of a level, which only a text's own form doesn't contain.
#[derive(Debug, Clone, Copy)]
struct Line(Format, Level);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        match self.0 {
            Format::Text => terminal::log(self.1, &text),
            Format::Json => terminal::json_log(&text),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(self.0, Level::ERROR)
    }

    fn make_writer_for(&self, event: &Metadata<'_>) -> Line {
        Line(self.0, *event.level())
    }
}

/// Starts the log. `log_level` is for our own crates; libraries log warnings and errors only.
pub fn start(options: Options) {
    let Options { log_format, log_level } = options;
    let ours = filter::Targets::new()
        .with_default(log_level.min(LevelFilter::WARN))
        .with_targets(OUR_CRATES.map(|name| (name, log_level)));
    let lines = tracing_subscriber::fmt::layer().with_writer(Lines(log_format)).with_target(false);
    let lines = match log_format {
        Format::Text => {
            // The terminal colors and escapes.
            let lines = lines.with_ansi(false).with_ansi_sanitization(false);
            lines.with_level(false).without_time().boxed()
        }
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second start, as in tests, changes nothing.
    drop(tracing_subscriber::registry().with(lines.with_filter(ours)).try_init());
}
