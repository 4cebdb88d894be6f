//! Who is told what happens while a campaign runs: the terminal or a program that reads it, and the live page.

use super::desk::Line;
use crate::live::{Board, CellFacts, Outlook, Page};
use crate::progress::Progress;
use crate::progress::event::Event;
use cost::campaign::Spending;
use std::time::Duration;
use store::CampaignRow;

/// Everybody who watches.
#[derive(Debug)]
pub(super) struct Watchers {
    progress: Progress,
    page: Option<(Board, Page)>,
    cells: Vec<String>,
    targets: Vec<String>,
}

impl Watchers {
    /// For a campaign; `page` where one is served.
    pub(super) fn new(row: &CampaignRow, progress: Progress, page: Option<Page>) -> Self {
        let targets: Vec<String> =
            row.matrix.targets.iter().map(|target| target.name.to_string()).collect();
        let samples = u64::from(row.matrix.protocol.most_runs()) * row.plan.samples as u64;
        let cell = |cell: &matrix::plan::Cell| CellFacts {
            id: cell.id.to_string(),
            target: cell.target,
            samples,
        };
        let board = || {
            let cells = row.plan.cells.iter().map(cell).collect();
            Board::new(row.id.to_string(), targets.clone(), cells)
        };
        Self {
            progress,
            page: page.map(|page| (board(), page)),
            cells: row.plan.cells.iter().map(|cell| cell.id.to_string()).collect(),
            targets,
        }
    }

    /// Samples that a campaign that goes on already has.
    pub(super) fn resume(&mut self, cell: usize, samples: u64) {
        self.progress.resume(cell, samples);
        if let Some((board, _)) = &mut self.page {
            board.resume(cell, samples);
        }
    }

    /// Says something that stays.
    pub(super) fn say(&mut self, text: &str, now: Duration) {
        self.progress.say(text);
        if let Some((board, _)) = &mut self.page {
            board.say(text.to_owned(), now);
        }
    }

    /// Something happened.
    pub(super) fn take(&mut self, line: Line, now: Duration) {
        match &line {
            Line::Said(text) => self.progress.say(text),
            Line::Waiting(text) => self.progress.wait(text),
            Line::Joined { agent, host, target } => self.progress.tell(&Event::Joined {
                agent: agent.as_str(),
                host,
                target: &self.targets[*target],
            }),
            Line::Left(agent) => self.progress.tell(&Event::Left { agent: agent.as_str() }),
            Line::Offered { .. } | Line::Idle(_) | Line::Observed { .. } => {}
            Line::Skipped { cell, samples } => {
                self.progress.tell(&Event::Skipped { cell: &self.cells[*cell], samples: *samples });
                self.progress.skip(*cell, *samples);
            }
            Line::Batch { cell, samples, span, .. } => {
                self.progress.batch(*cell, &self.cells[*cell], *samples, *span);
            }
        }
        let Some((board, _)) = &mut self.page else { return };
        match line {
            Line::Said(text) => board.say(text, now),
            Line::Waiting(text) => board.wait(text),
            Line::Joined { agent, host, target } => board.joined(agent, host, target, now),
            Line::Left(agent) => board.left(&agent, now),
            Line::Offered { agent, cell } => board.offered(&agent, cell),
            Line::Idle(agent) => board.idle(&agent),
            Line::Observed { agent, window } => board.observe(&agent, &window.readings),
            Line::Skipped { cell, samples } => board.skip(cell, samples),
            Line::Batch { agent, cell, samples, latencies, span } => {
                board.batch(&agent, cell, (samples, &latencies), span, now);
            }
        }
    }

    /// Shows on the page how things stand.
    pub(super) fn publish(&mut self, spending: Spending, now: Duration) {
        if let Some((board, page)) = &mut self.page {
            let Spending { usd, max_usd, .. } = spending;
            let outlook = Outlook { left: self.progress.left(), spent_usd: usd, max_usd };
            page.publish(&board.snapshot(now, outlook));
        }
    }

    /// Nothing more is measured.
    pub(super) fn end(&mut self, spending: Spending, now: Duration) {
        self.progress.end();
        if let Some((board, _)) = &mut self.page {
            board.end();
        }
        self.publish(spending, now);
    }
}
