//! The tables as Markdown, as in docs/statistics.md.

use super::{CoverageRow, NaiveRow, PowerRow, Share, Tables};
use std::fmt;

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} trials per row, seed {}.\n", self.trials, self.seed)?;
        writeln!(f, "Coverage of the 95% intervals, in %:\n")?;
        writeln!(
            f,
            "| world | run spread | mean | mean of other dialogues | p50 | p95 | throughput | cost | latency ratio | throughput ratio |"
        )?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        self.coverage.iter().try_for_each(|row| coverage(f, row))?;
        writeln!(f, "\nHow often equal targets are reported as different, in %:\n")?;
        writeln!(f, "| world | run spread | reported as different | 95% upper bound |")?;
        writeln!(f, "| --- | ---: | ---: | ---: |")?;
        for CoverageRow { world, run_spread, false_different, .. } in &self.coverage {
            let (share, bound) = (percent(*false_different), 100.0 * false_different.upper_bound());
            writeln!(f, "| {world} | {} | {share} | {bound:.1} |", spread(*run_spread))?;
        }
        writeln!(
            f,
            "\nMethods that Fleetmark doesn't use, and those that it uses instead; coverage in %:\n"
        )?;
        writeln!(f, "| not used | coverage | used | coverage |")?;
        writeln!(f, "| --- | ---: | --- | ---: |")?;
        for NaiveRow { method, coverage, instead, coverage_instead } in &self.naive {
            writeln!(
                f,
                "| {method} | {} | {instead} | {} |",
                percent(*coverage),
                percent(*coverage_instead)
            )?;
        }
        writeln!(
            f,
            "\nHow often a slowdown of 3% is found with 3 runs of 150 shared samples, in %:\n"
        )?;
        writeln!(
            f,
            "| run spread | paired by sample and round | paired by sample, runs apart | unpaired |"
        )?;
        writeln!(f, "| ---: | ---: | ---: | ---: |")?;
        for PowerRow { run_spread, paired, apart, unpaired } in &self.power {
            let [paired, apart, unpaired] = [paired, apart, unpaired].map(|share| percent(*share));
            writeln!(f, "| {} | {paired} | {apart} | {unpaired} |", spread(*run_spread))?;
        }
        Ok(())
    }
}

fn coverage(f: &mut fmt::Formatter<'_>, row: &CoverageRow) -> fmt::Result {
    let shares = [
        row.mean,
        row.mean_of_others,
        row.p50,
        row.p95,
        row.throughput,
        row.cost,
        row.ratio,
        row.throughput_ratio,
    ];
    let shares = shares.map(percent).join(" | ");
    writeln!(f, "| {} | {} | {shares} |", row.world, spread(row.run_spread))
}

fn spread(spread: f64) -> String {
    format!("{}%", plot::number::percent(spread))
}

pub(super) fn percent(share: Share) -> String {
    share.share().map_or_else(|| "-".to_owned(), |share| format!("{:.1}", 100.0 * share))
}
