//! A small campaign, the disk, and the agents.

use campaign::{self, ShardOffer, ShardSignature, Stored};
use matrix::plan::Plan;
use matrix::{Matrix, Overrides};
use model::failure::Kind;
use model::host::AgentFacts;
use model::ids::SampleId;
use model::sample::{Finish, Outcome, Sample};
use records::{
    AgentRow, CampaignRow, CountedBatch, DatasetFacts, DialogueRow, SampleRow, SegmentRow, State,
    Write,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const MATRIX: &str = r#"
name = "unreliable"
[dataset]
source = "builtin:dialogues"
[[model]]
name = "script"
id = "scripted:script.json"
targets = ["a", "b"]
[[model]]
name = "hosted"
id = "http://127.0.0.1/invocations"
targets = ["c"]
[factors]
batch_sizes = [1, 4]
[protocol]
runs = 2
warmup = 1
[fleet]
progress_timeout = "1m"
[[target]]
name = "a"
agents = 2
usd_per_hour = 1.0
[[target]]
name = "b"
usd_per_hour = 1.0
[[target]]
name = "c"
agents = 2
batch_sizes = [2, 4]
usd_per_hour = 1.0
"#;

const SAMPLES: usize = 12;

/// The campaign as it is stored.
pub(crate) fn campaign() -> (CampaignRow, Vec<DialogueRow>) {
    let matrix = Matrix::check(MATRIX, "m", Path::new("/"), &Overrides::default())
        .expect("the matrix is valid");
    let plan = Plan::make(&matrix, SAMPLES).expect("there are samples");
    let dialogue = |number: usize| DialogueRow {
        sample_id: format!("s{number}").try_into().expect("a valid name"),
        dialogue: "A: hi".to_owned(),
        summary: None,
        is_measured: number < SAMPLES,
    };
    let row = CampaignRow {
        id: "unreliable".try_into().expect("a valid name"),
        name: "unreliable".to_owned(),
        created_at: chrono::DateTime::UNIX_EPOCH,
        finished_at: None,
        state: State::Running,
        controller_version: String::new(),
        matrix_text: MATRIX.to_owned(),
        matrix,
        plan,
        dataset: DatasetFacts {
            source: String::new(),
            sha256: String::new(),
            revision: None,
            dialogues: SAMPLES + 8,
            samples: SAMPLES,
            sample_ids_sha256: String::new(),
            references: 0,
            set_aside: None,
            notes: Vec::new(),
        },
        prices: Vec::new(),
    };
    (row, (0..SAMPLES + 8).map(dialogue).collect())
}

/// What survives a crash of the controller.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Counted samples: (cell, round, dialogue) -> batch.
    pub(crate) counted: BTreeMap<(usize, u32, u32), u32>,
    /// Samples that are stored and not counted.
    pub(crate) late: u64,
    /// (attempt, batch) of everything that is stored.
    pub(crate) batches: BTreeSet<(u64, u32)>,
    /// Those of them that count.
    counted_batches: BTreeSet<(u64, u32)>,
    /// How many signatures there are.
    pub(crate) signed: u64,
    segments: Vec<SegmentRow>,
    agents: Vec<AgentRow>,
    starts: u64,
}

