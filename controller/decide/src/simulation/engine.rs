//! The event loop.

use super::outcome::{HOUR_S, Hour, Outcome, hour_of};
use super::scaling::{Policy, Scaler, Seen};
use super::{Batch, BatchTime, Batching, Fleet, Routing, WithoutInstance};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use traffic::Request;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// The batch of an instance ends.
    Free(usize),
    /// The oldest request of an instance has waited long enough.
    Timer(usize),
    Ready(usize),
    /// An instance is told that it will be interrupted.
    Notice(usize),
    Kill(usize),
    /// The policy is evaluated.
    Tick,
}

#[derive(Debug, Clone, Copy)]
struct Event {
    at_s: f64,
    /// Events of one time happen in the order in which they were scheduled.
    order: u64,
    kind: Kind,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    /// The earliest one is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at_s.total_cmp(&self.at_s).then(other.order.cmp(&self.order))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    /// Finishes its requests and gets no further ones.
    Draining,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Base,
    /// Whose number the policy decides.
    Scaled,
}

#[derive(Debug)]
struct Instance {
    of: Type,
    state: State,
    /// Requests that wait.
    queue: VecDeque<Request>,
    batch: Vec<Request>,
    /// When its batch ends; `None` while it is free.
    busy_until_s: Option<f64>,
    /// When its last batch ended, or it became ready.
    free_since_s: f64,
    /// When a timer fires, if one is set.
    timer_s: Option<f64>,
    billed_from_s: f64,
}

impl Instance {
    fn outstanding(&self) -> usize {
        self.queue.len() + self.batch.len()
    }
}

/// The batch times of a fleet of two types.
#[derive(Debug)]
pub struct TimesByType<'a, B> {
    pub base: &'a B,
    pub scaled: &'a B,
}

/// Instances of a type that receive requests, and the number of those that will.
#[derive(Debug, Default)]
struct Present {
    ready: Vec<usize>,
    starting: usize,
}

impl Present {
    fn count(&self) -> usize {
        self.ready.len() + self.starting
    }
}

struct Simulation<'a, B> {
    fleet: &'a Fleet,
    times: TimesByType<'a, B>,
    rng: ChaCha8Rng,
    events: BinaryHeap<Event>,
    order: u64,
    instances: Vec<Instance>,
    base: Present,
    scaled: Present,
    /// The one queue, and requests that arrive while no instance is ready.
    waiting: VecDeque<Request>,
    scaler: Scaler<'a>,
    arrived_since_tick: u64,
    /// Those of them that no base instance took.
    spilled_since_tick: u64,
    failed_since_tick: u64,
    last_tick_s: f64,
    outcome: Outcome,
}

/// Simulates a fleet. The times of `requests` never decrease; all randomness follows from `seed`.
pub fn simulate<B: BatchTime>(
    requests: impl Iterator<Item = impl Into<Request>>,
    batch_time: &B,
    fleet: &Fleet,
    seed: u64,
) -> Outcome {
    simulate_types(requests, TimesByType { base: batch_time, scaled: batch_time }, fleet, seed)
}

/// Simulates a fleet whose base has batch times of its own.
pub fn simulate_types<B: BatchTime>(
    requests: impl Iterator<Item = impl Into<Request>>,
    times: TimesByType<'_, B>,
    fleet: &Fleet,
    seed: u64,
) -> Outcome {
    let requests = requests.map(Into::into);
    let mut requests = requests.take_while(|one: &Request| one.at_s <= fleet.span_s).peekable();
    let mut simulation = Simulation::new(times, fleet, seed);
    simulation.begin();
    loop {
        let next_s = simulation.events.peek().map(|event| event.at_s);
        match (requests.peek().copied(), next_s) {
            (Some(one), next_s) if next_s.is_none_or(|next_s| one.at_s < next_s) => {
                requests.next();
                simulation.arrive(one);
            }
            (_, Some(_)) => {
                if let Some(event) = simulation.events.pop() {
                    simulation.handle(event);
                }
            }
            (_, None) => break,
        }
    }
    simulation.finish()
}

impl<'a, B: BatchTime> Simulation<'a, B> {
    fn new(times: TimesByType<'a, B>, fleet: &'a Fleet, seed: u64) -> Self {
        let hours = hour_of(fleet.span_s.next_down()) + 1;
        let bounds = (fleet.min_instances, fleet.max_instances);
        Self {
            fleet,
            times,
            rng: ChaCha8Rng::seed_from_u64(seed),
            events: BinaryHeap::new(),
            order: 0,
            instances: Vec::new(),
            base: Present::default(),
            scaled: Present::default(),
            waiting: VecDeque::new(),
            scaler: Scaler::new(
                &fleet.policy,
                fleet.start_up.total_s(),
                bounds,
                fleet.base.map_or(0.0, |base| base.rate),
            ),
            arrived_since_tick: 0,
            spilled_since_tick: 0,
            failed_since_tick: 0,
            last_tick_s: 0.0,
            outcome: Outcome { hours: vec![Hour::default(); hours], ..Outcome::default() },
        }
    }

