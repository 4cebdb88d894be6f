//! Plan -> the text of `controller plan`, for reviewers of a matrix.

pub use super::amounts::Price;

use super::amounts::{count, usd};
use super::estimate::Estimate;
use super::warnings::{expected_usd, warnings};
use super::{Plan, Sustained};
use crate::{Matrix, Order, Varied};
use std::fmt::Write;

/// Comparisons that are corrected together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The cheapest cell against so many others.
    Costs(usize),
    /// So many pairs of targets, models and dtypes.
    Pairs(usize),
}

/// The smallest relative differences that comparisons show.
#[derive(Debug, Clone, PartialEq)]
pub struct Power {
    pub family: Family,
    pub runs: u32,
    /// For each of the spreads of [`RUN_SPREADS`]; `None` for a single run.
    pub differences: [Option<f64>; 3],
}

/// Relative standard deviations between the runs of a cell: of an idle machine, and of busier ones.
pub const RUN_SPREADS: [f64; 3] = [0.005, 0.01, 0.02];

/// How long the plan takes, and how that is known.
#[derive(Debug)]
pub struct Timing {
    pub estimate: Estimate,
    /// Ids of the campaigns whose measurements the estimate uses, the newest first.
    pub campaigns: Vec<String>,
}

/// Renders the plan. `prices` are in the order of the targets.
pub fn render(
    plan: &Plan,
    matrix: &Matrix,
    prices: &[Price],
    power: &[Power],
    timing: &Timing,
) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = head(&mut out, plan, matrix, prices, timing);
    let _ = targets(&mut out, plan, matrix, prices, &timing.estimate);
    let _ = differences(&mut out, matrix, power);
    let _ = cells(&mut out, plan, matrix);
    let _ = order(&mut out, plan, matrix);
    out
}

