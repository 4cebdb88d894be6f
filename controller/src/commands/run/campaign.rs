//! The loop of a campaign: what agents say goes to the desk, its rows to the store, and then its letters to the
//! agents. Whatever came meanwhile shares one write to disk.

use super::desk::{Desk, Effects, Letter};
use super::trail::Trail;
use super::watchers::Watchers;
use super::{HEARTBEAT, local::Locals};
use crate::metrics::Metrics;
use crate::scheduler::Ending;
use anyhow::bail;
use fleet::{Event, Said};
use ops::clock::Clock;
use std::collections::VecDeque;
use std::time::Duration;
use store::{CampaignNo, Hold, Store, Texts, Write};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

/// Messages that share one transaction at most.
const GROUP: usize = 1024;

pub(super) struct Campaign {
    store: Store,
    no: CampaignNo,
    hold: Hold,
    desk: Desk,
    clock: Clock,
    watchers: Watchers,
    started: Instant,
    ending: Option<Ending>,
    trail: Trail,
    metrics: Metrics,
}

impl Campaign {
    pub(super) fn new(
        (store, no): (Store, CampaignNo),
        hold: Hold,
        desk: Desk,
        clock: Clock,
        (watchers, trail, metrics): (Watchers, Trail, Metrics),
    ) -> Self {
        let (started, ending) = (Instant::now(), None);
        Self { store, no, hold, desk, clock, watchers, started, ending, trail, metrics }
    }

    /// Runs until nothing is left to do, or a person stops it; gives the right to write and the trail back.
    pub(super) async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut locals: Locals,
    ) -> anyhow::Result<(Ending, Hold, Trail)> {
        let mut tick = tokio::time::interval(HEARTBEAT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // A campaign that is gone on with may have been broken off before a look.
        let looks = self.desk.first_looks();
        self.settle(Effects { looks, ..Effects::default() }).await?;
        while self.ending.is_none() {
            let mut out = Effects::default();
            tokio::select! {
                Some(event) = events.recv() => {
                    self.take(event, &locals, &mut out)?;
                    self.take_waiting(&mut events, &locals, &mut out)?;
                }
                _ = tick.tick() => {
                    // Who spoke in time isn't late because the disk was.
                    self.take_waiting(&mut events, &locals, &mut out)?;
                    self.desk.tick(self.now(), self.clock.now(), &mut out);
                    self.watchers.publish(self.desk.spending(self.now()), self.now());
                }
                _ = interrupt.recv() => self.stop(&mut out),
                _ = terminate.recv() => self.stop(&mut out),
                Some(death) = locals.deaths.recv() => {
                    if death.is_last {
                        bail!("{death}");
                    }
                    self.watchers.say(&format!("note: {death}"), self.now());
                }
            }
            self.settle(out).await?;
        }
        self.watchers.end(self.desk.spending(self.now()), self.now());
        locals.send_home();
        self.desk.drain("the campaign is over");
        locals.leave().await;
        Ok((self.ending.unwrap_or(Ending::Stopped), self.hold, self.trail))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn stop(&mut self, out: &mut Effects) {
        self.watchers.say("stopping; what was measured is kept", self.now());
        self.desk.stop(self.now(), self.clock.now(), out);
    }

    fn take(&mut self, event: Event, locals: &Locals, out: &mut Effects) -> anyhow::Result<()> {
        if let Said::Joined(joined) = &event.said {
            locals.joined(joined.target);
        }
        Ok(self.desk.take(event, self.now(), self.clock.now(), out)?)
    }

    fn take_waiting(
        &mut self,
        events: &mut mpsc::Receiver<Event>,
        locals: &Locals,
        out: &mut Effects,
    ) -> anyhow::Result<()> {
        for _ in 1..GROUP {
            let Ok(event) = events.try_recv() else { break };
            self.take(event, locals, out)?;
        }
        Ok(())
    }

    /// Carries everything out, and looks at the cells that ask for it, until nothing follows any more.
    async fn settle(&mut self, out: Effects) -> anyhow::Result<()> {
        let mut looks = VecDeque::from(self.carry_out(out).await?);
        while let Some(cell) = looks.pop_front() {
            let runs = self.desk.looked_at(cell);
            if runs.is_empty() {
                continue;
            }
            let mut samples = Vec::new();
            for run in runs {
                samples.extend(self.store.counted(self.no, (cell, run), Texts::Leave).await?);
            }
            let mut out = Effects::default();
            self.desk.look(cell, &samples, self.now(), self.clock.now(), &mut out);
            looks.extend(self.carry_out(out).await?);
        }
        Ok(())
    }

    /// Writes everything to disk; then, and only then, agents hear of it. Gives the cells that are to be looked at.
    async fn carry_out(&mut self, out: Effects) -> anyhow::Result<Vec<usize>> {
        let Effects { writes, steps, letters, lines, looks, ending, rooms } = out;
        if !writes.is_empty() {
            let timer = self.metrics.writes.start_timer();
            self.store.write(&self.hold, &writes).await?;
            timer.observe_duration();
        }
        self.count(&writes);
        // What agents said is on disk: there is room for more.
        drop((writes, rooms));
        for step in steps {
            self.trail.take(step);
        }
        for (outbox, mut letter) in letters {
            if let Letter::Offer(offer) = &mut letter {
                offer.trace_parent = self.trail.of_attempt(offer.shard);
            }
            if matches!(letter, Letter::Acknowledge { .. }) {
                self.metrics.batches.inc();
            }
            letter.post(&outbox);
        }
        let now = self.now();
        for line in lines {
            self.watchers.take(line, now);
        }
        self.ending = self.ending.or(ending);
        Ok(looks)
    }

    /// Counts samples that are on disk.
    fn count(&self, writes: &[Write]) {
        let (mut counted, mut late) = (0, 0);
        for write in writes {
            match write {
                Write::Sample(sample) if sample.is_counted => counted += 1,
                Write::Sample(_) => late += 1,
                _ => {}
            }
        }
        self.metrics.samples.with_label_values(&["true"]).inc_by(counted);
        self.metrics.samples.with_label_values(&["false"]).inc_by(late);
    }
}