    fn begin(&mut self) {
        let instances = match &self.fleet.policy {
            Policy::Fixed(instances) => *instances,
            Policy::Scheduled { slots, instances } => instances[slots.at(0.0)],
            Policy::SageMaker(_) | Policy::Kubernetes(_) => self.fleet.first_instances,
        };
        let instances = instances.clamp(self.fleet.min_instances, self.fleet.max_instances);
        let base = self.fleet.base.map_or(0, |base| base.instances);
        let types = std::iter::repeat_n(Type::Base, base);
        for of in types.chain(std::iter::repeat_n(Type::Scaled, instances)) {
            let index = self.add(of, State::Ready, 0.0);
            self.present(of).ready.push(index);
            self.schedule_interruption(index, 0.0);
        }
        self.outcome.most_instances = base + instances;
        self.schedule_tick(0.0);
    }

    fn present(&mut self, of: Type) -> &mut Present {
        match of {
            Type::Base => &mut self.base,
            Type::Scaled => &mut self.scaled,
        }
    }

    /// The hour of an arrival; one at the end belongs to the last hour.
    fn hour(&self, at_s: f64) -> usize {
        hour_of(at_s).min(self.outcome.hours.len() - 1)
    }

    fn schedule(&mut self, at_s: f64, kind: Kind) {
        self.order += 1;
        self.events.push(Event { at_s, order: self.order, kind });
    }

    fn schedule_tick(&mut self, now_s: f64) {
        if let Some(period_s) = self.fleet.policy.period_s()
            && now_s + period_s <= self.fleet.span_s
        {
            self.schedule(now_s + period_s, Kind::Tick);
        }
    }

    fn schedule_interruption(&mut self, index: usize, now_s: f64) {
        let Some(spot) = self.fleet.spot else { return };
        let unit: f64 = self.rng.random();
        let after_s = -(1.0 - unit).ln() * HOUR_S / spot.interruptions_per_hour;
        if now_s + after_s <= self.fleet.span_s {
            self.schedule(now_s + after_s, Kind::Notice(index));
        }
    }

    fn add(&mut self, of: Type, state: State, billed_from_s: f64) -> usize {
        self.instances.push(Instance {
            of,
            state,
            queue: VecDeque::new(),
            batch: Vec::new(),
            busy_until_s: None,
            free_since_s: 0.0,
            timer_s: None,
            billed_from_s,
        });
        self.instances.len() - 1
    }

    fn start(&mut self, of: Type, now_s: f64) {
        let start_up = &self.fleet.start_up;
        let (billed_s, ready_s) = (now_s + start_up.provisioning_s, now_s + start_up.total_s());
        let index = self.add(of, State::Starting, billed_s);
        self.present(of).starting += 1;
        self.outcome.starts += 1;
        self.schedule(ready_s, Kind::Ready(index));
        let instances = self.base.count() + self.scaled.count();
        self.outcome.most_instances = self.outcome.most_instances.max(instances);
    }

    fn arrive(&mut self, request: Request) {
        let at_s = request.at_s;
        self.outcome.arrived += 1;
        self.arrived_since_tick += 1;
        let hour = self.hour(at_s);
        self.outcome.hours[hour].arrived += 1;
        self.outcome.during_start += u64::from(self.base.starting + self.scaled.starting > 0);
        let Some(index) = self.route() else { return self.without_instance(request) };
        let instance = &mut self.instances[index];
        if instance.queue.len() >= self.fleet.max_queue {
            self.outcome.rejected += 1;
            return;
        }
        instance.queue.push_back(request);
        if instance.busy_until_s.is_none() {
            self.dispatch(index, at_s);
        }
    }

    /// No instance is ready, or there is one queue for all.
    fn without_instance(&mut self, request: Request) {
        match self.fleet.without_instance {
            WithoutInstance::Wait => self.wait_in_common(request),
            WithoutInstance::Fail => {
                self.outcome.without_instance += 1;
                self.failed_since_tick += 1;
                // The metric of a policy counts what instances get.
                self.arrived_since_tick -= 1;
            }
        }
    }