impl Disk {
    pub(crate) fn write(&mut self, writes: &[Write], seed: u64) {
        for write in writes {
            match write {
                Write::Sample(SampleRow { key: of, is_counted, .. }) => {
                    self.batches.insert((of.attempt, of.batch));
                    if *is_counted {
                        self.counted_batches.insert((of.attempt, of.batch));
                        let key = (of.cell as usize, of.run, of.sample);
                        let before = self.counted.insert(key, of.batch);
                        assert!(before.is_none(), "seed {seed}: {key:?} is counted twice");
                    } else {
                        self.late += 1;
                    }
                }
                Write::Segment { key: (cell, run, segment), agent, .. } => {
                    self.segments.push(SegmentRow {
                        cell: *cell,
                        run: *run,
                        segment: *segment,
                        agent: *agent,
                        facts: None,
                        is_time_impossible: false,
                    });
                }
                Write::Agent(agent) => self.agents.push(AgentRow {
                    agent_id: agent.agent.clone(),
                    host_id: agent.host.clone(),
                    target: agent.target,
                    facts: AgentFacts::default(),
                    engines: Vec::new(),
                    held_ns: 0,
                }),
                Write::Signature(row) => {
                    let its = |(attempt, _): &&(u64, u32)| *attempt == row.attempt;
                    let counted = self.counted_batches.iter().filter(its).count() as u64;
                    let covered = row.signature.as_slice().try_into().map(u64::from_be_bytes).ok();
                    assert_eq!(covered, Some(counted), "seed {seed}: it can't be verified");
                    self.signed += 1;
                }
                _ => {}
            }
        }
    }

    /// What a starting controller finds.
    pub(crate) fn start(&mut self) -> Stored {
        let mut batches: BTreeMap<(usize, u32, u32), u64> = BTreeMap::new();
        for ((cell, run, _), batch) in &self.counted {
            *batches.entry((*cell, *run, *batch)).or_default() += 1;
        }
        let last_attempt = self.starts << 32;
        self.starts += 1;
        Stored {
            batches: batches
                .into_iter()
                .map(|((cell, run, batch), samples)| CountedBatch { cell, run, batch, samples })
                .collect(),
            segments: self.segments.clone(),
            agents: self.agents.clone(),
            last_attempt,
        }
    }
}

/// One agent process and its one connection.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) host: usize,
    pub(crate) target: usize,
    /// Grows with each start: events of an earlier process or connection are void.
    pub(crate) process: u32,
    pub(crate) connection: u32,
    pub(crate) is_alive: bool,
    pub(crate) is_connected: bool,
    /// It sends heartbeats and measures nothing.
    pub(crate) is_hanging: bool,
    pub(crate) work: Option<Measuring>,
    /// Failed attempts to connect.
    pub(crate) pauses: u32,
}

/// The shard that an agent measures.
#[derive(Debug)]
pub(crate) struct Measuring {
    pub(crate) offer: ShardOffer,
    /// Completed batches, warm-up included.
    pub(crate) completed: usize,
    /// Of a run that is measured together.
    pub(crate) is_started: bool,
    /// The lease was revoked, or the connection broke.
    pub(crate) is_cancelled: bool,
}

impl Measuring {
    /// Whether it warmed up and other agents may not have.
    pub(crate) fn waits(&self) -> bool {
        let is_warm = self.completed == self.offer.warmup.len();
        is_warm && self.offer.share.is_some() && !self.is_started
    }
}

impl Agent {
    pub(crate) fn new(host: usize, target: usize) -> Self {
        Self {
            host,
            target,
            process: 0,
            connection: 0,
            is_alive: true,
            is_connected: false,
            is_hanging: false,
            work: None,
            pauses: 0,
        }
    }

    pub(crate) fn id(&self, index: usize) -> String {
        format!("agent{index}-{}.{}", self.process, self.connection)
    }
}

/// Over so many batches, whose number stands for it.
pub(crate) fn signature(batches: u64) -> ShardSignature {
    ShardSignature {
        batches: usize::try_from(batches).expect("it is small"),
        certificate: [].into(),
        salt: [0; 32],
        digest: [0; 32],
        signature: batches.to_be_bytes().to_vec(),
    }
}

/// The samples of a measured batch.
pub(crate) fn samples(batch: &campaign::Batch) -> Vec<(SampleId, Sample)> {
    let sample = || Sample {
        outcome: Outcome::Ok(Finish::Eos),
        failure_detail: None,
        ..Sample::failed(1, 5, Kind::Internal, String::new())
    };
    batch.requests.iter().map(|request| (request.sample_id.clone(), sample())).collect()
}
