//! Virtual time: what happens next, to whom, and what follows.

use super::clock::WallClock;
use super::machines::{Agent, Disk, Measuring, campaign, samples};
use super::network::{Connection, Cuts, Way};
use controller::commands::run::desk::{Desk, Effects};
use controller::scheduler::{Ending, Limits};
use fleet::{Event, Joined, Orders, Outbox, Room, Said};
use model::engine::EngineFacts;
use model::failure::{Failure, Kind, Retry};
use proto::wire::from_controller::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;
use store::{AgentFacts, SegmentFacts};

const HEARTBEAT: Duration = Duration::from_secs(1);
/// A campaign that takes longer has lost something.
const END: Duration = Duration::from_hours(3);
/// Trouble is over by then, so that a campaign can end.
const TROUBLE: Duration = Duration::from_mins(10);

/// What happened in one campaign, or in many.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) late: u64,
    pub(crate) broken_connections: u64,
    pub(crate) dead_agents: u64,
    pub(crate) dead_controllers: u64,
    pub(crate) expired_leases: u64,
    /// Times that the controller's wall clock was set back, as it says.
    pub(crate) set_back: u64,
    /// Times that a person had to go on with an incomplete campaign.
    pub(crate) gone_on_with: u64,
    steps: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.late += other.late;
        self.broken_connections += other.broken_connections;
        self.dead_agents += other.dead_agents;
        self.dead_controllers += other.dead_controllers;
        self.expired_leases += other.expired_leases;
        self.set_back += other.set_back;
        self.gone_on_with += other.gone_on_with;
        self.steps += other.steps;
    }
}

/// Something planned.
#[derive(Debug)]
enum Next {
    Dial {
        agent: usize,
        process: u32,
    },
    /// A message of a connection arrives.
    Heard {
        connection: usize,
        said: Box<Said>,
    },
    Told {
        connection: usize,
        message: Box<Message>,
    },
    /// One side notices the end of a connection.
    Gone {
        connection: usize,
    },
    Cut {
        connection: usize,
    },
    Beat {
        connection: usize,
    },
    /// The batch that an agent is in is through.
    Batch {
        agent: usize,
        process: u32,
        attempt: u64,
    },
    KillAgent {
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
    /// What was decided is on disk.
    Written {
        start: u64,
    },
}

struct Controller {
    desk: Desk,
    start: u64,
    started: Duration,
    waiting: VecDeque<Event>,
    writing: Option<Effects>,
}

struct Link {
    agent: usize,
    id: String,
    wire: Connection,
    letters: Option<Orders>,
    /// The controller that it was opened to.
    start: u64,
    is_seen_gone: bool,
}

pub(crate) struct World {
    seed: u64,
    random: ChaCha8Rng,
    now: Duration,
    number: u64,
    plan: BTreeMap<u64, Next>,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    agents: Vec<Agent>,
    cuts: Vec<Cuts>,
    links: Vec<Link>,
    /// The agent that measures on each host: the kernel's lock.
    turns: Vec<Option<usize>>,
    disk: Disk,
    controller: Option<Controller>,
    starts: u64,
    /// The newest attempt of each shard.
    attempts: BTreeMap<u64, u64>,
    clock: WallClock,
    ending: Option<Ending>,
    tally: Tally,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // The last two share a machine.
        let agents =
            [(0, 0), (1, 0), (2, 1), (2, 0)].map(|(host, target)| Agent::new(host, target));
        let mut world = Self {
            seed,
            now: Duration::ZERO,
            number: 0,
            plan: BTreeMap::new(),
            queue: BinaryHeap::new(),
            cuts: (0..3).map(|_| Cuts::draw(&mut random)).collect(),
            links: Vec::new(),
            turns: vec![None; 3],
            disk: Disk::default(),
            controller: None,
            starts: 0,
            attempts: BTreeMap::new(),
            clock: WallClock::draw(&mut random, TROUBLE),
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
            let at = world.within(TROUBLE);
            let agent = world.random.random_range(0..world.agents.len());
            let next = match world.random.random_range(0..5) {
                0 => Next::KillController,
                1 | 2 => Next::KillAgent { agent },
                _ => Next::Reset { agent },
            };
            world.at(at, next);
        }
        world
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

