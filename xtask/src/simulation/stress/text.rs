//! The tables as Markdown, as in docs/stress.md.

use super::super::text::percent;
use super::{LoadRow, MemoryRow, StressTables};
use std::fmt;

impl fmt::Display for StressTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} trials per row, seed {}.\n", self.trials, self.seed)?;
        writeln!(f, "Leaks; shares in %, bounds at 95%:\n")?;
        writeln!(
            f,
            "| process | hours | teeth, MiB | noise, MiB | healthy: alarms | at most | inconclusive | leak, MiB/h | found | interval contains it | reported minimum, MiB/h | found at the minimum | in another run |"
        )?;
        writeln!(f, "| --- |{}", " ---: |".repeat(12))?;
        self.memory.iter().try_for_each(|row| memory(f, row))?;
        writeln!(f, "\nDrift of a load, in windows of 1 s; shares in %:\n")?;
        writeln!(
            f,
            "| load | windows | noise, % | autocorrelation | steady: alarms | at most | interval contains zero | inconclusive | reported minimum, % over the run | found at the minimum | in another run |"
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
        percent(row.inconclusive),
        row.leak_mb_per_hour,
        percent(row.found),
        percent(row.covered),
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
        percent(row.covered),
        percent(row.inconclusive),
        100.0 * row.minimum_detectable,
        percent(row.found_at_minimum),
        percent(row.found_in_another)
    )
}