fn head(
    out: &mut String,
    plan: &Plan,
    matrix: &Matrix,
    prices: &[Price],
    timing: &Timing,
) -> std::fmt::Result {
    writeln!(out, "campaign {}, seed {}", matrix.name, matrix.seed)?;
    let protocol = &matrix.protocol;
    let (runs, most) = (protocol.least_runs(), protocol.most_runs());
    let cells = plan.cells.iter().filter(|cell| !cell.is_candidate(matrix)).count();
    if cells > 0 || plan.cells.is_empty() {
        let samples = |runs: u32| {
            let is_counted =
                |cell: &&super::Cell| !cell.is_candidate(matrix) && cell.sustained().is_none();
            plan.cells.iter().filter(is_counted).count() * runs as usize * plan.samples
        };
        writeln!(
            out,
            "{} x {} over the same {} = {} samples",
            count(cells, "cell"),
            if most > runs {
                format!("{runs} to {most} runs")
            } else {
                count(runs as usize, "run")
            },
            count(plan.samples, "dialogue"),
            if most > runs {
                format!("{} to {}", samples(runs), samples(most))
            } else {
                samples(most).to_string()
            },
        )?;
    }
    if let Some(search) = matrix.search() {
        let searched = match plan.searches(matrix).len() {
            1 => "1 search".to_owned(),
            several => format!("{several} searches"),
        };
        let unit = search.vary.unit();
        let [highest, each] = match search.vary {
            Varied::RequestRate => ["request rate", "rate"],
            Varied::Concurrency => ["number of requests in flight", "number"],
        };
        writeln!(
            out,
            "{searched} for the highest {highest} that keeps the objective, from {} to {} {unit}, until it is known within {}%: at most {} of {} at each {each}",
            search.lowest,
            search.highest,
            search.resolution * 100.0,
            count(search.max_runs as usize, "run"),
            count(plan.samples, "request"),
        )?;
    }
    if let Some(precision) = protocol.precision {
        writeln!(
            out,
            "after {}, a cell ends when the half-width of its throughput's 95% CI is within {}% of the mean",
            count(runs as usize, "run"),
            precision.half_width * 100.0
        )?;
    }
    let warmup = count(matrix.protocol.warmup as usize, "warm-up batch");
    writeln!(out, "{warmup} before each segment, not counted")?;
    let seconds = timing.estimate.campaign_seconds(plan, matrix);
    let expected = expected_usd(plan, matrix, prices, &timing.estimate);
    let limit = matrix
        .cost
        .max_usd
        .map_or_else(String::new, |most| format!("; stops before it costs more than {most} USD"));
    writeln!(
        out,
        "estimated time {}, estimated cost {} USD with all machines held to the end ({}){limit}",
        time(seconds),
        usd(expected),
        source(timing, plan.cells.len()),
    )?;
    for warning in warnings(plan, matrix, prices, &timing.estimate) {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(())
}

fn source(Timing { estimate, campaigns }: &Timing, cells: usize) -> String {
    let measured = estimate.measured_cells();
    let Some(newest) = campaigns.first() else {
        return "rough estimate before any measurement".to_owned();
    };
    let others = match campaigns.len() - 1 {
        0 => String::new(),
        others => format!(" and {}", count(others, "earlier campaign")),
    };
    format!("{measured} of {} measured in {newest}{others}", count(cells, "cell"))
}

fn targets(
    out: &mut String,
    plan: &Plan,
    matrix: &Matrix,
    prices: &[Price],
    estimate: &Estimate,
) -> std::fmt::Result {
    writeln!(out, "\ntargets")?;
    let seconds = estimate.seconds_per_target(plan, matrix);
    for (((target, engines), seconds), price) in
        matrix.targets.iter().zip(&plan.engines).zip(seconds).zip(prices)
    {
        let agents = match target.local {
            Some(local) => {
                format!("started locally with {}", count(local.threads as usize, "thread"))
            }
            None => format!("{} to join", count(target.agents as usize, "agent")),
        };
        let hours = seconds / 3600.0;
        writeln!(
            out,
            "  {}: {agents}, {}, {} each, about {} USD at {} USD per hour ({})",
            target.name,
            count(engines.len(), "engine"),
            if seconds < 1.0 { time(seconds) } else { format!("about {}", time(seconds)) },
            usd(hours * price.usd_per_hour * f64::from(matrix.machines(target))),
            price.usd_per_hour,
            price.source,
        )?;
    }
    Ok(())
}

fn differences(out: &mut String, matrix: &Matrix, power: &[Power]) -> std::fmt::Result {
    if power.is_empty() {
        return Ok(());
    }
    if power.iter().all(|row| row.runs == 1) {
        return writeln!(
            out,
            "\ndifferences\n  a single run shows none: set protocol.runs to 3 or more"
        );
    }
    writeln!(
        out,
        "\nsmallest differences that 4 of 5 campaigns show, corrected for the number of comparisons"
    )?;
    let label = |row: &Power| {
        let comparisons = match row.family {
            Family::Costs(others) => format!("cost against {}", count(others, "other cell")),
            Family::Pairs(pairs) => {
                let beams = if matrix.num_beams.is_empty() { "" } else { ", beams" };
                let has_lookup = !matrix.prompt_lookup_num_tokens.is_empty();
                let lookup = if has_lookup { ", prompt lookup" } else { "" };
                format!("{} of targets, models, dtypes{beams}{lookup}", count(pairs, "pair"))
            }
        };
        format!("{comparisons}, {}", count(row.runs as usize, "run"))
    };
    let title = "if the runs of a cell vary by";
    let width = power.iter().map(|row| label(row).len()).max().unwrap_or_default().max(title.len());
    let line = |label: &str, figures: [String; 3]| {
        let [one, two, three] = figures;
        format!("  {label:<width$}  {one:>6}  {two:>6}  {three:>6}")
    };
    writeln!(out, "{}", line(title, RUN_SPREADS.map(percent)))?;
    for row in power {
        let figures = row.differences.map(|found| found.map_or_else(|| "none".to_owned(), percent));
        writeln!(out, "{}", line(&label(row), figures))?;
    }
    Ok(())
}

/// Two significant digits: `0.5%`, `12%`, `350%`.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent {
        _ if percent < 9.95 && percent.fract().abs() > 0.05 => format!("{percent:.1}%"),
        _ if percent < 99.5 => format!("{percent:.0}%"),
        _ => format!("{:.0}%", (percent / 10.0).round() * 10.0),
    }
}

