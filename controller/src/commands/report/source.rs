//! Where the rows of a campaign come from: the store, or a bundle.

use anyhow::{Context, bail};
use bundle::{Content, archive};
use matrix::plan::Plan;
use results::build::SustainedLoads;
use results::parquet::Names;
use results::parquet::stored::{self, StoredSamples};
use stats::quality::Rouge;
use std::iter::Peekable;
use std::ops::Range;
use store::{
    AgentRow, CampaignNo, CampaignRow, DialogueRow, EventRow, LoadWindowRow, SampleRow, SegmentRow,
    SignatureRow, Store, Texts, WindowRow,
};

#[derive(Debug, Clone, Copy)]
pub(in crate::commands) enum Source<'a> {
    Store(&'a Store, CampaignNo),
    Bundle(&'a Content),
}

impl<'a> Source<'a> {
    pub(in crate::commands) async fn campaign(self) -> anyhow::Result<CampaignRow> {
        match self {
            Self::Store(store, no) => Ok(store.campaign(no).await?),
            Self::Bundle(content) => Ok(content.campaign.clone()),
        }
    }

    pub(in crate::commands) async fn agents(self) -> anyhow::Result<Vec<AgentRow>> {
        match self {
            Self::Store(store, no) => Ok(store.agents(no).await?),
            Self::Bundle(content) => Ok(content.agents.clone()),
        }
    }

    pub(in crate::commands) async fn segments(self) -> anyhow::Result<Vec<SegmentRow>> {
        match self {
            Self::Store(store, no) => Ok(store.segments(no).await?),
            Self::Bundle(content) => Ok(content.segments.clone()),
        }
    }

    pub(in crate::commands) async fn events(self) -> anyhow::Result<Vec<EventRow>> {
        match self {
            Self::Store(store, no) => Ok(store.events(no).await?),
            Self::Bundle(content) => Ok(content.events.clone()),
        }
    }

    pub(in crate::commands) async fn dialogues(self) -> anyhow::Result<Vec<DialogueRow>> {
        match self {
            Self::Store(store, no) => Ok(store.dialogues(no).await?),
            Self::Bundle(content) => Ok(content.dialogues.clone()),
        }
    }

    /// Gives every window of telemetry to `each`.
    pub(super) async fn windows(
        self,
        names: Names<'_>,
        each: impl FnMut(WindowRow),
    ) -> anyhow::Result<()> {
        match self {
            Self::Store(store, no) => Ok(store.windows(no, each).await?),
            Self::Bundle(Content { telemetry: None, .. }) => Ok(()),
            Self::Bundle(Content { telemetry: Some(bytes), .. }) => {
                let runs = names.matrix.most_runs();
                stored::windows(names, runs, bytes.clone(), each).context(archive::TELEMETRY)
            }
        }
    }

    /// The counted windows of sustained loads of one run.
    pub(in crate::commands) async fn load_windows(
        self,
        cell: usize,
        run: u32,
    ) -> anyhow::Result<Vec<LoadWindowRow>> {
        match self {
            Self::Store(store, no) => Ok(store.load_windows(no, (cell, run)).await?),
            Self::Bundle(content) => {
                let its = |row: &&LoadWindowRow| (row.cell, row.run) == (cell, run);
                Ok(content.load_windows.iter().filter(its).cloned().collect())
            }
        }
    }

    /// The windows of sustained loads, with what was observed in them.
    pub(super) async fn sustained(
        self,
        campaign: &CampaignRow,
        names: Names<'_>,
    ) -> anyhow::Result<SustainedLoads> {
        let mut loads = SustainedLoads::default();
        let cells = campaign.plan.cells.iter().enumerate();
        for (cell, _) in cells.filter(|(_, cell)| cell.sustained().is_some()) {
            for run in 1..=campaign.matrix.most_runs() {
                let windows = self.load_windows(cell, run).await?;
                loads.add_run(&campaign.plan, cell, run, windows);
            }
        }
        if !loads.is_empty() {
            self.windows(names, |window| loads.observe(&window)).await?;
        }
        Ok(loads)
    }

    pub(in crate::commands) async fn signatures(self) -> anyhow::Result<Vec<SignatureRow>> {
        match self {
            Self::Store(store, no) => Ok(store.signatures(no).await?),
            Self::Bundle(content) => Ok(content.signatures.clone()),
        }
    }

    /// Reads the samples.
    pub(in crate::commands) async fn samples(
        self,
        names: Names<'a>,
    ) -> anyhow::Result<Samples<'a>> {
        let (plan, runs) = (names.plan, names.matrix.most_runs());
        let rows = match self {
            Self::Store(store, no) => Rows::Store {
                ahead: Box::new(ReadAhead::new(store, no, plan, runs)),
                late: Box::new(store.late(no).await?.into_iter().peekable()),
            },
            Self::Bundle(content) => {
                let (samples, texts) = (content.samples.clone(), content.texts.clone());
                let has_texts = texts.is_some();
                let samples = StoredSamples::open(names, runs, samples, texts);
                Rows::Bundle { samples: Box::new(samples.context(archive::SAMPLES)?), has_texts }
            }
        };
        Ok(Samples { keys: keys(plan, runs).peekable(), rows })
    }
}

