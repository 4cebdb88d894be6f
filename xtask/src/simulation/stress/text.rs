//! The tables as Markdown, as the command prints them and docs/stress.md holds them.

use super::super::text::percent;
use super::{LoadRow, MemoryRow, StressTables};
use std::fmt;

impl fmt::Display for StressTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} trials per row, seed {}.\n", self.trials, self.seed)?;
        writeln!(f, "Leaks; shares in %, bounds at 95 %:\n")?;
        writeln!(
            f,
            "| process | hours | teeth, MB | noise, MB | healthy: alarms | at most | left open | leak, MB/h | found | interval holds it | printed minimum, MB/h | found at the minimum | in another run |"
        )?;
        writeln!(f, "| --- |{}", " ---: |".repeat(12))?;
        self.memory.iter().try_for_each(|row| memory(f, row))?;
        writeln!(f, "\nDrift of a load, in windows of 1 s; shares in %:\n")?;
        writeln!(
            f,
            "| load | windows | noise, % | autocorrelation | steady: alarms | at most | interval holds zero | left open | printed minimum, % over the run | found at the minimum | in another run |"
        )?;
        writeln!(f, "| --- |{}", " ---: |".repeat(10))?;
        self.load.iter().try_for_each(|row| load(f, row))
    }
}

fn memory(f: &mut fmt::Formatter<'_>, row: &MemoryRow) -> fmt::Result {
    writeln!(
        f,
        "| {} | {:.2} | {} | {} | {} | {:.1} | {} | {} | {} | {} | {:.2} | {} | {} |",
        row.name,
        row.hours,
        row.tooth_mb,
        row.noise_mb,
        percent(row.false_alarms),
        100.0 * row.false_alarms.upper_bound(),
        percent(row.left_open),
        row.leak_mb_per_hour,
        percent(row.found),
        percent(row.held),
        row.minimum_detectable_mb_per_hour,
        percent(row.found_at_minimum),
        percent(row.found_in_another)
    )
}

fn load(f: &mut fmt::Formatter<'_>, row: &LoadRow) -> fmt::Result {
    writeln!(
        f,
        "| {} | {} | {} | {} | {} | {:.1} | {} | {} | {:.1} | {} | {} |",
        row.name,
        row.windows,
        100.0 * row.noise,
        row.autocorrelation,
        percent(row.false_alarms),
        100.0 * row.false_alarms.upper_bound(),
        percent(row.held),
        percent(row.left_open),
        100.0 * row.minimum_detectable,
        percent(row.found_at_minimum),
        percent(row.found_in_another)
    )
}
