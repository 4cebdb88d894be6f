//! A metric over campaigns, in the terminal: one line per campaign, with its interval on a shared scale.

use crate::one_line::one_line;
use crate::sentences::reason;
use model::text::plain;
use plot::number::digits;
use results::{Cell, Results};
use stats::comparison::regression::Metric;
use stats::{Estimate, Limitation};
use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: usize = 40;

#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// UTC.
    pub at: String,
    pub campaign: String,
    pub estimate: Estimate,
}

/// Draws the metric of every cell whose name contains `holds`, over campaigns in order of time.
pub fn draw(campaigns: &[Results], metric: Metric, holds: &str) -> String {
    let mut by_cell: BTreeMap<&str, Vec<Point>> = BTreeMap::new();
    for results in campaigns {
        for cell in results.results.iter().flat_map(|entry| &entry.cells) {
            if cell.cell.contains(holds) {
                by_cell.entry(&cell.cell).or_default().push(Point {
                    at: plain(&results.campaign.created_at, 16),
                    campaign: one_line(&results.campaign.id).into_owned(),
                    estimate: estimate(cell, metric),
                });
            }
        }
    }
    let mut text = String::new();
    for (cell, points) in by_cell {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{}: {metric}, {}", one_line(cell), unit(metric));
        text.push_str(&lines(&points));
        text.push('\n');
    }
    if text.is_empty() {
        text.push_str("no cell matches that name\n");
    }
    text
}

fn estimate(cell: &Cell, metric: Metric) -> Estimate {
    let estimates = &cell.estimates;
    if let Some(estimate) = metric.estimate(&estimates.latency_ms, &estimates.ttft_ms) {
        return estimate.clone();
    }
    match metric {
        Metric::Cost => cell.cost.usd_per_1000_requests.clone(),
        Metric::RougeL => cell.quality.as_ref().map_or_else(
            || Estimate::missing(0, Limitation::NoScores),
            |quality| quality.rouge_l.clone(),
        ),
        _ => estimates.throughput.per_host.clone(),
    }
}

fn unit(metric: Metric) -> &'static str {
    match metric {
        Metric::Latency(_) | Metric::Ttft(_) => "ms",
        Metric::Throughput => "samples/s",
        Metric::Cost => "USD per 1,000 requests",
        Metric::RougeL => "0 to 1",
    }
}

/// One line per point: time, campaign, interval and figure.
fn lines(points: &[Point]) -> String {
    let ends = points.iter().flat_map(|point| {
        let Estimate { value, ci_low, ci_high, .. } = &point.estimate;
        [*value, *ci_low, *ci_high]
    });
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for end in ends.flatten() {
        (low, high) = (low.min(end), high.max(end));
    }
    let name = points.iter().map(|point| point.campaign.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for Point { at, campaign, estimate } in points {
        let figure = match estimate.value {
            Some(value) => digits(value),
            None => format!("– ({})", reason(estimate).as_deref().unwrap_or("not measured")),
        };
        let line = format!("  {at}  {campaign:<name$}  {}  {figure}", bar(estimate, (low, high)));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if low < high {
        let (low, high) = (digits(low), digits(high));
        let gap = WIDTH.saturating_sub(low.len() + high.len());
        let _ = writeln!(text, "  {:16}  {:name$}  {low}{}{high}", "", "", " ".repeat(gap));
    }
    text
}

/// `  ├──●──┤   ` on the scale from `low` to `high`; a point without an interval is a dot alone.
fn bar(estimate: &Estimate, (low, high): (f64, f64)) -> String {
    let mut columns = vec![' '; WIDTH];
    let column = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of the width, cut to it"
        )]
        let column = (share.clamp(0.0, 1.0) * (WIDTH - 1) as f64).round() as usize;
        column
    };
    if let Some((from, to)) = estimate.interval() {
        let (from, to) = (column(from), column(to));
        columns[from..=to].fill('─');
        (columns[from], columns[to]) = ('├', '┤');
    }
    if let Some(value) = estimate.value {
        columns[column(value)] = '●';
    }
    columns.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: &str, estimate: Estimate) -> Point {
        Point { at: at.to_owned(), campaign: format!("c-{at}"), estimate }
    }

    #[test]
    fn intervals_share_one_scale_and_missing_figures_have_reasons() {
        let points = [
            point("2026-11-01T08:00", Estimate::within(10.0, (9.0, 11.0), 3)),
            point("2026-11-02T08:00", Estimate::within(12.0, (11.5, 12.9), 3)),
            point("2026-11-03T08:00", Estimate::point(11.0, 1, Limitation::OneRun)),
            point("2026-11-04T08:00", Estimate::missing(20, Limitation::NoScores)),
        ];
        insta::assert_snapshot!(lines(&points));
    }

    #[test]
    fn a_single_figure_is_centered() {
        let drawn = bar(&Estimate::point(5.0, 1, Limitation::OneRun), (5.0, 5.0));
        assert_eq!(drawn.chars().position(|c| c == '●'), Some(20));
    }
}