    fn wait_in_common(&mut self, request: Request) {
        if self.waiting.len() >= self.fleet.max_queue {
            self.outcome.rejected += 1;
            return;
        }
        self.waiting.push_back(request);
        let at_s = request.at_s;
        // An autoscaler at zero is woken by the first request.
        if self.scaled.count() == 0 && self.fleet.max_instances > 0 {
            self.start(Type::Scaled, at_s);
        }
        let is_free = |index: &&usize| self.instances[**index].busy_until_s.is_none();
        if let Some(&index) = self.scaled.ready.iter().find(is_free) {
            self.dispatch(index, at_s);
        }
    }

    /// The instance that gets a request; `None` if it waits for any of them.
    fn route(&mut self) -> Option<usize> {
        if self.fleet.routing == Routing::OneQueue {
            return None;
        }
        let base = self.least_outstanding(&self.base.ready);
        let takes = |index: usize| {
            let outstanding = self.instances[index].outstanding();
            self.fleet.base.is_some_and(|base| outstanding < base.spill_at)
        };
        if let Some(index) = base.filter(|index| takes(*index)) {
            return Some(index);
        }
        self.spilled_since_tick += 1;
        match self.fleet.routing {
            Routing::Random if self.scaled.ready.len() > 1 => {
                Some(self.scaled.ready[self.rng.random_range(0..self.scaled.ready.len())])
            }
            _ => self.least_outstanding(&self.scaled.ready).or(base),
        }
    }

    fn least_outstanding(&self, ready: &[usize]) -> Option<usize> {
        ready.iter().min_by_key(|index| self.instances[**index].outstanding()).copied()
    }

    fn batching(&self, of: Type) -> Batching {
        match (of, self.fleet.base) {
            (Type::Base, Some(base)) => base.batching,
            _ => self.fleet.batching,
        }
    }

    /// Begins a batch on a free instance, or sets a timer for it.
    fn dispatch(&mut self, index: usize, now_s: f64) {
        let of = self.instances[index].of;
        let batching = self.batching(of);
        let instance = &mut self.instances[index];
        let is_common = self.fleet.routing == Routing::OneQueue;
        let queue = if is_common { &mut self.waiting } else { &mut instance.queue };
        let Some(oldest) = queue.front() else { return };
        let until_s = oldest.at_s + batching.max_delay_s;
        if queue.len() < batching.max_size && until_s > now_s {
            if instance.timer_s.is_none_or(|timer_s| timer_s < until_s) {
                instance.timer_s = Some(until_s);
                self.schedule(until_s, Kind::Timer(index));
            }
            return;
        }
        let size = queue.len().min(batching.max_size);
        instance.batch.clear();
        instance.batch.extend(queue.drain(..size));
        let times = match of {
            Type::Base => self.times.base,
            Type::Scaled => self.times.scaled,
        };
        let batch = Batch::of(instance.batch.iter(), now_s - instance.free_since_s);
        let seconds = times.seconds(batch, &mut self.rng);
        instance.busy_until_s = Some(now_s + seconds);
        self.schedule(now_s + seconds, Kind::Free(index));
        let counted_s = (self.fleet.span_s - now_s).clamp(0.0, seconds);
        self.outcome.busy_s += counted_s;
    }

    fn handle(&mut self, event: Event) {
        let now_s = event.at_s;
        match event.kind {
            Kind::Free(index) => self.free(index, now_s),
            Kind::Timer(index) => {
                let instance = &mut self.instances[index];
                instance.timer_s = None;
                if instance.state != State::Ended && instance.busy_until_s.is_none() {
                    self.dispatch(index, now_s);
                }
            }
            Kind::Ready(index) => self.make_ready(index, now_s),
            Kind::Notice(index) => self.notice(index, now_s),
            Kind::Kill(index) => self.kill(index, now_s),
            Kind::Tick => self.tick(now_s),
        }
    }

    fn free(&mut self, index: usize, now_s: f64) {
        // An instance that was killed has no batch.
        if self.instances[index].busy_until_s.is_none() {
            return;
        }
        let batch = std::mem::take(&mut self.instances[index].batch);
        for request in &batch {
            let latency_s = now_s - request.at_s;
            self.outcome.latencies.add(latency_s);
            if latency_s <= self.fleet.limit_s {
                self.outcome.good += 1;
                let hour = self.hour(request.at_s);
                self.outcome.hours[hour].good += 1;
            }
        }
        let instance = &mut self.instances[index];
        if instance.of == Type::Base {
            self.outcome.answered_by_base += batch.len() as u64;
        }
        instance.batch = batch;
        instance.batch.clear();
        instance.busy_until_s = None;
        instance.free_since_s = now_s;
        if instance.state == State::Draining && instance.queue.is_empty() {
            self.end(index, now_s);
        } else {
            self.dispatch(index, now_s);
        }
    }

