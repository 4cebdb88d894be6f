//! The simulation: a queue of events in virtual time.

use super::clock::WallClock;
use super::machines::{Agent, Disk, Measuring, campaign, samples, signature};
use super::network::{Connection, Direction, Partitions};
use super::tally::Tally;
use campaign::{
    AgentMessage, AgentReport, BatchReport, CampaignEvent, CampaignOptions, CampaignState, Effects,
    Ending, Input, JoinedAgent, Limits, Now, Stage,
};
use model::engine::EngineFacts;
use model::failure::{Failure, Kind, Retry};
use model::host::AgentFacts;
use model::segment::SegmentFacts;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

const HEARTBEAT: Duration = Duration::from_secs(1);
/// A campaign that takes longer is stuck.
const END: Duration = Duration::from_hours(3);
/// Faults stop by then, so that a campaign can end.
const FAULTS_END: Duration = Duration::from_mins(10);

/// What an agent reports whose thread panicked.
const PANICKED: &str = "the agent panicked: injection";

/// An event in the queue.
#[derive(Debug)]
enum Next {
    Dial {
        agent: usize,
        process: u32,
    },
    ReportArrives {
        connection: usize,
        report: Box<AgentReport>,
    },
    MessageArrives {
        connection: usize,
        message: Box<AgentMessage>,
    },
    /// The controller notices the end of a connection.
    ControllerDisconnect {
        connection: usize,
    },
    /// The agent notices the end of a connection.
    AgentDisconnect {
        connection: usize,
    },
    Heartbeat {
        connection: usize,
    },
    /// An agent completes a batch.
    Batch {
        agent: usize,
        process: u32,
        attempt: u64,
    },
    KillAgent {
        agent: usize,
    },
    /// The engine of an agent hangs, and its process lives.
    HangAgent {
        agent: usize,
    },
    /// A thread of an agent panics: it reports this, and its process ends.
    PanicAgent {
        agent: usize,
    },
    Reset {
        agent: usize,
    },
    KillController,
    StartController,
    Tick {
        start: u64,
    },
    /// The effects are on disk.
    Written {
        start: u64,
    },
}

struct Controller {
    state: CampaignState,
    /// Number of the start, to tell controllers apart.
    start: u64,
    started: Duration,
    waiting: VecDeque<Input>,
    writing: Option<Effects>,
}

struct Link {
    agent: usize,
    id: String,
    wire: Connection,
    /// The controller's end of the stream.
    is_attached: bool,
    /// The start number of its controller.
    start: u64,
}