    /// Plays the campaign to its end and checks what is on disk.
    pub(crate) fn play(mut self) -> Tally {
        while self.ending != Some(Ending::Complete) {
            let Some(Reverse((at, number))) = self.queue.pop() else {
                panic!("seed {}: nothing happens any more", self.seed);
            };
            assert!(at < END, "seed {}: the campaign doesn't end; {:?}", self.seed, self.tally);
            self.now = at;
            let Some(next) = self.plan.remove(&number) else { continue };
            self.tally.steps += 1;
            self.step(next);
        }
        self.check();
        self.tally.late = self.disk.late;
        self.tally
    }

    /// As many samples as planned, in the batches that were planned.
    fn check(&self) {
        let (row, _) = campaign();
        let mut planned = BTreeMap::new();
        for run in &row.plan.runs {
            let size = row.plan.cells[run.cell].batch_size;
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
            Next::Heard { connection, said } => self.hear(connection, *said),
            Next::Told { connection, message } => self.tell(connection, *message),
            Next::Gone { connection } => self.notice(connection),
            Next::Cut { connection } => self.cut(connection),
            Next::Beat { connection } => {
                if self.is_open(connection) {
                    self.say(connection, Said::Alive);
                    self.after(HEARTBEAT, Next::Beat { connection });
                }
            }
            Next::Batch { agent, process, attempt } => self.batch(agent, process, attempt),
            Next::KillAgent { agent } => self.kill_agent(agent),
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
        let (outbox, letters) = Outbox::pair();
        self.links.push(Link {
            agent: index,
            id,
            wire: Connection::new(host),
            letters: Some(letters),
            start: controller.start,
            is_seen_gone: false,
        });
        let connection = self.links.len() - 1;
        let facts = EngineFacts { model_sha256: Some("same".to_owned()), ..EngineFacts::default() };
        let joined = Joined {
            host: format!("host{host}").try_into().expect("it is a name"),
            target,
            facts: AgentFacts::default(),
            engines: vec![Ok(facts)],
            outbox,
        };
        self.say(connection, Said::Joined(Box::new(joined)));
        self.after(HEARTBEAT, Next::Beat { connection });
    }

    /// An agent sends something.
    fn say(&mut self, connection: usize, said: Said) {
        let link = &mut self.links[connection];
        let was_broken = link.wire.broken_at;
        let cuts = &self.cuts[link.wire.host];
        let arrival = link.wire.arrival(Way::ToController, self.now, cuts, &mut self.random);
        let broken = link.wire.broken_at.filter(|_| was_broken.is_none());
        if let Some(at) = arrival {
            self.at(at, Next::Heard { connection, said: Box::new(said) });
        }
        if let Some(at) = broken {
            self.break_connection(connection, at);
        }
    }

    /// Both sides notice, each in its own time.
    fn break_connection(&mut self, connection: usize, at: Duration) {
        self.links[connection].wire.break_at(at);
        self.tally.broken_connections += 1;
        let (soon, later) =
            (self.within(Duration::from_secs(1)), self.within(Duration::from_secs(40)));
        let (agent, controller) =
            if self.random.random_range(0..2) == 0 { (soon, later) } else { (later, soon) };
        self.at(at + agent, Next::Cut { connection });
        self.at(at + controller, Next::Gone { connection });
    }

    /// The agent notices that its connection is gone: it gives its shard up and dials again.
    fn cut(&mut self, connection: usize) {
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

    fn tell(&mut self, connection: usize, message: Message) {
        if !self.is_open(connection) {
            return;
        }
        let index = self.links[connection].agent;
        match message {
            Message::ShardOffer(offer) => {
                let (attempt, process) = (offer.attempt, self.agents[index].process);
                // A runner takes orders one after the other: what it was at is cancelled, and ends first.
                self.agents[index].work =
                    Some(Measuring { offer, through: 0, is_cancelled: false });
                self.next_batch(index, process, attempt);
            }
            Message::Ack(ack) => {
                let work = self.agents[index].work.as_ref();
                let Some(work) = work.filter(|work| work.offer.attempt == ack.attempt) else {
                    return;
                };
                let position = usize::try_from(ack.sequence).expect("it is small") - 1;
                let batch = work.offer.batches[position].index;
                assert!(
                    self.disk.batches.contains(&(ack.attempt, batch)),
                    "seed {}: acknowledged and not on disk",
                    self.seed
                );
            }
            Message::Cancel(cancel) => {
                let work = self.agents[index].work.as_mut();
                if let Some(work) = work.filter(|work| work.offer.attempt == cancel.attempt) {
                    work.is_cancelled = true;
                }
            }
            Message::Drain(_) | Message::Welcome(_) => {}
        }
    }

    fn next_batch(&mut self, agent: usize, process: u32, attempt: u64) {
        let time = Duration::from_millis(20) + self.within(Duration::from_secs(8));
        self.after(time, Next::Batch { agent, process, attempt });
    }

    fn batch(&mut self, index: usize, process: u32, attempt: u64) {
        let agent = &mut self.agents[index];
        let (host, id, is_connected) = (agent.host, agent.id(index), agent.is_connected);
        if agent.process != process || !agent.is_alive {
            return;
        }
        let Some(work) = agent.work.as_mut().filter(|work| work.offer.attempt == attempt) else {
            return;
        };
        // One shard at a time is measured on a machine.
        match self.turns[host] {
            Some(other) if other != index => return self.next_batch(index, process, attempt),
            _ => self.turns[host] = Some(index),
        }
        let shard = usize::try_from(work.offer.shard).expect("it is small");
        let connection = self.links.iter().rposition(|link| link.id == id).filter(|_| is_connected);
        let said = if work.is_cancelled {
            let detail = "the shard was taken back".to_owned();
            let failure = Failure { retry: Retry::OtherAgent, kind: Kind::Cancelled, detail };
            agent.work = None;
            self.turns[host] = None;
            Said::Failed { shard, attempt, failure }
        } else {
            work.through += 1;
            let (through, warmup) = (work.through, work.offer.warmup.len());
            if through <= warmup {
                return self.next_batch(index, process, attempt);
            }
            let batch = &work.offer.batches[through - warmup - 1];
            let sequence = (through - warmup) as u64;
            let (is_last, batch, samples) =
                (through - warmup == work.offer.batches.len(), batch.index, samples(batch));
            if let Some(connection) = connection {
                self.say(
                    connection,
                    Said::Samples { shard, attempt, sequence, batch, samples, window: None },
                );
            }
            if !is_last {
                return self.next_batch(index, process, attempt);
            }
            self.agents[index].work = None;
            self.turns[host] = None;
            Said::Finished { shard, attempt, segment: SegmentFacts::default() }
        };
        // What an attempt says whose connection broke goes nowhere.
        let is_its = connection.is_some_and(|connection| self.is_open(connection));
        if let Some(connection) = connection.filter(|_| is_its) {
            self.say(connection, said);
        }
    }

    fn kill_agent(&mut self, index: usize) {
        let id = self.agents[index].id(index);
        let agent = &mut self.agents[index];
        self.tally.dead_agents += 1;
        agent.work = None;
        agent.is_connected = false;
        agent.process += 1;
        agent.connection = 0;
        agent.pauses = 0;
        let (host, process) = (agent.host, agent.process);
        if self.turns[host] == Some(index) {
            self.turns[host] = None;
        }
        if let Some(connection) = self.links.iter().rposition(|link| link.id == id) {
            // What it had sent may still arrive.
            let pause = self.within(Duration::from_secs(2));
            self.after(pause, Next::Gone { connection });
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
        let desk = Desk::new(
            row,
            dialogues,
            &self.disk.start(),
            Limits::with_wait(Duration::from_mins(5)),
        );
        self.starts += 1;
        let start = self.starts;
        self.controller = Some(Controller {
            desk,
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
        // A write that was under way is there whole, or not at all; nobody hears of it.
        if let Some(effects) = controller.writing
            && self.random.random_range(0..2) == 0
        {
            self.disk.write(&effects.writes, self.seed);
        }
        for connection in 0..self.links.len() {
            if self.links[connection].letters.take().is_some() {
                let pause = self.within(Duration::from_secs(1));
                self.after(pause, Next::Cut { connection });
            }
        }
        let pause = self.within(Duration::from_secs(30));
        self.after(pause, Next::StartController);
    }

    fn hear(&mut self, connection: usize, said: Said) {
        let link = &self.links[connection];
        let agent = link.id.as_str().try_into().expect("it is a name");
        let is_broken = link.wire.broken_at.is_some_and(|at| at <= self.now);
        let is_open = link.letters.is_some() && !link.is_seen_gone && !is_broken;
        let start = link.start;
        let Some(controller) = self.controller.as_mut().filter(|c| c.start == start && is_open)
        else {
            return;
        };
        controller.waiting.push_back(Event { agent, said, room: Room::default() });
        self.decide(false);
    }

    fn notice(&mut self, connection: usize) {
        let link = &mut self.links[connection];
        if std::mem::replace(&mut link.is_seen_gone, true) || link.letters.is_none() {
            return;
        }
        link.letters = None;
        let (start, agent) = (link.start, link.id.as_str().try_into().expect("it is a name"));
        if let Some(controller) = self.controller.as_mut().filter(|c| c.start == start) {
            controller.waiting.push_back(Event { agent, said: Said::Gone, room: Room::default() });
            self.decide(false);
        }
    }

    fn tick(&mut self, start: u64) {
        if self.controller.as_ref().is_some_and(|controller| controller.start == start) {
            self.decide(true);
            self.after(HEARTBEAT, Next::Tick { start });
        }
    }

    /// Takes in what waits, unless a write is under way.
    fn decide(&mut self, is_tick: bool) {
        let Some(controller) = &mut self.controller else { return };
        if controller.writing.is_some() || (controller.waiting.is_empty() && !is_tick) {
            return;
        }
        let at = self.clock.now(self.now);
        let now = self.now.checked_sub(controller.started).expect("it started before now");
        let mut effects = Effects::default();
        while let Some(event) = controller.waiting.pop_front() {
            let taken = controller.desk.take(event, now, at, &mut effects);
            taken.expect("all agents have the same files");
        }
        if is_tick {
            controller.desk.tick(now, at, &mut effects);
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
        self.disk.write(&effects.writes, self.seed);
        for (outbox, letter) in effects.letters {
            letter.post(&outbox);
        }
        let told = |text: &str| {
            let lines = effects.lines.iter();
            lines.filter(|line| format!("{line:?}").contains(text)).count() as u64
        };
        self.tally.expired_leases += told("longer than its lease");
        self.tally.set_back += told("was set back from");
        for connection in 0..self.links.len() {
            self.deliver(connection);
        }
        match effects.ending {
            Some(Ending::Complete) => self.ending = Some(Ending::Complete),
            // A person looks at it and goes on.
            Some(_) => {
                self.tally.gone_on_with += 1;
                self.kill_controller();
            }
            None => self.decide(false),
        }
    }

    fn deliver(&mut self, connection: usize) {
        let Some(mut letters) = self.links[connection].letters.take() else { return };
        let mut is_refused = false;
        while let Some(letter) = letters.try_next() {
            let Ok(letter) = letter else {
                is_refused = true;
                break;
            };
            let Some(message) = letter.message else { continue };
            if let Message::ShardOffer(offer) = &message {
                let newest = self.attempts.insert(offer.shard, offer.attempt);
                assert!(newest < Some(offer.attempt), "seed {}: attempts only grow", self.seed);
            }
            let link = &mut self.links[connection];
            let cuts = &self.cuts[link.wire.host];
            let was_broken = link.wire.broken_at;
            let arrival = link.wire.arrival(Way::ToAgent, self.now, cuts, &mut self.random);
            let broken = link.wire.broken_at.filter(|_| was_broken.is_none());
            if let Some(at) = arrival {
                self.at(at, Next::Told { connection, message: Box::new(message) });
            }
            if let Some(at) = broken {
                self.break_connection(connection, at);
            }
        }
        if is_refused {
            let pause = self.within(Duration::from_secs(1));
            self.after(pause, Next::Cut { connection });
            self.notice_refused(connection);
        } else {
            self.links[connection].letters = Some(letters);
        }
    }

    /// Its stream was ended from this side: the controller hears its end as any other.
    fn notice_refused(&mut self, connection: usize) {
        let link = &mut self.links[connection];
        link.is_seen_gone = true;
        let (start, agent) = (link.start, link.id.as_str().try_into().expect("it is a name"));
        if let Some(controller) = self.controller.as_mut().filter(|c| c.start == start) {
            controller.waiting.push_back(Event { agent, said: Said::Gone, room: Room::default() });
        }
    }
}
