//! Agents that load one endpoint together.

use super::*;

fn joint(run: usize, batches: u32) -> Work {
    Work { is_together: true, ..work(run, 0, batches) }
}

fn starts(actions: &[Action]) -> Vec<usize> {
    let start = |action: &Action| match action {
        Action::Start { shard, .. } => Some(*shard),
        _ => None,
    };
    actions.iter().filter_map(start).collect()
}

fn cancelled(actions: &[Action]) -> Vec<usize> {
    let cancel = |action: &Action| match action {
        Action::Cancel { shard, .. } => Some(*shard),
        _ => None,
    };
    actions.iter().filter_map(cancel).collect()
}

fn reach(scheduler: &mut Scheduler, offer: &Offer, stage: Stage) -> Vec<Action> {
    let (shard, attempt) = (offer.shard, offer.attempt);
    scheduler.handle(Event::Reached { shard, attempt, stage }, Duration::ZERO)
}

fn warm(scheduler: &mut Scheduler, offer: &Offer) -> Vec<Action> {
    reach(scheduler, offer, Stage::Warmed)
}

/// The offers of a run, whose agents get their machines at once.
fn all_offers(scheduler: &mut Scheduler, actions: &[Action]) -> Vec<Offer> {
    let mut all = offers(actions);
    let mut next = 0;
    while let Some(offer) = all.get(next).cloned() {
        all.extend(offers(&reach(scheduler, &offer, Stage::MachineHeld)));
        next += 1;
    }
    all
}

/// A run of two shards on two hosts.
fn two() -> (Scheduler, Vec<Offer>) {
    let mut scheduler = scheduler(vec![joint(0, 3), joint(0, 4)], vec![2]);
    assert!(offers(&scheduler.handle(ready("a", "h1", 0), Duration::ZERO)).is_empty());
    let actions = scheduler.handle(ready("b", "h2", 0), Duration::ZERO);
    let offers = all_offers(&mut scheduler, &actions);
    assert_eq!(offers.len(), 2);
    (scheduler, offers)
}

#[test]
fn agents_are_offered_their_attempts_in_the_order_of_their_hosts() {
    let mut scheduler = scheduler(vec![joint(0, 1), joint(0, 1), joint(0, 1)], vec![3]);
    for (agent, host) in [("a", "h3"), ("b", "h1")] {
        assert!(offers(&scheduler.handle(ready(agent, host, 0), Duration::ZERO)).is_empty());
    }
    let mut actions = scheduler.handle(ready("c", "h2", 0), Duration::ZERO);
    for agent in ["b", "c", "a"] {
        let [offer] = &offers(&actions)[..] else { panic!("one offer: {actions:?}") };
        assert_eq!(offer.agent, id(agent));
        // Waiting for a machine passes nothing on, and takes any time.
        let (shard, attempt, stage) = (offer.shard, offer.attempt, Stage::Queued);
        let queued = Event::Reached { shard, attempt, stage };
        assert_eq!(scheduler.handle(queued, Duration::from_secs(299)), []);
        actions = reach(&mut scheduler, offer, Stage::MachineHeld);
    }
    assert_eq!(actions, []);
}

#[test]
fn an_attempt_that_was_never_offered_leaves_its_agent_free() {
    let mut scheduler = scheduler(vec![joint(0, 1), joint(0, 1)], vec![2]);
    scheduler.handle(ready("a", "h1", 0), Duration::ZERO);
    let first = offers(&scheduler.handle(ready("b", "h2", 0), Duration::ZERO));
    assert_eq!(first.iter().map(|offer| &offer.agent).collect::<Vec<_>>(), [&id("a")]);
    let actions = scheduler.handle(Event::Gone { agent: id("a") }, Duration::ZERO);
    assert_eq!(cancelled(&actions), [0; 0]);
    let second = offers(&scheduler.handle(ready("c", "h0", 0), Duration::ZERO));
    assert_eq!(second.iter().map(|offer| &offer.agent).collect::<Vec<_>>(), [&id("c")]);
    let third = offers(&reach(&mut scheduler, &second[0], Stage::MachineHeld));
    assert_eq!(third.iter().map(|offer| &offer.agent).collect::<Vec<_>>(), [&id("b")]);
}

/// A campaign with the attempts that its agents know of and have not ended.
struct Sharing {
    scheduler: Scheduler,
    hosts: BTreeMap<AgentId, usize>,
    open: Vec<Offer>,
    started: BTreeSet<u64>,
    has_ended: bool,
}