pub(crate) struct World {
    seed: u64,
    random: ChaCha8Rng,
    now: Duration,
    number: u64,
    plan: BTreeMap<u64, Next>,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    agents: Vec<Agent>,
    partitions: Vec<Partitions>,
    links: Vec<Link>,
    /// The agent that holds each host's machine lock.
    locks: Vec<Option<usize>>,
    disk: Disk,
    controller: Option<Controller>,
    starts: u64,
    /// The newest attempt of each shard.
    attempts: BTreeMap<usize, u64>,
    clock: WallClock,
    ending: Option<Ending>,
    tally: Tally,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // Two share a host, and the last two load an endpoint together.
        let agents = [(0, 0), (1, 0), (2, 1), (2, 0), (3, 2), (4, 2)]
            .map(|(host, target)| Agent::new(host, target));
        let mut world = Self {
            seed,
            now: Duration::ZERO,
            number: 0,
            plan: BTreeMap::new(),
            queue: BinaryHeap::new(),
            partitions: (0..5).map(|_| Partitions::draw(&mut random)).collect(),
            links: Vec::new(),
            locks: vec![None; 5],
            disk: Disk::default(),
            controller: None,
            starts: 0,
            attempts: BTreeMap::new(),
            clock: WallClock::draw(&mut random, FAULTS_END),
            ending: None,
            tally: Tally::default(),
            agents: agents.into(),
            random,
        };
        world.at(Duration::ZERO, Next::StartController);
        for agent in 0..world.agents.len() {
            world.at(Duration::ZERO, Next::Dial { agent, process: 0 });
        }
        for _ in 0..world.random.random_range(0..6) {
            let at = world.within(FAULTS_END);
            let agent = world.random.random_range(0..world.agents.len());
            let next = match world.random.random_range(0..6) {
                0 => Next::KillController,
                1 | 2 => Next::KillAgent { agent },
                3 => Next::HangAgent { agent },
                _ => Next::Reset { agent },
            };
            world.at(at, next);
        }
        world
    }

    /// One to four panics besides the other faults.
    pub(crate) fn with_panics(mut self) -> Self {
        for _ in 0..self.random.random_range(1..5) {
            let at = self.within(Duration::from_mins(2));
            let agent = self.random.random_range(0..self.agents.len());
            self.at(at, Next::PanicAgent { agent });
        }
        self
    }

    fn within(&mut self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random.random_range(0..limit))
    }

    fn at(&mut self, at: Duration, next: Next) {
        self.number += 1;
        self.plan.insert(self.number, next);
        self.queue.push(Reverse((at, self.number)));
    }

    fn after(&mut self, pause: Duration, next: Next) {
        self.at(self.now + pause, next);
    }

    /// Runs the campaign to its end and checks the disk.
    pub(crate) fn run(mut self) -> Tally {
        while self.ending != Some(Ending::Complete) {
            let Some(Reverse((at, number))) = self.queue.pop() else {
                panic!("seed {}: the event queue is empty", self.seed);
            };
            assert!(at < END, "seed {}: the campaign doesn't end; {:?}", self.seed, self.tally);
            self.now = at;
            let Some(next) = self.plan.remove(&number) else { continue };
            self.tally.steps += 1;
            self.step(next);
        }
        self.check();
        self.tally.late = self.disk.late;
        self.tally.signed = self.disk.signed;
        self.tally
    }

    /// Every planned sample was counted, in its planned batch.
    fn check(&self) {
        let (row, _) = campaign();
        let mut planned = BTreeMap::new();
        for run in &row.plan.runs {
            let size = row.plan.cells[run.cell].composed();
            let batches =
                matrix::plan::batches::compose(row.plan.seed, run.number, size, row.plan.samples);
            for (batch, ordinals) in (0..).zip(&batches) {
                for &ordinal in ordinals {
                    planned.insert((run.cell, run.number, ordinal), batch);
                }
            }
        }
        assert_eq!(self.disk.counted, planned, "seed {}", self.seed);
    }

    fn step(&mut self, next: Next) {
        match next {
            Next::Dial { agent, process } => self.dial(agent, process),
            Next::ReportArrives { connection, report } => self.receive_report(connection, *report),
            Next::MessageArrives { connection, message } => {
                self.receive_message(connection, *message);
            }
            Next::ControllerDisconnect { connection } => self.controller_disconnect(connection),
            Next::AgentDisconnect { connection } => self.agent_disconnect(connection),
            Next::Heartbeat { connection } => {
                if self.is_open(connection) {
                    self.report(connection, AgentReport::Alive);
                    self.after(HEARTBEAT, Next::Heartbeat { connection });
                }
            }
            Next::Batch { agent, process, attempt } => self.batch(agent, process, attempt),
            Next::KillAgent { agent } => self.kill_agent(agent),
            Next::HangAgent { agent } => self.hang_agent(agent),
            Next::PanicAgent { agent } => self.panic_agent(agent),
            Next::Reset { agent } => {
                let id = self.agents[agent].id(agent);
                if let Some(connection) = self.links.iter().position(|link| link.id == id) {
                    self.break_connection(connection, self.now);
                }
            }
            Next::KillController => self.kill_controller(),
            Next::StartController => self.start_controller(),
            Next::Tick { start } => self.tick(start),
            Next::Written { start } => self.written(start),
        }
    }

    // The agents' side.

    fn is_open(&self, connection: usize) -> bool {
        let link = &self.links[connection];
        let agent = &self.agents[link.agent];
        agent.is_alive && agent.is_connected && agent.id(link.agent) == link.id
    }

    fn dial(&mut self, index: usize, process: u32) {
        let agent = &mut self.agents[index];
        if !agent.is_alive || agent.process != process || agent.is_connected {
            return;
        }
        agent.connection += 1;
        let Some(controller) = &self.controller else {
            let pause = Duration::from_millis(100 << agent.pauses.min(6));
            agent.pauses += 1;
            return self.after(pause, Next::Dial { agent: index, process });
        };
        agent.pauses = 0;
        agent.is_connected = true;
        let (host, target, id) = (agent.host, agent.target, agent.id(index));
        self.links.push(Link {
            agent: index,
            id,
            wire: Connection::new(host),
            is_attached: true,
            start: controller.start,
        });
        let connection = self.links.len() - 1;
        let facts = EngineFacts { model_sha256: Some("same".to_owned()), ..EngineFacts::default() };
        let joined = JoinedAgent {
            host: format!("host{host}").try_into().expect("it is a name"),
            target,
            facts: AgentFacts::default(),
            engines: vec![Ok(facts)],
        };
        self.report(connection, AgentReport::Joined(Box::new(joined)));
        self.after(HEARTBEAT, Next::Heartbeat { connection });
    }

    /// An agent sends something.
    fn report(&mut self, connection: usize, report: AgentReport) {
        let link = &mut self.links[connection];
        let was_broken = link.wire.broken_at;
        let partitions = &self.partitions[link.wire.host];
        let direction = Direction::ToController;
        let arrival = link.wire.arrival(direction, self.now, partitions, &mut self.random);
        let broken = link.wire.broken_at.filter(|_| was_broken.is_none());
        if let Some(at) = arrival {
            self.at(at, Next::ReportArrives { connection, report: Box::new(report) });
        }
        if let Some(at) = broken {
            self.break_connection(connection, at);
        }
    }

    /// Both sides notice, at different times.
    fn break_connection(&mut self, connection: usize, at: Duration) {
        self.links[connection].wire.break_at(at);
        self.tally.broken_connections += 1;
        let (soon, later) =
            (self.within(Duration::from_secs(1)), self.within(Duration::from_secs(40)));
        let (agent, controller) =
            if self.random.random_range(0..2) == 0 { (soon, later) } else { (later, soon) };
        self.at(at + agent, Next::AgentDisconnect { connection });
        self.at(at + controller, Next::ControllerDisconnect { connection });
    }

    /// The agent notices that its connection is gone: it gives up its shard and dials again.
    fn agent_disconnect(&mut self, connection: usize) {
        if !self.is_open(connection) {
            return;
        }
        let index = self.links[connection].agent;
        let agent = &mut self.agents[index];
        agent.is_connected = false;
        if let Some(work) = &mut agent.work {
            work.is_cancelled = true;
        }
        let process = agent.process;
        let pause = self.within(Duration::from_secs(5));
        self.after(pause, Next::Dial { agent: index, process });
    }

    fn receive_message(&mut self, connection: usize, message: AgentMessage) {
        if !self.is_open(connection) {
            return;
        }
        let index = self.links[connection].agent;
        match message {
            AgentMessage::Offer(offer) => {
                let (attempt, process) = (offer.attempt, self.agents[index].process);
                // A runner works on one offer at a time: the previous one was cancelled before.
                self.agents[index].work = Some(Measuring {
                    offer: *offer,
                    completed: 0,
                    is_started: false,
                    is_cancelled: false,
                });
                self.next_batch(index, process, attempt);
            }
            AgentMessage::Start { attempt, .. } => {
                let work = self.agents[index].work.as_mut();
                if let Some(work) = work.filter(|work| work.offer.attempt == attempt) {
                    work.is_started = true;
                    self.tally.starts += 1;
                }
            }
            AgentMessage::Acknowledge { attempt, sequence, .. } => {
                let work = self.agents[index].work.as_ref();
                let Some(work) = work.filter(|work| work.offer.attempt == attempt) else {
                    return;
                };
                let position = usize::try_from(sequence).expect("it is small") - 1;
                let batch = work.offer.batches[position].index;
                assert!(
                    self.disk.batches.contains(&(attempt, batch)),
                    "seed {}: acknowledged and not on disk",
                    self.seed
                );
            }
            AgentMessage::Cancel { attempt, .. } => {
                let work = self.agents[index].work.as_mut();
                if let Some(work) = work.filter(|work| work.offer.attempt == attempt) {
                    work.is_cancelled = true;
                }
            }
            // A drained agent exits only if the campaign is complete; otherwise a user resumes it.
            AgentMessage::Drain { .. } | AgentMessage::Refuse(_) => {}
        }
    }

    fn next_batch(&mut self, agent: usize, process: u32, attempt: u64) {
        let time = Duration::from_millis(20) + self.within(Duration::from_secs(8));
        self.after(time, Next::Batch { agent, process, attempt });
    }

    fn batch(&mut self, index: usize, process: u32, attempt: u64) {
        let agent = &mut self.agents[index];
        let (host, id, is_connected) = (agent.host, agent.id(index), agent.is_connected);
        if agent.process != process || !agent.is_alive || agent.is_hanging {
            return;
        }
        let Some(work) = agent.work.as_mut().filter(|work| work.offer.attempt == attempt) else {
            return;
        };
        let shard = work.offer.shard;
        let connection = self.links.iter().rposition(|link| link.id == id).filter(|_| is_connected);
        // A host measures one shard at a time.
        if self.locks[host].is_some_and(|other| other != index) {
            if let Some(connection) = connection {
                let stage = Stage::Queued;
                self.report(connection, AgentReport::Reached { shard, attempt, stage });
            }
            return self.next_batch(index, process, attempt);
        }
        self.locks[host] = Some(index);
        let report = if work.is_cancelled {
            let detail = "the lease was revoked".to_owned();
            let failure = Failure { retry: Retry::OtherAgent, kind: Kind::Cancelled, detail };
            agent.work = None;
            self.locks[host] = None;
            AgentReport::Failed { shard, attempt, failure }
        } else {
            if work.waits() {
                if let Some(connection) = connection {
                    let stage = Stage::Warmed;
                    self.report(connection, AgentReport::Reached { shard, attempt, stage });
                }
                return self.next_batch(index, process, attempt);
            }
            work.completed += 1;
            let (completed, warmup) = (work.completed, work.offer.warmup.len());
            if completed <= warmup {
                if let Some(connection) = connection {
                    let stage = Stage::MachineHeld;
                    self.report(connection, AgentReport::Reached { shard, attempt, stage });
                }
                return self.next_batch(index, process, attempt);
            }
            let batch = &work.offer.batches[completed - warmup - 1];
            let sequence = (completed - warmup) as u64;
            let (is_last, batch, samples) =
                (completed - warmup == work.offer.batches.len(), batch.index, samples(batch));
            if let Some(connection) = connection {
                let report = BatchReport { shard, attempt, sequence, batch, samples, window: None };
                self.report(connection, AgentReport::Batch(report));
            }
            if !is_last {
                return self.next_batch(index, process, attempt);
            }
            self.agents[index].work = None;
            self.locks[host] = None;
            AgentReport::Finished {
                shard,
                attempt,
                segment: SegmentFacts::default(),
                signature: Some(Box::new(signature(sequence))),
            }
        };
        // The connection may have broken meanwhile.
        let is_open = connection.is_some_and(|connection| self.is_open(connection));
        if let Some(connection) = connection.filter(|_| is_open) {
            self.report(connection, report);
        }
    }

    /// Someone restarts it a few minutes later.
    fn hang_agent(&mut self, index: usize) {
        self.agents[index].is_hanging = true;
        let pause = self.within(Duration::from_mins(5));
        self.after(pause, Next::KillAgent { agent: index });
    }

    /// Waits for a shard, since only work panics.
    fn panic_agent(&mut self, index: usize) {
        let id = self.agents[index].id(index);
        let connection = self.links.iter().rposition(|link| link.id == id);
        let connection = connection.filter(|connection| self.is_open(*connection));
        let work = self.agents[index].work.as_ref().filter(|work| !work.is_cancelled);
        let (Some(connection), Some(work)) = (connection, work) else {
            if self.now < FAULTS_END {
                self.after(Duration::from_secs(1), Next::PanicAgent { agent: index });
            }
            return;
        };
        let (shard, attempt) = (work.offer.shard, work.offer.attempt);
        let failure = Failure {
            retry: Retry::OtherAgent,
            kind: Kind::Internal,
            detail: format!("{PANICKED} of seed {}", self.seed),
        };
        self.tally.panics += 1;
        self.report(connection, AgentReport::Failed { shard, attempt, failure });
        self.kill_agent(index);
    }

    fn kill_agent(&mut self, index: usize) {
        let id = self.agents[index].id(index);
        let agent = &mut self.agents[index];
        self.tally.dead_agents += 1;
        agent.work = None;
        agent.is_connected = false;
        agent.is_hanging = false;
        agent.process += 1;
        agent.connection = 0;
        agent.pauses = 0;
        let (host, process) = (agent.host, agent.process);
        if self.locks[host] == Some(index) {
            self.locks[host] = None;
        }
        if let Some(connection) = self.links.iter().rposition(|link| link.id == id) {
            // Messages on the way may still arrive.
            let pause = self.within(Duration::from_secs(2));
            self.after(pause, Next::ControllerDisconnect { connection });
        }
        let pause = self.within(Duration::from_secs(5));
        self.after(pause, Next::Dial { agent: index, process });
    }

    // The controller's side.

    fn start_controller(&mut self) {
        if self.controller.is_some() {
            return;
        }
        let (row, dialogues) = campaign();
        let limits = Limits::with_wait(Duration::from_mins(5));
        let options = CampaignOptions { limits, precision: None, search: None };
        let (state, _) = CampaignState::new(row, dialogues, &self.disk.start(), options);
        self.starts += 1;
        let start = self.starts;
        self.controller = Some(Controller {
            state,
            start,
            started: self.now,
            waiting: VecDeque::new(),
            writing: None,
        });
        self.after(HEARTBEAT, Next::Tick { start });
    }

    fn kill_controller(&mut self) {
        let Some(controller) = self.controller.take() else { return };
        self.tally.dead_controllers += 1;
        // A transaction in progress is committed or not; its messages are never sent.
        if let Some(effects) = controller.writing
            && self.random.random_range(0..2) == 0
        {
            self.disk.write(&effects.rows, self.seed);
        }
        for connection in 0..self.links.len() {
            if std::mem::take(&mut self.links[connection].is_attached) {
                let pause = self.within(Duration::from_secs(1));
                self.after(pause, Next::AgentDisconnect { connection });
            }
        }
        let pause = self.within(Duration::from_secs(30));
        self.after(pause, Next::StartController);
    }

    fn receive_report(&mut self, connection: usize, report: AgentReport) {
        let link = &self.links[connection];
        let is_broken = link.wire.broken_at.is_some_and(|at| at <= self.now);
        if link.is_attached && !is_broken {
            self.input(connection, report);
            self.decide(false);
        }
    }

    fn controller_disconnect(&mut self, connection: usize) {
        if std::mem::take(&mut self.links[connection].is_attached) {
            self.input(connection, AgentReport::Gone);
            self.decide(false);
        }
    }

    /// Queues a report for the controller of the connection, if it still runs.
    fn input(&mut self, connection: usize, report: AgentReport) {
        let link = &self.links[connection];
        let agent = link.id.as_str().try_into().expect("a valid name");
        if let Some(controller) = self.controller.as_mut().filter(|c| c.start == link.start) {
            controller.waiting.push_back(Input::Report { agent, report });
        }
    }

    fn tick(&mut self, start: u64) {
        if self.controller.as_ref().is_some_and(|controller| controller.start == start) {
            self.decide(true);
            self.after(HEARTBEAT, Next::Tick { start });
        }
    }

    /// Steps through the waiting inputs, unless a transaction is in progress.
    fn decide(&mut self, is_tick: bool) {
        let Some(controller) = &mut self.controller else { return };
        if controller.writing.is_some() || (controller.waiting.is_empty() && !is_tick) {
            return;
        }
        let elapsed = self.now.checked_sub(controller.started).expect("it started before now");
        let now = Now { elapsed, at: self.clock.now(self.now) };
        let mut effects = Effects::default();
        let tick = is_tick.then_some(Input::Tick);
        for input in controller.waiting.drain(..).chain(tick) {
            let step = controller.state.step(input, now);
            effects.append(step.expect("all agents have the same files"));
        }
        let start = controller.start;
        controller.writing = Some(effects);
        let pause = match self.random.random_range(0..50) {
            0 => self.within(Duration::from_secs(10)),
            _ => self.within(Duration::from_millis(30)),
        };
        self.after(pause, Next::Written { start });
    }

    fn written(&mut self, start: u64) {
        let Some(controller) = self.controller.as_mut().filter(|c| c.start == start) else {
            return;
        };
        let Some(effects) = controller.writing.take() else { return };
        self.disk.write(&effects.rows, self.seed);
        let messages = |text: &str| {
            let is_it = |event: &&CampaignEvent| matches!(event, CampaignEvent::Message(message) if message.contains(text));
            effects.events.iter().filter(is_it).count() as u64
        };
        self.tally.expired_leases += messages("longer than its lease");
        self.tally.stalled += messages("delivered no batch");
        self.tally.set_back += messages("was set back from");
        self.tally.named_panics += messages(&format!("{PANICKED} of seed {}", self.seed));
        for (agent, message) in effects.messages {
            self.send(agent.as_str(), message);
        }
        match effects.ending {
            Some(Ending::Complete) => self.ending = Some(Ending::Complete),
            // A user resumes the campaign.
            Some(_) => {
                self.tally.resumed += 1;
                self.kill_controller();
            }
            None => self.decide(false),
        }
    }

    /// The controller sends a message to an agent.
    fn send(&mut self, agent: &str, message: AgentMessage) {
        let is_target = |link: &Link| link.id == agent && link.is_attached;
        let Some(connection) = self.links.iter().rposition(is_target) else { return };
        match &message {
            AgentMessage::Refuse(_) => {
                self.links[connection].is_attached = false;
                self.input(connection, AgentReport::Gone);
                let pause = self.within(Duration::from_secs(1));
                return self.after(pause, Next::AgentDisconnect { connection });
            }
            AgentMessage::Offer(offer) => {
                let newest = self.attempts.insert(offer.shard, offer.attempt);
                assert!(newest < Some(offer.attempt), "seed {}: attempts only grow", self.seed);
            }
            _ => {}
        }
        let link = &mut self.links[connection];
        let partitions = &self.partitions[link.wire.host];
        let was_broken = link.wire.broken_at;
        let direction = Direction::ToAgent;
        let arrival = link.wire.arrival(direction, self.now, partitions, &mut self.random);
        let broken = link.wire.broken_at.filter(|_| was_broken.is_none());
        if let Some(at) = arrival {
            self.at(at, Next::MessageArrives { connection, message: Box::new(message) });
        }
        if let Some(at) = broken {
            self.break_connection(connection, at);
        }
    }
}
