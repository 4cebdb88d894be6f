//! The invariants hold under any order of events.

use super::*;
use proptest::prelude::*;

mod joint;

fn id(name: &str) -> AgentId {
    name.try_into().unwrap()
}

fn limits() -> Limits {
    Limits::with_wait(Duration::from_mins(1))
}

fn work(run: usize, target: usize, batches: u32) -> Work {
    let deadline = ProgressDeadline { first: Duration::from_mins(5), next: Duration::from_mins(1) };
    Work {
        run,
        target,
        engine: 0,
        batches: (0..batches).collect(),
        is_held: false,
        is_together: false,
        windows: 0,
        deadline,
    }
}

fn scheduler(work: Vec<Work>, required: Vec<u32>) -> Scheduler {
    Scheduler::new(work, required, limits(), 0, BTreeMap::new())
}

fn ready(agent: &str, host: &str, target: usize) -> Event {
    let (agent, host) = (id(agent), host.try_into().unwrap());
    Event::Ready { agent, host, target, engines: vec![true] }
}

fn offers(actions: &[Action]) -> Vec<Offer> {
    let offer = |action: &Action| match action {
        Action::Offer(offer) => Some(offer.clone()),
        _ => None,
    };
    actions.iter().filter_map(offer).collect()
}

fn ending(actions: &[Action]) -> Option<Ending> {
    actions.iter().find_map(|action| match action {
        Action::End(ending) => Some(*ending),
        _ => None,
    })
}

/// Measures a whole shard.
fn complete(scheduler: &mut Scheduler, offer: &Offer) -> Vec<Action> {
    let (shard, attempt) = (offer.shard, offer.attempt);
    for &batch in &offer.batches {
        scheduler.handle(Event::Stored { shard, attempt, batch }, Duration::ZERO);
    }
    scheduler.handle(Event::Finished { shard, attempt }, Duration::ZERO)
}

#[test]
fn nothing_starts_before_every_required_agent_joined() {
    let mut scheduler = scheduler(vec![work(0, 0, 2), work(1, 1, 2)], vec![1, 1]);
    assert!(offers(&scheduler.handle(ready("a", "h1", 0), Duration::ZERO)).is_empty());
    assert_eq!(scheduler.missing(), [(1, 1)]);
    let actions = scheduler.handle(ready("b", "h2", 1), Duration::ZERO);
    assert_eq!(offers(&actions).len(), 2);
}

#[test]
fn two_agents_of_one_host_take_turns() {
    let mut scheduler = scheduler(vec![work(0, 0, 1), work(1, 1, 1)], vec![1, 1]);
    scheduler.handle(ready("a", "h", 0), Duration::ZERO);
    let first = offers(&scheduler.handle(ready("b", "h", 1), Duration::ZERO));
    assert_eq!(first.len(), 1);
    let second = offers(&complete(&mut scheduler, &first[0]));
    assert_eq!((first[0].shard, second[0].shard), (0, 1));
    assert_eq!(ending(&complete(&mut scheduler, &second[0])), Some(Ending::Complete));
}

#[test]
fn a_continued_run_keeps_its_segment_and_another_run_starts_a_new_one() {
    let mut scheduler = scheduler(vec![work(0, 0, 1), work(0, 0, 1), work(1, 0, 1)], vec![1]);
    let first = offers(&scheduler.handle(ready("a", "h", 0), Duration::ZERO));
    let second = offers(&complete(&mut scheduler, &first[0]));
    let third = offers(&complete(&mut scheduler, &second[0]));
    let segments = [&first[0], &second[0], &third[0]].map(|o| (o.segment, o.is_new_segment));
    assert_eq!(segments, [(1, true), (1, false), (1, true)]);
}