    fn make_ready(&mut self, index: usize, now_s: f64) {
        let instance = &mut self.instances[index];
        if instance.state != State::Starting {
            return;
        }
        instance.state = State::Ready;
        instance.free_since_s = now_s;
        let of = instance.of;
        let present = self.present(of);
        present.starting -= 1;
        present.ready.push(index);
        self.schedule_interruption(index, now_s);
        if self.fleet.routing != Routing::OneQueue {
            let waiting = std::mem::take(&mut self.waiting);
            self.instances[index].queue.extend(waiting);
        }
        self.dispatch(index, now_s);
    }

    fn notice(&mut self, index: usize, now_s: f64) {
        let Some(spot) = self.fleet.spot else { return };
        if self.instances[index].state != State::Ready {
            return;
        }
        self.drain(index, now_s);
        self.schedule(now_s + spot.notice_s, Kind::Kill(index));
        self.start(self.instances[index].of, now_s);
    }

    fn kill(&mut self, index: usize, now_s: f64) {
        if self.instances[index].state != State::Draining {
            return;
        }
        let instance = &mut self.instances[index];
        self.outcome.interrupted += instance.outstanding() as u64;
        instance.queue.clear();
        instance.batch.clear();
        instance.busy_until_s = None;
        self.end(index, now_s);
    }

    /// Takes an instance out of the routing.
    fn drain(&mut self, index: usize, now_s: f64) {
        let of = self.instances[index].of;
        self.present(of).ready.retain(|ready| *ready != index);
        let instance = &mut self.instances[index];
        instance.state = State::Draining;
        if instance.outstanding() == 0 {
            self.end(index, now_s);
        }
    }

    fn end(&mut self, index: usize, now_s: f64) {
        self.instances[index].state = State::Ended;
        self.bill(index, now_s);
    }

    /// Adds the paid time of an instance, hour by hour.
    fn bill(&mut self, index: usize, to_s: f64) {
        let Instance { of, billed_from_s: from_s, .. } = self.instances[index];
        let of_base = if of == Type::Base { 1.0 } else { 0.0 };
        let to_s = to_s.min(self.fleet.span_s);
        if to_s <= from_s {
            return;
        }
        self.outcome.paid_s += to_s - from_s;
        self.outcome.base_paid_s += of_base * (to_s - from_s);
        for hour in hour_of(from_s)..self.outcome.hours.len() {
            let (begin_s, end_s) = (hour as f64 * HOUR_S, (hour + 1) as f64 * HOUR_S);
            let paid_s = end_s.min(to_s) - begin_s.max(from_s);
            if paid_s <= 0.0 {
                break;
            }
            self.outcome.hours[hour].paid_s += paid_s;
            self.outcome.hours[hour].base_paid_s += of_base * paid_s;
        }
    }

    fn tick(&mut self, now_s: f64) {
        let instances = self.scaled.count();
        if self.fleet.policy.target_rate().is_some() {
            let surplus = self.scaler.surplus(self.scaled.ready.len()) as f64;
            self.outcome.tail_s += surplus * (now_s - self.last_tick_s);
        }
        let arrived = std::mem::take(&mut self.arrived_since_tick);
        let spilled = std::mem::take(&mut self.spilled_since_tick);
        let is_of_scaled =
            self.fleet.base.is_some() && matches!(self.fleet.policy, Policy::SageMaker(_));
        let seen = Seen {
            now_s,
            arrived: if is_of_scaled { spilled } else { arrived },
            failed: std::mem::take(&mut self.failed_since_tick),
            ready: self.scaled.ready.len(),
            wanted: instances,
        };
        let wanted = self.scaler.wanted(&seen);
        for _ in instances..wanted {
            self.start(Type::Scaled, now_s);
        }
        for _ in wanted..instances {
            self.remove_one(now_s);
        }
        self.last_tick_s = now_s;
        self.schedule_tick(now_s);
    }

    /// Removes a starting instance of the scaled type, else the ready one with the fewest requests.
    fn remove_one(&mut self, now_s: f64) {
        let is_starting =
            |instance: &Instance| instance.state == State::Starting && instance.of == Type::Scaled;
        if self.scaled.starting > 0 {
            if let Some(index) = self.instances.iter().rposition(is_starting) {
                self.scaled.starting -= 1;
                self.end(index, now_s);
            }
            return;
        }
        let outstanding = |index: &&usize| self.instances[**index].outstanding();
        if let Some(&index) = self.scaled.ready.iter().rev().min_by_key(outstanding) {
            self.drain(index, now_s);
        }
    }

    fn finish(mut self) -> Outcome {
        let span_s = self.fleet.span_s;
        for index in 0..self.instances.len() {
            if self.instances[index].state != State::Ended {
                self.bill(index, span_s);
            }
        }
        // Requests that no instance ever took.
        self.outcome.rejected += self.waiting.len() as u64;
        self.outcome
    }
}
