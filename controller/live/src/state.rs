//! Events -> what the page shows. Pure: time is an argument.

use super::history::{History, Point};
use super::vitals::Vitals;
use campaign::{CampaignEvent, Progress};
use cost::campaign::Spending;
use model::ids::AgentId;
use model::text::{LineBreaks, printable};
use records::CampaignRow;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Messages that are kept.
const MAX_MESSAGES: usize = 50;

/// Everything that the page shows.
#[derive(Debug)]
pub(super) struct PageState {
    campaign: String,
    targets: Vec<Target>,
    cells: Vec<String>,
    progress: Progress,
    agents: BTreeMap<AgentId, Agent>,
    messages: VecDeque<Message>,
    status: String,
    spending: Spending,
    is_over: bool,
}

#[derive(Debug)]
struct Target {
    name: String,
    history: History,
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

#[derive(Debug, Clone, Serialize)]
struct Message {
    at_s: f64,
    text: String,
}

/// The page at one moment, as `/state.json` has it. Times are seconds since the controller started.
#[derive(Debug, Serialize)]
pub(super) struct Snapshot<'a> {
    campaign: &'a str,
    now_s: f64,
    is_over: bool,
    waiting: &'a str,
    done: u64,
    total: u64,
    /// Null before the first measurement.
    left_s: Option<f64>,
    spent_usd: f64,
    max_usd: Option<f64>,
    targets: Vec<TargetView<'a>>,
    cells: Vec<CellView<'a>>,
    agents: Vec<AgentView<'a>>,
    lines: Vec<&'a Message>,
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
    /// Null before its first telemetry.
    vitals: Option<Vitals>,
}

fn one_line(text: &str) -> String {
    printable(text, LineBreaks::Escaped).into_owned()
}

impl PageState {
    pub(super) fn new(campaign: &CampaignRow) -> Self {
        let target = |target: &matrix::Target| Target {
            name: target.name.to_string(),
            history: History::default(),
        };
        Self {
            campaign: campaign.id.to_string(),
            targets: campaign.matrix.targets.iter().map(target).collect(),
            cells: campaign.plan.cells.iter().map(|cell| cell.id.to_string()).collect(),
            progress: Progress::new(campaign),
            agents: BTreeMap::new(),
            messages: VecDeque::new(),
            status: String::new(),
            spending: Spending::new(campaign.matrix.cost.max_usd),
            is_over: false,
        }
    }

    pub(super) fn observe(&mut self, event: &CampaignEvent, now: Duration) {
        self.progress.observe(event, now);
        match event {
            CampaignEvent::Message(text) => {
                if self.messages.len() == MAX_MESSAGES {
                    self.messages.pop_front();
                }
                let (at_s, text) = (now.as_secs_f64(), one_line(text));
                self.messages.push_back(Message { at_s, text });
            }
            CampaignEvent::Status(text) => self.status = one_line(text),
            CampaignEvent::AgentJoined { agent, host, target } => {
                let joined = Agent {
                    target: *target,
                    host: one_line(host),
                    cell: None,
                    samples: 0,
                    is_here: true,
                    heard: now,
                    vitals: None,
                };
                self.agents.insert(agent.clone(), joined);
            }
            CampaignEvent::AgentLeft { agent } => {
                if let Some(agent) = self.agents.get_mut(agent) {
                    agent.is_here = false;
                    agent.cell = None;
                    agent.heard = now;
                }
            }
            CampaignEvent::ShardOffered { agent, cell, .. } => {
                self.set_cell(agent, Some(*cell));
            }
            CampaignEvent::AttemptFinished { agent, .. }
            | CampaignEvent::AttemptFailed { agent, .. } => self.set_cell(agent, None),
            CampaignEvent::Telemetry { agent, window } => {
                if let Some(agent) = self.agents.get_mut(agent) {
                    agent.vitals = Some(Vitals::from(&window.readings));
                }
            }
            CampaignEvent::BatchStored {
                agent, cell, steps, latencies, is_counted: true, ..
            } => {
                if let Some(agent) = self.agents.get_mut(agent) {
                    agent.samples += steps;
                    agent.heard = now;
                }
                self.status = format!("measuring {}", self.cells[*cell]);
                let target = self.progress.cells()[*cell].target;
                self.targets[target].history.add(latencies);
            }
            CampaignEvent::Spending(spending) => self.spending = *spending,
            CampaignEvent::Ended { spending, .. } => {
                self.spending = *spending;
                self.is_over = true;
                self.status.clear();
            }
            _ => {}
        }
    }