#[test]
fn a_run_that_is_held_back_waits_until_it_is_admitted_or_skipped() {
    let held = |run| Work { is_held: true, ..work(run, 0, 1) };
    let mut scheduler = scheduler(vec![work(0, 0, 1), held(1), held(2)], vec![1]);
    let first = offers(&scheduler.handle(ready("a", "h", 0), Duration::ZERO));
    assert!(!scheduler.is_over(0));
    let actions = complete(&mut scheduler, &first[0]);
    let over = |shard, run| [Action::ShardEnded(shard), Action::RunEnded(run)];
    assert_eq!(actions, over(0, 0), "what is held back is neither offered nor the end");
    assert!(scheduler.is_over(0) && !scheduler.is_over(1));
    let second = offers(&scheduler.handle(Event::Admit { run: 1 }, Duration::ZERO));
    assert_eq!(second[0].shard, 1);
    assert_eq!(complete(&mut scheduler, &second[0]), over(1, 1));
    let actions = scheduler.handle(Event::Skip { run: 2 }, Duration::ZERO);
    assert_eq!(ending(&actions), Some(Ending::Complete), "what was not needed is not missing");
}

#[test]
fn a_run_ends_with_its_last_shard() {
    let mut scheduler = scheduler(vec![work(0, 0, 1), work(0, 0, 1), work(1, 0, 1)], vec![1]);
    let first = offers(&scheduler.handle(ready("a", "h", 0), Duration::ZERO));
    let actions = complete(&mut scheduler, &first[0]);
    assert!(!actions.contains(&Action::RunEnded(0)), "{actions:?}");
    let actions = complete(&mut scheduler, &offers(&actions)[0]);
    assert!(actions.contains(&Action::RunEnded(0)), "{actions:?}");
}

#[test]
fn a_spent_budget_revokes_leases() {
    let mut scheduler = scheduler(vec![work(0, 0, 1)], vec![1]);
    scheduler.handle(ready("a", "h", 0), Duration::ZERO);
    let actions = scheduler.handle(Event::Spent, Duration::ZERO);
    assert!(matches!(&actions[0], Action::Cancel { reason: "the budget is spent", .. }));
    assert_eq!(ending(&actions), Some(Ending::BudgetSpent));
}

#[test]
fn batches_stored_before_a_loss_are_kept() {
    let mut scheduler = scheduler(vec![work(0, 0, 3)], vec![1]);
    let first = offers(&scheduler.handle(ready("a", "h", 0), Duration::ZERO));
    scheduler.handle(Event::Stored { shard: 0, attempt: 1, batch: 0 }, Duration::ZERO);
    scheduler.handle(Event::Gone { agent: id("a") }, Duration::ZERO);
    let second = offers(&scheduler.handle(ready("b", "h", 0), Duration::ZERO));
    assert_eq!(first[0].batches, [0, 1, 2]);
    assert_eq!(second[0].batches, [1, 2]);
    assert!(second[0].attempt > first[0].attempt);
    assert_eq!((second[0].segment, second[0].is_new_segment), (2, true));
    assert!(
        !scheduler.expects(&id("a"), 0, first[0].attempt, 1),
        "a batch of a lost attempt is late"
    );
}

#[test]
fn a_shard_whose_last_batch_is_stored_is_done_however_its_attempt_ends() {
    let lost = |_: &Offer| Event::Gone { agent: id("a") };
    let failed = |offer: &Offer| Event::Failed {
        shard: offer.shard,
        attempt: offer.attempt,
        failure: Failure { retry: Retry::Never, kind: Kind::Model, detail: String::new() },
    };
    let cancelled = |offer: &Offer| Event::Failed {
        shard: offer.shard,
        attempt: offer.attempt,
        failure: Failure { retry: Retry::OtherAgent, kind: Kind::Cancelled, detail: String::new() },
    };
    let ends: [&dyn Fn(&Offer) -> Event; 3] = [&lost, &failed, &cancelled];
    for end in ends {
        let mut scheduler = scheduler(vec![work(0, 0, 1)], vec![1]);
        let offer = offers(&scheduler.handle(ready("a", "h", 0), Duration::ZERO)).remove(0);
        let stored = Event::Stored { shard: 0, attempt: offer.attempt, batch: 0 };
        scheduler.handle(stored, Duration::ZERO);
        let actions = scheduler.handle(end(&offer), Duration::ZERO);
        assert!(actions.contains(&Action::RunEnded(0)), "{actions:?}");
        assert_eq!(ending(&actions), Some(Ending::Complete), "{actions:?}");
    }
}

