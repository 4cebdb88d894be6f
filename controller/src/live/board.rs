//! What the page shows, from what happened. Pure: time comes as an argument.

use super::history::{History, Point};
use super::vitals::Vitals;
use model::ids::AgentId;
use model::telemetry::Readings;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Lines that are kept.
const MOST_LINES: usize = 50;

/// A cell as the plan has it.
#[derive(Debug, Clone)]
pub struct CellFacts {
    /// Its name.
    pub id: String,
    /// Index of its target.
    pub target: usize,
    /// Samples over all runs.
    pub samples: u64,
}

/// Everything that happened so far, in short.
#[derive(Debug)]
pub struct Board {
    campaign: String,
    targets: Vec<(String, History)>,
    cells: Vec<Cell>,
    agents: BTreeMap<AgentId, Agent>,
    lines: VecDeque<Said>,
    waiting: String,
    is_over: bool,
}

#[derive(Debug)]
struct Cell {
    facts: CellFacts,
    done: u64,
    timed: u64,
    span: Duration,
}

#[derive(Debug)]
struct Agent {
    target: usize,
    host: String,
    cell: Option<usize>,
    samples: u64,
    is_here: bool,
    heard: Duration,
    vitals: Option<Vitals>,
}

/// Something that was said, and when.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Said {
    /// Seconds since the campaign began, or was gone on with.
    at_s: f64,
    text: String,
}

/// What one moment looks like: the page's data. Times are seconds since the campaign began, or was gone on with.
#[derive(Debug, Serialize)]
pub struct Snapshot<'a> {
    campaign: &'a str,
    now_s: f64,
    is_over: bool,
    waiting: &'a str,
    done: u64,
    total: u64,
    /// Null until something was measured.
    left_s: Option<f64>,
    spent_usd: f64,
    max_usd: Option<f64>,
    targets: Vec<TargetView<'a>>,
    cells: Vec<CellView<'a>>,
    agents: Vec<AgentView<'a>>,
    lines: Vec<&'a Said>,
}

#[derive(Debug, Serialize)]
struct TargetView<'a> {
    name: &'a str,
    points: Vec<&'a Point>,
}

#[derive(Debug, Serialize)]
struct CellView<'a> {
    id: &'a str,
    target: usize,
    done: u64,
    total: u64,
    samples_per_s: Option<f64>,
    is_under_way: bool,
}

#[derive(Debug, Serialize)]
struct AgentView<'a> {
    id: &'a str,
    host: &'a str,
    target: usize,
    cell: Option<&'a str>,
    samples: u64,
    is_here: bool,
    heard_s: f64,
    /// Null until its first reading.
    vitals: Option<Vitals>,
}

/// What else a snapshot says, known to the campaign.
#[derive(Debug, Clone, Copy)]
pub struct Outlook {
    /// Time left.
    pub left: Option<Duration>,
    /// US dollars so far.
    pub spent_usd: f64,
    /// US dollars that it may cost.
    pub max_usd: Option<f64>,
}

impl Board {
    /// An empty board for a campaign.
    pub fn new(campaign: String, targets: Vec<String>, cells: Vec<CellFacts>) -> Self {
        let cell = |facts| Cell { facts, done: 0, timed: 0, span: Duration::ZERO };
        Self {
            campaign,
            targets: targets.into_iter().map(|name| (name, History::default())).collect(),
            cells: cells.into_iter().map(cell).collect(),
            agents: BTreeMap::new(),
            lines: VecDeque::new(),
            waiting: String::new(),
            is_over: false,
        }
    }

    /// An agent joined, or came back.
    pub fn joined(&mut self, agent: AgentId, host: String, target: usize, now: Duration) {
        let heard = now;
        let seat =
            Agent { target, host, cell: None, samples: 0, is_here: true, heard, vitals: None };
        self.agents.insert(agent, seat);
    }