    fn set_cell(&mut self, agent: &AgentId, cell: Option<usize>) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.cell = cell;
        }
    }

    pub(super) fn snapshot(&mut self, now: Duration) -> Snapshot<'_> {
        for target in &mut self.targets {
            target.history.close(now);
        }
        let (ids, progress) = (&self.cells, &self.progress);
        let cells_under_way: Vec<usize> =
            self.agents.values().filter_map(|agent| agent.cell).collect();
        let cells = ids.iter().zip(progress.cells()).enumerate();
        // Candidates that a search hasn't measured have no steps.
        let cells = cells.filter(|(_, (_, cell))| cell.total > 0);
        let cells = cells.map(|(index, (id, cell))| CellView {
            id,
            target: cell.target,
            done: cell.done,
            total: cell.total,
            samples_per_s: cell.rate(),
            is_under_way: cells_under_way.contains(&index),
        });
        let agents = self.agents.iter().map(|(id, agent)| AgentView {
            id: id.as_str(),
            host: &agent.host,
            target: agent.target,
            cell: agent.cell.map(|cell| ids[cell].as_str()),
            samples: agent.samples,
            is_here: agent.is_here,
            heard_s: agent.heard.as_secs_f64(),
            vitals: agent.vitals,
        });
        let targets = self.targets.iter().map(|target| TargetView {
            name: &target.name,
            points: target.history.points().collect(),
        });
        Snapshot {
            campaign: &self.campaign,
            now_s: now.as_secs_f64(),
            is_over: self.is_over,
            waiting: &self.status,
            done: progress.done(),
            total: progress.total(),
            left_s: progress.time_left().map(|left| left.as_secs_f64()),
            spent_usd: self.spending.usd,
            max_usd: self.spending.max_usd,
            targets: targets.collect(),
            cells: cells.collect(),
            agents: agents.collect(),
            lines: self.messages.iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use campaign::Ending;
    use matrix::plan::Plan;
    use matrix::{Matrix, Overrides};
    use records::{DatasetFacts, State};
    use serde_json::{Value, json};
    use std::path::Path;

    const MATRIX: &str = r#"
name = "c"
[dataset]
source = "builtin:dialogues"
[[model]]
name = "s"
id = "scripted:script.json"
[protocol]
runs = 10
[[target]]
name = "t4"
usd_per_hour = 1.0
[[target]]
name = "m5"
usd_per_hour = 1.0
"#;

    fn second(at: u64) -> Duration {
        Duration::from_secs(at)
    }

    /// Two cells of 100 samples, one per target.
    fn state() -> PageState {
        let matrix =
            Matrix::check(MATRIX, "m", Path::new("/"), &Overrides::default()).expect("it is valid");
        let plan = Plan::make(&matrix, 10).expect("there are samples");
        PageState::new(&CampaignRow {
            id: "c-1".try_into().unwrap(),
            name: "c".to_owned(),
            created_at: chrono::DateTime::UNIX_EPOCH,
            finished_at: None,
            state: State::Running,
            controller_version: String::new(),
            matrix_text: String::new(),
            matrix,
            plan,
            dataset: DatasetFacts {
                source: String::new(),
                sha256: String::new(),
                revision: None,
                dialogues: 10,
                samples: 10,
                sample_ids_sha256: String::new(),
                references: 0,
                set_aside: None,
                notes: Vec::new(),
            },
            prices: Vec::new(),
        })
    }

    fn shown(state: &mut PageState, now: Duration) -> Value {
        serde_json::to_value(state.snapshot(now)).unwrap()
    }

    #[test]
    fn it_follows_a_campaign() {
        let mut state = state();
        let agent: AgentId = "a.1".try_into().unwrap();
        let stored_steps = vec![40, 0];
        let started = CampaignEvent::Started { stored_steps, runs_left: BTreeMap::new() };
        state.observe(&started, second(0));
        let (host, target) = ("host-1".to_owned(), 1);
        let joined = CampaignEvent::AgentJoined { agent: agent.clone(), host, target };
        state.observe(&joined, second(1));
        let offered = CampaignEvent::ShardOffered {
            agent: agent.clone(),
            shard: 0,
            attempt: 1,
            cell: 1,
            round: 1,
            segment: 1,
            batches: 5,
        };
        state.observe(&offered, second(2));
        let batch = CampaignEvent::BatchStored {
            agent: agent.clone(),
            cell: 1,
            steps: 2,
            samples: 2,
            latencies: [2, 4]
                .map(|s| campaign::Latency { duration: second(s), requests: 1 })
                .to_vec(),
            span: second(4),
            is_counted: true,
        };
        state.observe(&batch, second(7));
        let skipped = CampaignEvent::RunsSkipped { cell: 0, rounds: vec![], steps: 50 };
        state.observe(&skipped, second(7));
        let spending = Spending { usd: 0.25, unpriced_hosts: 0, max_usd: Some(1.0) };
        state.observe(&CampaignEvent::Spending(spending), second(8));
        let page = shown(&mut state, second(8));
        assert_eq!((&page["done"], &page["total"]), (&json!(42), &json!(150)));
        assert_eq!((&page["spent_usd"], &page["max_usd"]), (&json!(0.25), &json!(1.0)));
        assert_eq!(page["cells"][1]["samples_per_s"], json!(0.5));
        assert_eq!(page["cells"][1]["is_under_way"], json!(true));
        assert_eq!(page["cells"][0]["samples_per_s"], Value::Null);
        assert_eq!(page["agents"][0]["cell"], page["cells"][1]["id"]);
        assert_eq!(page["targets"][1]["points"][0]["latency_p50_ms"], json!(4_000.0));
        state.observe(&CampaignEvent::AgentLeft { agent }, second(9));
        let ended = CampaignEvent::Ended { ending: Ending::Complete, spending };
        state.observe(&ended, second(9));
        let page = shown(&mut state, second(10));
        assert_eq!(page["agents"][0]["is_here"], json!(false));
        assert_eq!(page["cells"][1]["is_under_way"], json!(false));
        assert_eq!(page["is_over"], json!(true));
    }

    #[test]
    fn texts_of_agents_are_escaped() {
        let mut state = state();
        let hostile = "a\u{202e}b\u{2028}\u{1b}[2J";
        let (agent, host) = ("a.1".try_into().unwrap(), hostile.to_owned());
        state.observe(&CampaignEvent::AgentJoined { agent, host, target: 0 }, second(0));
        state.observe(&CampaignEvent::Message(hostile.to_owned()), second(0));
        state.observe(&CampaignEvent::Status(hostile.to_owned()), second(0));
        let page = shown(&mut state, second(1));
        let escaped = json!("a\\u{202e}b\\u{2028}\\u{1b}[2J");
        assert_eq!(page["lines"][0]["text"], escaped);
        assert_eq!(page["waiting"], escaped);
        assert_eq!(page["agents"][0]["host"], escaped);
    }

    #[test]
    fn the_oldest_messages_are_dropped() {
        let mut state = state();
        for number in 0..200 {
            state.observe(&CampaignEvent::Message(format!("line {number}")), second(number));
        }
        let page = shown(&mut state, second(1));
        assert_eq!(page["lines"].as_array().unwrap().len(), MAX_MESSAGES);
        assert_eq!(page["lines"][0]["text"], json!("line 150"));
    }
}