#[test]
fn a_silent_agent_loses_its_shard_when_the_lease_expires() {
    let mut scheduler = scheduler(vec![work(0, 0, 1)], vec![1]);
    scheduler.handle(ready("a", "h", 0), Duration::ZERO);
    scheduler.handle(Event::Alive { agent: id("a") }, Duration::from_secs(10));
    assert!(scheduler.handle(Event::Tick, Duration::from_secs(25)).is_empty());
    let actions = scheduler.handle(Event::Tick, Duration::from_secs(26));
    assert!(matches!(&actions[0], Action::Note(Note::AgentLost { .. })), "{actions:?}");
}

#[test]
fn a_shard_that_killed_three_agents_is_set_aside() {
    let mut scheduler = scheduler(vec![work(0, 0, 1), work(1, 0, 1)], vec![1]);
    let mut last = Vec::new();
    for name in ["a", "b", "c"] {
        let offer = offers(&scheduler.handle(ready(name, "h", 0), Duration::ZERO)).remove(0);
        assert_eq!(offer.shard, 0);
        last = scheduler.handle(Event::Gone { agent: id(name) }, Duration::ZERO);
    }
    assert!(matches!(&last[1], Action::Note(Note::ShardSetAside { shard: 0, .. })), "{last:?}");
    let next = offers(&scheduler.handle(ready("d", "h", 0), Duration::ZERO)).remove(0);
    assert_eq!(next.shard, 1);
    assert_eq!(ending(&complete(&mut scheduler, &next)), Some(Ending::SetAside));
}

#[test]
fn a_shard_that_makes_progress_is_not_set_aside() {
    let mut scheduler = scheduler(vec![work(0, 0, 9)], vec![1]);
    for (name, batch) in ["a", "b", "c", "d", "e"].into_iter().zip(0..) {
        let offer = offers(&scheduler.handle(ready(name, "h", 0), Duration::ZERO)).remove(0);
        scheduler.handle(Event::Stored { shard: 0, attempt: offer.attempt, batch }, Duration::ZERO);
        let actions = scheduler.handle(Event::Gone { agent: id(name) }, Duration::ZERO);
        assert!(matches!(&actions[..], [Action::Note(Note::AgentLost { .. })]), "{actions:?}");
    }
}

#[test]
fn a_process_that_reconnects_was_not_killed_by_its_shard() {
    let mut scheduler = scheduler(vec![work(0, 0, 9)], vec![1]);
    for connection in 1..=5 {
        let name = format!("a.{connection}");
        assert_eq!(offers(&scheduler.handle(ready(&name, "h", 0), Duration::ZERO)).len(), 1);
        let actions = scheduler.handle(Event::Gone { agent: id(&name) }, Duration::ZERO);
        assert!(matches!(&actions[..], [Action::Note(Note::AgentLost { .. })]), "{actions:?}");
    }
}

#[test]
fn a_shard_that_always_breaks_connections_is_eventually_set_aside() {
    let mut scheduler = scheduler(vec![work(0, 0, 9)], vec![1]);
    let mut notes = Vec::new();
    for connection in 1..=9 {
        let name = format!("a.{connection}");
        scheduler.handle(ready(&name, "h", 0), Duration::ZERO);
        notes.extend(scheduler.handle(Event::Gone { agent: id(&name) }, Duration::ZERO));
    }
    assert_eq!(ending(&notes), Some(Ending::SetAside));
}

