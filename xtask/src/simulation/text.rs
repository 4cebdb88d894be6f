//! The tables as Markdown, as in docs/statistics.md.

use super::{CoverageRow, FamilyRow, NaiveRow, PowerRow, SearchRow, Share, Tables};
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
        let trials = self.family.first().map_or(0, |row| row.false_different.of);
        writeln!(
            f,
            "\nA matrix of 18 cells (2 targets, 3 dtypes, 3 batch sizes; 21 pairs) with 3 runs of 150 shared samples, {trials} trials: how often any pair of equal cells is reported as different, and how often a dtype that is 1.5 times as fast is found, in %:\n"
        )?;
        writeln!(f, "| run spread | any false difference | 95% upper bound | found |")?;
        writeln!(f, "| ---: | ---: | ---: | ---: |")?;
        for FamilyRow { run_spread, false_different, found } in &self.family {
            let (share, bound) = (percent(*false_different), 100.0 * false_different.upper_bound());
            let found = percent(*found);
            writeln!(f, "| {} | {share} | {bound:.1} | {found} |", spread(*run_spread))?;
        }
        write!(f, "\n{}", Searches(&self.search))
    }
}

/// The table of searches.
pub(super) struct Searches<'a>(pub(super) &'a [SearchRow]);

impl fmt::Display for Searches<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trials = self.0.first().map_or(0, |row| row.holds.of);
        writeln!(
            f,
            "Searches for a known capacity within 20%, runs of 400 requests, {trials} trials; and a fixed grid of rates that is as often as narrow:\n"
        )?;
        writeln!(
            f,
            "| server | capacity, requests/s or in flight | interval holds it, % | resolved, % | requests | grid resolved, % | requests of the grid |"
        )?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        for row in self.0 {
            writeln!(
                f,
                "| {} | {:.3} | {} | {} | {:.0} | {} | {:.0} |",
                row.server.name(),
                row.capacity,
                percent(row.holds),
                percent(row.resolved),
                row.requests,
                percent(row.grid_resolved),
                row.grid_requests
            )?;
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