    /// An agent left, or was lost.
    pub fn left(&mut self, agent: &AgentId, now: Duration) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.is_here = false;
            agent.cell = None;
            agent.heard = now;
        }
    }

    /// An agent was given a shard of a cell.
    pub fn offered(&mut self, agent: &AgentId, cell: usize) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.cell = Some(cell);
        }
    }

    /// An agent has nothing to do.
    pub fn idle(&mut self, agent: &AgentId) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.cell = None;
        }
    }

    /// An agent read its machine's instruments.
    pub fn observe(&mut self, agent: &AgentId, readings: &Readings) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.vitals = Some(Vitals::of(readings));
        }
    }

    /// A batch is stored: samples with the latency of each, or a window of a sustained load with those of its requests.
    /// `span` is from its first start to its last end.
    pub fn batch(
        &mut self,
        agent: &AgentId,
        cell: usize,
        (samples, latencies): (u64, &[Duration]),
        span: Duration,
        now: Duration,
    ) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.samples += samples;
            agent.heard = now;
        }
        let cell = &mut self.cells[cell];
        cell.done += samples;
        cell.timed += samples;
        cell.span += span;
        self.waiting = format!("measuring {}", cell.facts.id);
        self.targets[cell.facts.target].1.add(latencies.iter().copied());
    }

    /// Samples that a campaign that goes on already has.
    pub fn resume(&mut self, cell: usize, samples: u64) {
        self.cells[cell].done += samples;
    }

    /// Samples that turned out not to be needed.
    pub fn skip(&mut self, cell: usize, samples: u64) {
        let cell = &mut self.cells[cell];
        cell.facts.samples = cell.facts.samples.saturating_sub(samples).max(cell.done);
    }

    /// Something that stays.
    pub fn say(&mut self, text: String, now: Duration) {
        if self.lines.len() == MOST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Said { at_s: now.as_secs_f64(), text });
    }

    /// What is being waited for.
    pub fn wait(&mut self, text: String) {
        self.waiting = text;
    }

    /// Nothing more comes.
    pub fn end(&mut self) {
        self.is_over = true;
        self.waiting = String::new();
    }

    /// Shows what is there now.
    pub fn snapshot(&mut self, now: Duration, outlook: Outlook) -> Snapshot<'_> {
        for (_, history) in &mut self.targets {
            history.close(now);
        }
        let cells = &self.cells;
        let under_way: Vec<usize> = self.agents.values().filter_map(|agent| agent.cell).collect();
        Snapshot {
            campaign: &self.campaign,
            now_s: now.as_secs_f64(),
            is_over: self.is_over,
            waiting: &self.waiting,
            done: cells.iter().map(|cell| cell.done).sum(),
            total: cells.iter().map(|cell| cell.facts.samples).sum(),
            left_s: outlook.left.map(|left| left.as_secs_f64()),
            spent_usd: outlook.spent_usd,
            max_usd: outlook.max_usd,
            targets: self
                .targets
                .iter()
                .map(|(name, history)| TargetView { name, points: history.points().collect() })
                .collect(),
            cells: cells
                .iter()
                .enumerate()
                .map(|(index, cell)| CellView {
                    id: &cell.facts.id,
                    target: cell.facts.target,
                    done: cell.done,
                    total: cell.facts.samples,
                    samples_per_s: cell.rate(),
                    is_under_way: under_way.contains(&index),
                })
                .collect(),
            agents: self
                .agents
                .iter()
                .map(|(id, agent)| AgentView {
                    id: id.as_str(),
                    host: &agent.host,
                    target: agent.target,
                    cell: agent.cell.map(|cell| cells[cell].facts.id.as_str()),
                    samples: agent.samples,
                    is_here: agent.is_here,
                    heard_s: agent.heard.as_secs_f64(),
                    vitals: agent.vitals,
                })
                .collect(),
            lines: self.lines.iter().collect(),
        }
    }
}

impl Cell {
    fn rate(&self) -> Option<f64> {
        let seconds = self.span.as_secs_f64();
        (self.timed > 0 && seconds > 0.0).then(|| self.timed as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn second(at: u64) -> Duration {
        Duration::from_secs(at)
    }

    fn board() -> Board {
        let cell = |id: &str, target| CellFacts { id: id.to_owned(), target, samples: 100 };
        let targets = vec!["t4".to_owned(), "m5".to_owned()];
        Board::new("c-1".to_owned(), targets, vec![cell("t4/b1", 0), cell("m5/b1", 1)])
    }

    fn shown(board: &mut Board, now: Duration) -> Value {
        let outlook = Outlook { left: None, spent_usd: 0.25, max_usd: Some(1.0) };
        serde_json::to_value(board.snapshot(now, outlook)).unwrap()
    }

    #[test]
    fn it_follows_a_campaign() {
        let mut board = board();
        let agent: AgentId = "a.1".try_into().unwrap();
        board.joined(agent.clone(), "host-1".to_owned(), 1, second(1));
        board.resume(0, 40);
        board.offered(&agent, 1);
        board.batch(&agent, 1, (2, &[second(2), second(4)]), second(4), second(7));
        board.skip(0, 50);
        let page = shown(&mut board, second(8));
        assert_eq!((&page["done"], &page["total"]), (&json!(42), &json!(150)));
        assert_eq!(page["cells"][1]["samples_per_s"], json!(0.5));
        assert_eq!(page["cells"][1]["is_under_way"], json!(true));
        assert_eq!(page["cells"][0]["samples_per_s"], Value::Null);
        assert_eq!(page["agents"][0]["cell"], json!("m5/b1"));
        assert_eq!(page["targets"][1]["points"][0]["latency_p50_ms"], json!(4_000.0));
        board.left(&agent, second(9));
        board.end();
        let page = shown(&mut board, second(10));
        assert_eq!(page["agents"][0]["is_here"], json!(false));
        assert_eq!(page["cells"][1]["is_under_way"], json!(false));
        assert_eq!(page["is_over"], json!(true));
    }

    #[test]
    fn old_lines_make_room() {
        let mut board = board();
        for number in 0..200 {
            board.say(format!("line {number}"), second(number));
        }
        let page = shown(&mut board, second(1));
        assert_eq!(page["lines"].as_array().unwrap().len(), MOST_LINES);
        assert_eq!(page["lines"][0]["text"], json!("line 150"));
    }
}