#[test]
fn a_stalled_controller_revokes_no_lease() {
    let mut scheduler = scheduler(vec![work(0, 0, 1)], vec![1]);
    scheduler.handle(ready("a", "h", 0), Duration::ZERO);
    scheduler.handle(Event::Tick, Duration::from_secs(1));
    assert!(scheduler.handle(Event::Tick, Duration::from_mins(2)).is_empty());
    assert!(scheduler.handle(Event::Tick, Duration::from_secs(121)).is_empty());
    // The agent's own silence still counts.
    for second in 122..134 {
        assert!(scheduler.handle(Event::Tick, Duration::from_secs(second)).is_empty());
    }
    let lost = (134..140).flat_map(|s| scheduler.handle(Event::Tick, Duration::from_secs(s)));
    assert!(lost.into_iter().any(|action| matches!(action, Action::Cancel { .. })));
}

#[test]
fn a_target_with_nothing_left_requires_no_agents() {
    let mut scheduler = scheduler(vec![work(0, 0, 0), work(1, 1, 1)], vec![3, 1]);
    assert_eq!(scheduler.missing(), [(1, 1)]);
    assert_eq!(offers(&scheduler.handle(ready("b", "h", 1), Duration::ZERO)).len(), 1);
}

#[test]
fn a_failed_shard_for_another_agent_is_not_offered_to_the_same_one() {
    let mut scheduler = scheduler(vec![work(0, 0, 1)], vec![1]);
    let offer = offers(&scheduler.handle(ready("a", "h1", 0), Duration::ZERO)).remove(0);
    let failure =
        Failure { retry: Retry::OtherAgent, kind: Kind::OutOfMemory, detail: String::new() };
    let failed = Event::Failed { shard: 0, attempt: offer.attempt, failure };
    assert!(offers(&scheduler.handle(failed, Duration::ZERO)).is_empty());
    let next = offers(&scheduler.handle(ready("b", "h2", 0), Duration::ZERO)).remove(0);
    assert_eq!(next.agent, id("b"));
}

#[test]
fn a_campaign_whose_agents_are_gone_ends_after_its_wait() {
    let mut scheduler = scheduler(vec![work(0, 0, 1)], vec![1]);
    scheduler.handle(ready("a", "h", 0), Duration::ZERO);
    scheduler.handle(Event::Gone { agent: id("a") }, Duration::from_secs(1));
    assert_eq!(ending(&scheduler.handle(Event::Tick, Duration::from_mins(1))), None);
    let actions = scheduler.handle(Event::Tick, Duration::from_secs(61));
    assert_eq!(ending(&actions), Some(Ending::AgentsGone));
}

#[test]
fn a_campaign_whose_agents_never_join_ends_as_never_started() {
    let mut scheduler = scheduler(vec![work(0, 0, 1)], vec![2]);
    scheduler.handle(ready("a", "h", 0), Duration::ZERO);
    assert_eq!(ending(&scheduler.handle(Event::Tick, Duration::from_secs(59))), None);
    let actions = scheduler.handle(Event::Tick, Duration::from_mins(1));
    assert_eq!(ending(&actions), Some(Ending::NeverStarted));
}

#[test]
fn an_agent_that_downloads_its_model_extends_the_wait() {
    let mut scheduler = scheduler(vec![work(0, 0, 1)], vec![1]);
    scheduler.handle(Event::Tick, Duration::ZERO);
    scheduler.handle(Event::Preparing, Duration::from_secs(59));
    assert_eq!(ending(&scheduler.handle(Event::Tick, Duration::from_secs(118))), None);
    let actions = scheduler.handle(Event::Tick, Duration::from_secs(119));
    assert_eq!(ending(&actions), Some(Ending::NeverStarted), "it has been silent since");
}

#[test]
fn a_stop_revokes_every_lease() {
    let mut scheduler = scheduler(vec![work(0, 0, 1)], vec![1]);
    scheduler.handle(ready("a", "h", 0), Duration::ZERO);
    let actions = scheduler.handle(Event::Stop, Duration::ZERO);
    assert!(matches!(actions[0], Action::Cancel { shard: 0, .. }));
    assert_eq!(ending(&actions), Some(Ending::Stopped));
}

