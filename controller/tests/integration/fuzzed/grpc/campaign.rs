//! The campaign: what is planned, what was stored, and the loop between the listener and the state machine.

use campaign::{AgentMessage, CampaignOptions, CampaignState, Effects, Input, Limits, Now, Stored};
use chrono::DateTime;
use fleet::{Event, Outboxes};
use matrix::plan::{Plan, batches};
use matrix::{Matrix, Overrides};
use model::engine::AskedEngine;
use model::ids::TargetName;
use records::{CampaignRow, DatasetFacts, DialogueRow, State, Write};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

const OFFLINE: &str = "[factors]\nbatch_sizes = [1, 4]\n[protocol]\nruns = 2\nwarmup = 1\n";
const STRESS: &str = "[factors]\nbatch_sizes = [4]\nscenarios = [\"stress\"]\n[protocol]\nruns = 1\nstress = { \
                      duration = \"5s\", window = \"1s\", concurrency = 4 }\n";
const REST: &str = r#"
name = "fuzzed"
[dataset]
source = "builtin:dialogues"
[[model]]
name = "script"
id = "scripted:script.json"
[fleet]
progress_timeout = "1m"
[[target]]
name = "here"
usd_per_hour = 1.0
"#;
/// Measured dialogues, and further ones that warm up.
const SAMPLES: usize = 8;
const WARMUP: usize = 4;
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Campaign {
    row: CampaignRow,
    dialogues: Vec<DialogueRow>,
    /// Counted samples: (cell, round, dialogue) -> batch.
    counted: BTreeMap<(usize, u32, u32), u32>,
    /// Counted windows: cell, round and number.
    windows: BTreeSet<(usize, u32, u32)>,
    /// (attempt, batch) of everything that is stored.
    stored: BTreeSet<(u64, u32)>,
    /// The newest attempt of each shard.
    attempts: BTreeMap<usize, u64>,
}

impl Campaign {
    /// Batches of samples, or windows of a sustained load.
    pub(super) fn new(is_offline: bool) -> Self {
        let text = format!("{REST}{}", if is_offline { OFFLINE } else { STRESS });
        let matrix = Matrix::check(&text, "m", Path::new("/"), &Overrides::default());
        let matrix = matrix.expect("the matrix is valid");
        let plan = Plan::make(&matrix, SAMPLES).expect("there are samples");
        let dialogue = |number: usize| DialogueRow {
            sample_id: format!("s{number}").try_into().expect("a valid name"),
            dialogue: "A: hi".to_owned(),
            summary: None,
            is_measured: number < SAMPLES,
        };
        let row = CampaignRow {
            id: "fuzzed".try_into().expect("a valid name"),
            name: "fuzzed".to_owned(),
            created_at: DateTime::UNIX_EPOCH,
            finished_at: None,
            state: State::Running,
            controller_version: String::new(),
            matrix_text: text,
            matrix,
            plan,
            dataset: DatasetFacts {
                source: String::new(),
                sha256: String::new(),
                revision: None,
                dialogues: SAMPLES + WARMUP,
                samples: SAMPLES,
                sample_ids_sha256: String::new(),
                references: 0,
                set_aside: None,
                notes: Vec::new(),
            },
            prices: Vec::new(),
        };
        Self {
            row,
            dialogues: (0..SAMPLES + WARMUP).map(dialogue).collect(),
            counted: BTreeMap::new(),
            windows: BTreeSet::new(),
            stored: BTreeSet::new(),
            attempts: BTreeMap::new(),
        }
    }

    pub(super) fn targets(&self) -> Vec<TargetName> {
        self.row.matrix.targets.iter().map(|target| target.name.clone()).collect()
    }

    pub(super) fn engines(&self) -> Vec<Vec<AskedEngine>> {
        self.row.plan.asked(&self.row.matrix)
    }

    /// Runs to its end, or until the listener is closed.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let options = CampaignOptions {
            limits: Limits::with_wait(Duration::from_mins(5)),
            precision: None,
            search: None,
        };
        let (row, dialogues) = (self.row.clone(), self.dialogues.clone());
        let (mut state, started) = CampaignState::new(row, dialogues, &Stored::default(), options);
        let (start, mut outboxes) = (Instant::now(), Outboxes::default());
        let mut tick = tokio::time::interval(TICK);
        self.carry_out(started, &outboxes);
        loop {
            let input = tokio::select! {
                event = events.recv() => {
                    let Some(event) = event else { return };
                    outboxes.observe(&event);
                    Input::Report { agent: event.agent, report: event.report }
                }
                _ = tick.tick() => Input::Tick,
            };
            let now = Now { elapsed: start.elapsed(), at: DateTime::UNIX_EPOCH };
            // An agent with other files than the matrix requires ends the campaign.
            let Ok(effects) = state.step(input, now) else { return };
            let is_over = effects.ending.is_some();
            self.carry_out(effects, &outboxes);
            if is_over {
                return;
            }
        }
    }

    fn carry_out(&mut self, effects: Effects, outboxes: &Outboxes) {
        for row in &effects.rows {
            self.store(row);
        }
        for (agent, message) in effects.messages {
            match &message {
                AgentMessage::Offer(offer) => {
                    let newest = self.attempts.insert(offer.shard, offer.attempt);
                    assert!(newest < Some(offer.attempt), "attempts only grow");
                }
                AgentMessage::Acknowledge { attempt, sequence, .. } => {
                    let stored = self.stored.range((*attempt, 0)..=(*attempt, u32::MAX)).count();
                    assert!(stored as u64 >= *sequence, "acknowledged and not stored");
                }
                _ => {}
            }
            outboxes.send(&agent, message, String::new());
        }
    }

    fn store(&mut self, row: &Write) {
        match row {
            Write::Sample(row) => {
                let key = row.key;
                self.stored.insert((key.attempt, key.batch));
                if row.is_counted {
                    let place = (key.cell as usize, key.run, key.sample);
                    let before = self.counted.insert(place, key.batch);
                    assert!(before.is_none(), "{place:?} is counted twice");
                    assert_eq!(
                        Some(key.batch),
                        self.planned(place),
                        "{place:?} is in another batch"
                    );
                }
            }
            Write::LoadWindow(row) => {
                self.stored.insert((row.attempt, row.number));
                if row.is_counted {
                    let place = (row.cell, row.run, row.number);
                    assert!(self.windows.insert(place), "{place:?} is counted twice");
                    assert!(row.number < 5, "{place:?} is not planned");
                }
            }
            _ => {}
        }
    }

    /// The batch of a dialogue, if the plan has it.
    fn planned(&self, (cell, round, dialogue): (usize, u32, u32)) -> Option<u32> {
        let plan = &self.row.plan;
        plan.runs.iter().find(|run| run.cell == cell && run.number == round)?;
        let size = plan.cells[cell].batch_size;
        let batches = batches::compose(plan.seed, round, size, plan.samples);
        let found = (0..).zip(&batches).find(|(_, batch)| batch.contains(&dialogue));
        found.map(|(batch, _)| batch)
    }
}