impl Sharing {
    fn see(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Offer(offer) => self.open.push(offer),
                Action::Start { attempt, .. } => {
                    self.started.insert(attempt);
                }
                Action::End(ending) => {
                    assert_eq!(ending, Ending::Complete);
                    self.has_ended = true;
                }
                _ => {}
            }
        }
    }

    /// The agent of the attempt goes on as far as it can. Returns whether anything changed.
    fn step(&mut self, number: usize, machines: &mut [Option<u8>], campaign: u8) -> bool {
        let Some(offer) = self.open.get(number % self.open.len().max(1)).cloned() else {
            return false;
        };
        let machine = &mut machines[self.hosts[&offer.agent]];
        if machine.is_none() {
            *machine = Some(campaign);
            let actions = reach(&mut self.scheduler, &offer, Stage::MachineHeld);
            self.see(actions);
            let actions = warm(&mut self.scheduler, &offer);
            self.see(actions);
            return true;
        }
        if *machine == Some(campaign) && self.started.contains(&offer.attempt) {
            *machine = None;
            self.open.retain(|open| open.attempt != offer.attempt);
            let actions = complete(&mut self.scheduler, &offer);
            self.see(actions);
            return true;
        }
        false
    }
}

proptest! {
    /// Whichever agent moves next, and however the agents' names order the hosts.
    #[test]
    fn campaigns_that_share_machines_never_wait_for_each_other(
        hosts in prop::collection::vec(Just((0..3_usize).collect::<Vec<_>>()).prop_shuffle(), 2..4),
        moves in prop::collection::vec(any::<(u8, u8)>(), 0..60),
    ) {
        let mut machines = [None; 3];
        let mut campaigns: Vec<Sharing> = hosts
            .iter()
            .map(|order| {
                let plan = (0..2).flat_map(|run| [joint(run, 1), joint(run, 1), joint(run, 1)]);
                let scheduler = scheduler(plan.collect(), vec![3]);
                let (open, started) = (Vec::new(), BTreeSet::new());
                let hosts = BTreeMap::new();
                let mut campaign = Sharing { scheduler, hosts, open, started, has_ended: false };
                for (agent, host) in order.iter().enumerate() {
                    let name = format!("a{agent}");
                    campaign.hosts.insert(id(&name), *host);
                    let joins = ready(&name, &format!("h{host}"), 0);
                    let actions = campaign.scheduler.handle(joins, Duration::ZERO);
                    campaign.see(actions);
                }
                campaign
            })
            .collect();
        for (campaign, number) in moves {
            let campaign = usize::from(campaign) % campaigns.len();
            campaigns[campaign].step(number.into(), &mut machines, u8::try_from(campaign).unwrap());
        }
        // From here on, whoever can move does.
        while (0..campaigns.len()).any(|campaign| {
            let number = u8::try_from(campaign).unwrap();
            (0..3).any(|agent| campaigns[campaign].step(agent, &mut machines, number))
        }) {}
        prop_assert!(campaigns.iter().all(|campaign| campaign.has_ended), "they wait for each other");
    }
}

#[test]
fn all_start_when_the_last_one_is_warm() {
    let (mut scheduler, offers) = two();
    let places = offers.iter().map(|offer| offer.joint.clone().unwrap());
    let expected = |index| {
        let share = Share { index, requests: vec![3, 4] };
        Joint { share, first_batch: 0 }
    };
    assert_eq!(places.collect::<Vec<_>>(), [expected(0), expected(1)]);
    assert!(starts(&warm(&mut scheduler, &offers[1])).is_empty());
    assert!(starts(&warm(&mut scheduler, &offers[1])).is_empty(), "said again by a heartbeat");
    assert_eq!(starts(&warm(&mut scheduler, &offers[0])), [0, 1]);
    assert!(starts(&warm(&mut scheduler, &offers[0])).is_empty(), "a heartbeat on the way");
    let _ = complete(&mut scheduler, &offers[0]);
    assert_eq!(ending(&complete(&mut scheduler, &offers[1])), Some(Ending::Complete));
}

#[test]
fn two_agents_of_one_host_are_one_too_few() {
    let mut scheduler = scheduler(vec![joint(0, 1), joint(0, 1)], vec![2]);
    scheduler.handle(ready("a", "h", 0), Duration::ZERO);
    assert!(offers(&scheduler.handle(ready("b", "h", 0), Duration::ZERO)).is_empty());
    assert_eq!(scheduler.missing(), [(0, 1)]);
    let actions = scheduler.handle(ready("c", "h2", 0), Duration::ZERO);
    assert_eq!(all_offers(&mut scheduler, &actions).len(), 2);
}