/// A step of a random campaign. Numbers choose among the agents and offers that exist at that moment.
#[derive(Debug, Clone)]
enum Step {
    Join(u8),
    Prepare,
    Leave(u8),
    Drain(u8),
    Store(u8),
    Finish(u8),
    Reach(u8, Stage),
    Fail(u8, Retry),
    Replay(u8),
    Wait(u8),
    /// Agents send heartbeats for so many seconds, and nothing else.
    Compute(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let retry = prop_oneof![Just(Retry::SameAgent), Just(Retry::OtherAgent), Just(Retry::Never)];
    let stage = prop_oneof![Just(Stage::Queued), Just(Stage::MachineHeld), Just(Stage::Warmed)];
    prop_oneof![
        3 => any::<u8>().prop_map(Step::Join),
        1 => Just(Step::Prepare),
        2 => any::<u8>().prop_map(Step::Leave),
        1 => any::<u8>().prop_map(Step::Drain),
        9 => any::<u8>().prop_map(Step::Store),
        6 => any::<u8>().prop_map(Step::Finish),
        6 => (any::<u8>(), stage).prop_map(|(n, stage)| Step::Reach(n, stage)),
        1 => (any::<u8>(), retry).prop_map(|(n, retry)| Step::Fail(n, retry)),
        2 => any::<u8>().prop_map(Step::Replay),
        1 => (0_u8..4).prop_map(Step::Wait),
        1 => (1_u16..400).prop_map(Step::Compute),
    ]
}

/// An independent record of leases, counted batches and endings.
#[derive(Default)]
struct Observer {
    held: Vec<Offer>,
    past: Vec<Offer>,
    hosts: BTreeMap<AgentId, String>,
    counted: BTreeMap<(usize, u32), u32>,
    ended: BTreeMap<usize, u32>,
    over: BTreeSet<usize>,
    ending: Option<Ending>,
    started: BTreeSet<u64>,
}

impl Observer {
    fn see(&mut self, scheduler: &Scheduler, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Offer(offer) => {
                    let host = &self.hosts[&offer.agent];
                    self.held.retain(|held| scheduler.is_current(held.shard, held.attempt));
                    let is_busy = self.held.iter().any(|held| self.hosts[&held.agent] == *host);
                    assert!(!is_busy, "two shards on one host");
                    let newest = self.past.iter().map(|past| past.attempt).max().unwrap_or(0);
                    assert!(offer.attempt > newest, "attempts only grow");
                    assert!(!offer.batches.is_empty(), "an offer without batches");
                    for batch in &offer.batches {
                        assert!(
                            !self.counted.contains_key(&(offer.shard, *batch)),
                            "a stored batch is offered again"
                        );
                    }
                    self.past.push(offer.clone());
                    self.held.push(offer);
                }
                Action::ShardEnded(shard) => *self.ended.entry(shard).or_default() += 1,
                Action::End(ending) => {
                    assert!(self.ending.replace(ending).is_none(), "ended twice");
                }
                Action::RunEnded(run) => {
                    assert!(self.over.insert(run), "a run ended twice");
                    assert!(scheduler.is_over(run));
                }
                Action::Start { attempt, .. } => {
                    assert!(self.started.insert(attempt), "started twice");
                }
                Action::Cancel { .. } | Action::Note(_) => {}
            }
        }
        self.held.retain(|held| scheduler.is_current(held.shard, held.attempt));
        for held in self.held.iter().filter(|held| held.joint.is_some()) {
            let is_held = |shard: &usize| {
                let is_deferred = scheduler.deferred.contains(shard);
                is_deferred || self.held.iter().any(|held| held.shard == *shard)
            };
            let mut open =
                scheduler.of_run(held.shard).filter(|shard| !scheduler.shards[*shard].is_over());
            assert!(open.all(|shard| is_held(&shard)), "a part of a load");
        }
    }
}