fn cells(out: &mut String, plan: &Plan, matrix: &Matrix) -> std::fmt::Result {
    writeln!(out, "\ncells")?;
    let searches = plan.searches(matrix);
    for (index, cell) in plan.cells.iter().enumerate() {
        // The first of each search stands for the others.
        let search = searches.iter().find(|search| search.contains(&index));
        if search.is_some_and(|search| search[0] != index) {
            continue;
        }
        let run = plan.runs.iter().find(|run| plan.cells[run.cell].id == cell.id);
        let shards = run.map_or(0, |run| run.shards.len());
        let agents = matrix.targets[cell.target].agents;
        let endpoint = matrix.models[cell.model].endpoint.is_some();
        writeln!(
            out,
            "  {}{}: {} in {} per run, {}{}",
            cell.id,
            search.map_or_else(String::new, |all| format!(
                " and {} {}",
                count(all.len() - 1, "candidate"),
                match cell.load.and_then(|load| load.request_rate) {
                    Some(_) => "at higher rates",
                    None => "with more requests in flight",
                }
            )),
            match search {
                Some(_) => count(plan.samples, "request"),
                None => load_of(plan, matrix, index),
            },
            count(shards, "shard"),
            match cell.batch_size {
                _ if !endpoint => "",
                _ if cell.load.is_some() => "each sent when it arrives, ",
                1 => "one request at a time, ",
                _ => "all requests of a batch at once, ",
            },
            match agents {
                1 => "one agent".to_owned(),
                _ if endpoint && cell.agents == 1 => "one agent".to_owned(),
                _ if endpoint => format!("loaded by {agents} agents together"),
                _ => format!("shared by {agents} agents"),
            },
        )?;
    }
    Ok(())
}

/// The batches, requests or windows of a run.
fn load_of(plan: &Plan, matrix: &Matrix, index: usize) -> String {
    let batches = plan.batches_of(index) as usize;
    let Some(load) = plan.cells[index].load else { return count(batches, "batch") };
    let batches = load.sustained.map_or(batches, |sustained| sustained.windows as usize);
    let how = match load.request_rate {
        Some(rate) => {
            let profile = matrix.loads.rate_profile(plan.cells[index].scenario);
            let changes = match profile.filter(|profile| !profile.is_constant()) {
                Some(profile) => {
                    let (low, high) = profile.range();
                    format!(" (changing from {} to {})", rate * low, rate * high)
                }
                None => String::new(),
            };
            let gaps = match (load.queue.gap_cv, load.trace_factor) {
                (Some(cv), _) => format!(", gaps with a coefficient of variation of {cv}"),
                (None, Some(factor)) => {
                    let has_lengths = matrix.loads.has_lengths(plan.cells[index].scenario);
                    let lengths =
                        if has_lengths { ", dialogues of the recorded lengths" } else { "" };
                    format!(", as recorded × {factor}{lengths}")
                }
                (None, None) => String::new(),
            };
            format!("{rate} requests/s{changes}{gaps}")
        }
        None => count(load.concurrency as usize, "request") + " in flight",
    };
    match load.sustained {
        Some(Sustained { window_ns, .. }) => {
            let seconds = window_ns as f64 / 1e9;
            format!("{how} for {}, {}", time(seconds * batches as f64), count(batches, "window"))
        }
        None => format!("{} at {how}", count(batches, "request")),
    }
}

fn order(out: &mut String, plan: &Plan, matrix: &Matrix) -> std::fmt::Result {
    let how = match matrix.protocol.order {
        Order::Interleaved => "shuffled within each round, by seed",
        Order::Written => "as written",
    };
    let runs: Vec<_> =
        plan.runs.iter().filter(|run| !plan.cells[run.cell].is_candidate(matrix)).collect();
    if matrix.search().is_some() {
        writeln!(out, "\norder\n  searches choose their runs while they measure")?;
    }
    if runs.is_empty() {
        return Ok(());
    }
    writeln!(out, "\norder ({how})")?;
    let width = runs.len().to_string().len();
    for (index, run) in runs.into_iter().enumerate() {
        writeln!(
            out,
            "  {:>width$}  round {}  {}",
            index + 1,
            run.number,
            plan.cells[run.cell].id
        )?;
    }
    Ok(())
}

/// Formats a duration: `45 s`, `12 min`, `3.5 h`.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "under 1 s".to_owned(),
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 48.0 * 3600.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}