#[test]
fn if_one_is_lost_the_others_are_revoked_and_the_rest_starts_together() {
    let (mut scheduler, first) = two();
    warm(&mut scheduler, &first[0]);
    warm(&mut scheduler, &first[1]);
    for offer in &first {
        let (shard, attempt, batch) = (offer.shard, offer.attempt, 0);
        scheduler.handle(Event::Stored { shard, attempt, batch }, Duration::ZERO);
    }
    let (lost, left) = (&first[0], &first[1]);
    let actions = scheduler.handle(Event::Gone { agent: lost.agent.clone() }, Duration::ZERO);
    assert_eq!(cancelled(&actions), [left.shard]);
    assert!(!scheduler.is_current(left.shard, left.attempt));
    // Another agent comes, but the one that was revoked still measures.
    assert!(offers(&scheduler.handle(ready("c", "h3", 0), Duration::ZERO)).is_empty());
    let detail = "the lease was revoked".to_owned();
    let failure = Failure { retry: Retry::OtherAgent, kind: Kind::Cancelled, detail };
    let failed = Event::Failed { shard: left.shard, attempt: left.attempt, failure };
    let actions = scheduler.handle(failed, Duration::ZERO);
    let second = all_offers(&mut scheduler, &actions);
    assert_eq!(second.iter().map(|offer| offer.batches.len()).collect::<Vec<_>>(), [2, 3]);
    assert!(second.iter().all(|offer| offer.is_new_segment), "each warms up again");
}

#[test]
fn what_one_left_behind_is_the_whole_load_of_another() {
    let (mut scheduler, first) = two();
    let _ = complete(&mut scheduler, &first[0]);
    let actions = scheduler.handle(Event::Gone { agent: first[1].agent.clone() }, Duration::ZERO);
    let second = offers(&actions);
    let requests: Vec<_> =
        second.iter().map(|offer| offer.joint.clone().unwrap().share.requests).collect();
    assert_eq!(requests, [[4]]);
    assert_eq!(starts(&warm(&mut scheduler, &second[0])), [1]);
}

#[test]
fn who_waits_for_the_others_is_not_stalled() {
    let (mut scheduler, offers) = two();
    warm(&mut scheduler, &offers[0]);
    let late = Duration::from_secs(301);
    for offer in &offers {
        scheduler.handle(Event::Alive { agent: offer.agent.clone() }, late);
    }
    let actions = scheduler.handle(Event::Tick, late);
    let failed = |action: &Action| match action {
        Action::Note(Note::AttemptFailed { shard, .. }) => Some(*shard),
        _ => None,
    };
    assert_eq!(actions.iter().filter_map(failed).collect::<Vec<_>>(), [1]);
    let mut both = cancelled(&actions);
    both.sort_unstable();
    assert_eq!(both, [0, 1]);
}

#[test]
fn windows_that_not_all_agents_can_measure_are_given_up() {
    // Windows 0 to 3 of each, numbered one shard after the other.
    let windows = |from: u32| {
        let batches = (from..from + 4).collect();
        Work { batches, windows: 4, ..joint(0, 0) }
    };
    let stored = |scheduler: &mut Scheduler, offer: &Offer, batch: u32| {
        let (shard, attempt) = (offer.shard, offer.attempt);
        scheduler.handle(Event::Stored { shard, attempt, batch }, Duration::ZERO);
    };
    let mut scheduler = scheduler(vec![windows(0), windows(4)], vec![2]);
    scheduler.handle(ready("a", "h1", 0), Duration::ZERO);
    let actions = scheduler.handle(ready("b", "h2", 0), Duration::ZERO);
    let first = all_offers(&mut scheduler, &actions);
    assert_eq!(first[1].batches, [4, 5, 6, 7]);
    stored(&mut scheduler, &first[0], 0);
    stored(&mut scheduler, &first[0], 1);
    stored(&mut scheduler, &first[1], 4);
    scheduler.handle(Event::Gone { agent: first[0].agent.clone() }, Duration::ZERO);
    scheduler.handle(ready("c", "h3", 0), Duration::ZERO);
    let finished = Event::Finished { shard: first[1].shard, attempt: first[1].attempt };
    let actions = scheduler.handle(finished, Duration::ZERO);
    let second = all_offers(&mut scheduler, &actions);
    let batches: Vec<_> = second.iter().map(|offer| offer.batches.clone()).collect();
    assert_eq!(batches, [[2, 3], [6, 7]]);
    // One is through when the other is lost in the last window.
    let _ = complete(&mut scheduler, &second[0]);
    stored(&mut scheduler, &second[1], 6);
    let gone = Event::Gone { agent: second[1].agent.clone() };
    assert_eq!(ending(&scheduler.handle(gone, Duration::ZERO)), Some(Ending::Complete));
}