/// An agent that is idle although it could measure a waiting shard.
fn needlessly_idle(scheduler: &Scheduler) -> Option<AgentId> {
    if scheduler.phase != Phase::Measuring {
        return None;
    }
    let idles = |(id, agent): &(&AgentId, &Agent)| {
        let could = |shard: &Shard| {
            shard.status == Status::Waiting
                && !shard.work.is_together
                && shard.work.target == agent.target
                && agent.engines[shard.work.engine]
                && !shard.excluded.contains(id.process())
        };
        !agent.is_leaving
            && agent.lease.is_none()
            && !scheduler.hosts[&agent.host].is_busy
            && scheduler.shards.iter().any(could)
    };
    let mut waiting = scheduler.waiting.iter().flatten();
    let starts = |shard: &usize| scheduler.agents_together(*shard);
    let joint = |shard: &&usize| scheduler.shards[**shard].work.is_together;
    let pairs = waiting.find(joint).and_then(starts);
    let idle = scheduler.agents.iter().find(idles).map(|(id, _)| id.clone());
    idle.or_else(|| pairs.map(|pairs| pairs[0].1.clone()))
}

fn pick<T: Clone>(from: &[T], number: u8) -> Option<T> {
    from.get(usize::from(number) % from.len().max(1)).cloned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_shard_ends_exactly_once(steps in prop::collection::vec(step(), 1..300)) {
        // The runs of target 0 have two shards that are measured together.
        let work = |index: usize| {
            let target = index / 2 % 2;
            Work { is_together: target == 0, ..work(index / 2, target, 3) }
        };
        let plan: Vec<Work> = (0..8).map(work).collect();
        let mut scheduler = scheduler(plan.clone(), vec![1, 1]);
        let mut observer = Observer::default();
        let mut now = Duration::ZERO;
        let mut joined = 0_u32;
        for step in steps {
            let agents: Vec<AgentId> = scheduler.agents.keys().cloned().collect();
            let event = match step {
                Step::Join(number) => {
                    joined += 1;
                    let (name, host) = (format!("a{joined}"), format!("h{}", number % 3));
                    observer.hosts.insert(id(&name), host.clone());
                    Some(ready(&name, &host, usize::from(number) % 2))
                }
                Step::Prepare => Some(Event::Preparing),
                Step::Leave(number) => pick(&agents, number).map(|agent| Event::Gone { agent }),
                Step::Drain(number) => pick(&agents, number).map(|agent| Event::Leaving { agent }),
                Step::Store(number) | Step::Replay(number) => {
                    let from = if matches!(step, Step::Store(_)) { &observer.held } else { &observer.past };
                    pick(from, number).and_then(|offer| {
                        let batch = pick(&offer.batches, number / 8)?;
                        if scheduler.expects(&offer.agent, offer.shard, offer.attempt, batch) {
                            *observer.counted.entry((offer.shard, batch)).or_default() += 1;
                        }
                        Some(Event::Stored { shard: offer.shard, attempt: offer.attempt, batch })
                    })
                }
                Step::Finish(number) => pick(&observer.held, number)
                    .map(|offer| Event::Finished { shard: offer.shard, attempt: offer.attempt }),
                Step::Reach(number, stage) => pick(&observer.held, number).map(|offer| {
                    Event::Reached { shard: offer.shard, attempt: offer.attempt, stage }
                }),
                Step::Fail(number, retry) => pick(&observer.held, number).map(|offer| {
                    let failure = Failure { retry, kind: Kind::Model, detail: String::new() };
                    Event::Failed { shard: offer.shard, attempt: offer.attempt, failure }
                }),
                Step::Wait(seconds) => {
                    now += Duration::from_secs(u64::from(seconds));
                    Some(Event::Tick)
                }
                Step::Compute(seconds) => {
                    for _ in 1..seconds {
                        now += Duration::from_secs(1);
                        for agent in &agents {
                            scheduler.handle(Event::Alive { agent: agent.clone() }, now);
                        }
                        let actions = scheduler.handle(Event::Tick, now);
                        observer.see(&scheduler, actions);
                    }
                    Some(Event::Tick)
                }
            };
            let Some(event) = event else { continue };
            let actions = scheduler.handle(event, now);
            observer.see(&scheduler, actions);
            prop_assert_eq!(needlessly_idle(&scheduler), None, "an agent is idle while a shard waits");
            let over: BTreeSet<usize> = (0..plan.len()).filter(|index| scheduler.shards[*index].is_over()).collect();
            prop_assert_eq!(observer.ended.keys().copied().collect::<BTreeSet<_>>(), over);
            if observer.ending.is_some() { break; }
        }
        prop_assert!(observer.counted.values().all(|times| *times == 1), "counted twice");
        prop_assert!(observer.ended.values().all(|times| *times == 1), "ended twice");
        if observer.ending == Some(Ending::Complete) {
            let all: usize = plan.iter().map(|work| work.batches.len()).sum();
            prop_assert_eq!(observer.counted.len(), all);
        }
    }
}