/// Samples are read so many at a time: with their texts they take about 20 MB.
const PART: u32 = 1 << 16;

/// Cell, run and dialogues.
type Key = (usize, u32, Range<u32>);
type Keys = Box<dyn Iterator<Item = Key> + Send>;

/// Every run of every cell in parts. The last part of a run is open, and there is one at least.
fn keys(plan: &Plan, runs: u32) -> Keys {
    let samples = u32::try_from(plan.samples).unwrap_or(u32::MAX);
    let last = samples.saturating_sub(1) / PART;
    let part = move |part| {
        let end = if part == last { u32::MAX } else { (part + 1) * PART };
        part * PART..end
    };
    let runs = (0..plan.cells.len()).flat_map(move |cell| (1..=runs).map(move |run| (cell, run)));
    Box::new(runs.flat_map(move |(cell, run)| (0..=last).map(move |at| (cell, run, part(at)))))
}

/// The samples of a campaign by cell and run, a part at a time: those that count by dialogue, then those that came
/// late.
pub(in crate::commands) struct Samples<'a> {
    keys: Peekable<Keys>,
    rows: Rows<'a>,
}

enum Rows<'a> {
    Store { ahead: Box<ReadAhead<'a>>, late: Box<Peekable<std::vec::IntoIter<SampleRow>>> },
    Bundle { samples: Box<StoredSamples<'a>>, has_texts: bool },
}

/// A part of a run.
pub(in crate::commands) struct Part {
    pub(in crate::commands) rows: Vec<SampleRow>,
    pub(super) scores: Stated,
}

/// The scores that the rows came with.
pub(super) enum Stated {
    /// None: they follow from the texts.
    None,
    /// Those of the file, which must follow from the texts. The first is of this row.
    ToCheck(u64, Vec<Option<Rouge>>),
    /// Those of the file; the texts are not there.
    Given(Vec<Option<Rouge>>),
}

impl Samples<'_> {
    /// The next part of a cell; nothing after its last. Cells are asked for in the order of the plan.
    pub(in crate::commands) async fn next(&mut self, cell: usize) -> anyhow::Result<Option<Part>> {
        let Some((_, run, dialogues)) = self.keys.next_if(|key| key.0 == cell) else {
            return Ok(None);
        };
        let is_last = dialogues.end == u32::MAX;
        let is_of_run = |row: &SampleRow| (row.key.cell as usize, row.key.run) == (cell, run);
        match &mut self.rows {
            Rows::Store { ahead, late } => {
                let mut rows = ahead.next().await?;
                if is_last {
                    rows.extend(std::iter::from_fn(|| late.next_if(is_of_run)));
                }
                Ok(Some(Part { rows, scores: Stated::None }))
            }
            Rows::Bundle { samples, has_texts } => {
                let is_of_part = |row: &SampleRow| {
                    is_of_run(row) && (is_last || row.key.sample < dialogues.end && row.is_counted)
                };
                let first = samples.next_row();
                let (mut rows, mut scores) = (Vec::new(), Vec::new());
                while let Some(next) = samples.next_if(is_of_part).context(archive::SAMPLES)? {
                    rows.push(next.row);
                    scores.push(next.rouge);
                }
                let scores =
                    if *has_texts { Stated::ToCheck(first, scores) } else { Stated::Given(scores) };
                Ok(Some(Part { rows, scores }))
            }
        }
    }

    /// After the last cell no row is left.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        if let Rows::Bundle { mut samples, .. } = self.rows
            && samples.next_if(|_| true).context(archive::SAMPLES)?.is_some()
        {
            bail!("{}: row {} is out of order", archive::SAMPLES, samples.next_row() - 1);
        }
        Ok(())
    }
}

/// The counted samples of every run of every cell, part by part in this order: the next one is read while one is
/// worked on.
struct ReadAhead<'a> {
    store: &'a Store,
    no: CampaignNo,
    keys: Keys,
    reading: Option<Reading>,
}

type Reading = tokio::task::JoinHandle<Result<Vec<SampleRow>, store::Error>>;

impl<'a> ReadAhead<'a> {
    fn new(store: &'a Store, no: CampaignNo, plan: &Plan, runs: u32) -> Self {
        let mut ahead = Self { store, no, keys: keys(plan, runs), reading: None };
        ahead.reading = ahead.begin();
        ahead
    }

    fn begin(&mut self) -> Option<Reading> {
        let (store, no, (cell, run, part)) = (self.store.clone(), self.no, self.keys.next()?);
        let read = async move { store.counted_part(no, (cell, run), part, Texts::Read).await };
        Some(tokio::spawn(read))
    }

    /// The next part; nothing after the last.
    async fn next(&mut self) -> anyhow::Result<Vec<SampleRow>> {
        let Some(reading) = self.reading.take() else { return Ok(Vec::new()) };
        let rows = reading.await.context("reading was interrupted")??;
        self.reading = self.begin();
        Ok(rows)
    }
}