/// Time passes while all agents send heartbeats. Returns what happened.
fn wait_until(scheduler: &mut Scheduler, agents: &[&str], from: u64, to: u64) -> Vec<Action> {
    let mut actions = Vec::new();
    for now in from..=to {
        for agent in agents {
            scheduler.handle(Event::Alive { agent: id(agent) }, Duration::from_secs(now));
        }
        actions.extend(scheduler.handle(Event::Tick, Duration::from_secs(now)));
    }
    actions
}

#[test]
fn an_agent_without_progress_loses_its_shard_to_another_and_is_named() {
    let mut scheduler = scheduler(vec![work(0, 0, 3)], vec![2]);
    scheduler.handle(ready("a", "h1", 0), Duration::ZERO);
    let offer = offers(&scheduler.handle(ready("b", "h2", 0), Duration::ZERO)).remove(0);
    let (shard, attempt) = (offer.shard, offer.attempt);
    assert!(offers(&wait_until(&mut scheduler, &["a", "b"], 1, 299)).is_empty());
    scheduler.handle(Event::Stored { shard, attempt, batch: 0 }, Duration::from_secs(299));
    // The first batch took 299 s, so the next may take ten times that.
    assert!(offers(&wait_until(&mut scheduler, &["a", "b"], 300, 299 + 2990)).is_empty());
    let actions = scheduler.handle(Event::Tick, Duration::from_secs(299 + 2991));
    assert!(actions.contains(&Action::Cancel {
        agent: offer.agent.clone(),
        shard,
        attempt,
        reason: "it made no progress"
    }));
    let other = offers(&actions);
    assert_eq!((&other[0].batches, other.len()), (&vec![1, 2], 1));
    assert_ne!(other[0].agent, offer.agent);
    let failure = actions.iter().find_map(|action| match action {
        Action::Note(Note::AttemptFailed { failure, .. }) => Some(failure.to_string()),
        _ => None,
    });
    let failure = failure.unwrap();
    assert!(failure.starts_with("timed_out: agent a delivered no batch for 2991 s"), "{failure}");
}

#[test]
fn an_agent_that_waits_for_its_machine_keeps_its_shard_for_a_day() {
    let mut scheduler = scheduler(vec![work(0, 0, 1)], vec![1]);
    let offer = offers(&scheduler.handle(ready("a", "h", 0), Duration::ZERO)).remove(0);
    let (shard, attempt, stage) = (offer.shard, offer.attempt, Stage::Queued);
    let mut notes = Vec::new();
    for now in (0..25 * 3600).step_by(4).map(Duration::from_secs) {
        let actions = [
            scheduler.handle(Event::Reached { shard, attempt, stage }, now),
            scheduler.handle(Event::Alive { agent: offer.agent.clone() }, now),
            scheduler.handle(Event::Tick, now),
        ];
        let note = |action: Action| match action {
            Action::Note(note) => Some((now.as_secs() / 60, note)),
            _ => None,
        };
        notes.extend(actions.concat().into_iter().filter_map(note));
    }
    let [(1, Note::AgentQueued { agent }), (1445, Note::AttemptFailed { failure, .. })] =
        &notes[..]
    else {
        panic!("{notes:?}")
    };
    assert_eq!(agent, &offer.agent);
    let expected =
        "timed_out: agent a waited a day for another process that measures on its machine";
    assert_eq!(failure.to_string(), expected);
}

#[test]
fn a_stalled_agent_gets_work_again_once_its_attempt_ended() {
    let mut scheduler = scheduler(vec![work(0, 0, 1), work(1, 0, 1)], vec![1]);
    let first = offers(&scheduler.handle(ready("a", "h", 0), Duration::ZERO)).remove(0);
    // A second agent of the machine gets nothing either: the first may still be computing.
    assert!(offers(&wait_until(&mut scheduler, &["a"], 1, 301)).is_empty());
    scheduler.handle(ready("b", "h", 0), Duration::from_secs(301));
    assert!(offers(&wait_until(&mut scheduler, &["a", "b"], 302, 310)).is_empty());
    let failure = Failure { retry: Retry::SameAgent, kind: Kind::Cancelled, detail: String::new() };
    let ended = Event::Failed { shard: first.shard, attempt: first.attempt, failure };
    let next = offers(&scheduler.handle(ended, Duration::from_secs(311)));
    // Its own shard is left to the other agent.
    let is_retried = |offer: &Offer| offer.shard == first.shard && offer.agent != first.agent;
    assert!(next.len() == 1 && (is_retried(&next[0]) || next[0].shard == 1), "{next:?}");
}

#[test]
fn a_campaign_whose_only_agent_hangs_ends() {
    let mut scheduler = scheduler(vec![work(0, 0, 1)], vec![1]);
    scheduler.handle(ready("a", "h", 0), Duration::ZERO);
    let actions = wait_until(&mut scheduler, &["a"], 1, 400);
    assert_eq!(ending(&actions), Some(Ending::AgentsGone));
}

#[test]
fn a_stored_shard_is_done_even_if_its_agent_never_says_so() {
    let mut scheduler = scheduler(vec![work(0, 0, 1)], vec![1]);
    let offer = offers(&scheduler.handle(ready("a", "h", 0), Duration::ZERO)).remove(0);
    let (shard, attempt) = (offer.shard, offer.attempt);
    scheduler.handle(Event::Stored { shard, attempt, batch: 0 }, Duration::ZERO);
    assert_eq!(ending(&wait_until(&mut scheduler, &["a"], 1, 61)), Some(Ending::Complete));
}

#[test]
fn a_run_that_is_cut_short_is_over_and_its_agent_waits_for_the_end_of_the_attempt() {
    let held = Work { is_held: true, ..work(1, 0, 1) };
    let mut scheduler = scheduler(vec![work(0, 0, 3), held], vec![1]);
    let offer = offers(&scheduler.handle(ready("a", "h1", 0), Duration::ZERO)).remove(0);
    let (shard, attempt) = (offer.shard, offer.attempt);
    scheduler.handle(Event::Stored { shard, attempt, batch: 0 }, Duration::ZERO);
    assert_eq!(scheduler.batches_left(0), 2);
    let actions = scheduler.handle(Event::CutShort { run: 0 }, Duration::ZERO);
    let is_cancelled =
        |action: &Action| matches!(action, Action::Cancel { attempt: one, .. } if *one == attempt);
    assert!(actions.iter().any(is_cancelled), "{actions:?}");
    assert!(actions.contains(&Action::RunEnded(0)) && scheduler.is_over(0));
    // Batches that were under way are late.
    assert!(!scheduler.is_current(shard, attempt) && scheduler.batches_left(0) == 0);
    // The machine may still be busy: nothing else is measured there until the agent reports the end.
    assert!(offers(&scheduler.handle(Event::Admit { run: 1 }, Duration::ZERO)).is_empty());
    let failure =
        Failure { retry: Retry::OtherAgent, kind: Kind::Cancelled, detail: String::new() };
    let next = offers(&scheduler.handle(Event::Failed { shard, attempt, failure }, Duration::ZERO));
    assert_eq!(next.iter().map(|offer| offer.shard).collect::<Vec<_>>(), [1]);
    assert_eq!(ending(&complete(&mut scheduler, &next[0])), Some(Ending::Complete));
}
