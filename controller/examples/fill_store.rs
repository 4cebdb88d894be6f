//! Fills a store with a campaign that was never run, to measure how long its report takes and how much memory:
//!
//! `cargo run --release -p controller --example fill_store -- DIR SAMPLES`
//!
//! Two targets, two batch sizes, five runs; the dialogues follow from the number of samples. tests/scale.sh calls it.

use anyhow::Context;
use matrix::plan::{Plan, batches};
use matrix::{Matrix, Overrides};
use model::engine::EngineFacts;
use model::host::AgentFacts;
use model::ids::CampaignId;
use model::output_ids::OutputIds;
use model::sample::{Finish, Outcome, Sample, SampleKey};
use model::segment::SegmentFacts;
use std::path::{Path, PathBuf};
use store::{
    AgentWrite, DatasetFacts, DialogueRow, NewCampaign, Place, PriceRow, SampleRow, State, Store,
    Write,
};

const CELLS: usize = 4;
const RUNS: usize = 5;
/// Samples of one transaction.
const GROUP: usize = 30_000;

const MATRIX: &str = r#"
name = "scale"
[dataset]
source = "builtin:dialogues"
[[model]]
name = "tiny"
id = "builtin:tiny"
[factors]
batch_sizes = [1, 8]
[protocol]
runs = 5
[[fleet.local]]
target = "one"
usd_per_hour = 0.06
[[fleet.local]]
target = "two"
usd_per_hour = 0.1
"#;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder: PathBuf = arguments.next().context("give a folder")?.into();
    let samples: usize = arguments.next().context("give a number of samples")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(fill(&folder, samples.div_ceil(CELLS * RUNS)))
}

async fn fill(folder: &Path, dialogues: usize) -> anyhow::Result<()> {
    let store = Store::open(&Place::Folder(folder.to_owned())).await?;
    let matrix = Matrix::check(MATRIX, "scale", Path::new("/"), &Overrides::default())?;
    let plan = Plan::make(&matrix, dialogues)?;
    let rows = (0..dialogues).map(|index| -> anyhow::Result<DialogueRow> {
        Ok(DialogueRow {
            sample_id: format!("d{index}").as_str().try_into()?,
            dialogue: format!("Anna: I bring {index} cakes\nBen: great"),
            summary: Some(format!("Anna brings {index} cakes to the party and Ben is glad.")),
            is_measured: true,
        })
    });
    let rows = rows.collect::<anyhow::Result<Vec<_>>>()?;
    let dataset = DatasetFacts {
        source: "builtin:dialogues".to_owned(),
        sha256: "0".repeat(64),
        revision: None,
        dialogues,
        samples: dialogues,
        sample_ids_sha256: "1".repeat(64),
        references: dialogues,
        set_aside: None,
        notes: Vec::new(),
    };
    let price = |usd_per_hour| PriceRow {
        usd_per_hour,
        service: None,
        region: None,
        purchase: None,
        source: "matrix".to_owned(),
        date: None,
        is_region_assumed: false,
    };
    let id = CampaignId::try_from("scale-20261123-080000-000")?;
    let at = "2026-11-23T08:00:00Z".parse()?;
    let no = store
        .create(&NewCampaign {
            id: &id,
            created_at: at,
            controller_version: "0.1.0",
            matrix_text: MATRIX,
            matrix: &matrix,
            plan: &plan,
            dataset: &dataset,
            prices: &[price(0.06), price(0.1)],
            dialogues: &rows,
        })
        .await?;
    let hold = store.hold(no, folder).await?;
    for agent in 0..2 {
        let (name, host) = (format!("agent-{agent}"), format!("boot-{agent}"));
        let engine = EngineFacts { device: "cpu".to_owned(), ..EngineFacts::default() };
        let joined = AgentWrite {
            ordinal: agent,
            agent: name.as_str().try_into()?,
            host: host.as_str().try_into()?,
            target: agent,
            joined_at: at,
            facts: AgentFacts::default(),
            engines: vec![Some(engine)],
        };
        store.write(&hold, &[Write::Agent(Box::new(joined))]).await?;
    }
    for run in &plan.runs {
        let agent = plan.cells[run.cell].target;
        let key = (run.cell, run.number, 1);
        let begins = Write::Segment { key, agent, started_at: at };
        let facts = Write::SegmentFacts { key, facts: SegmentFacts::default() };
        store.write(&hold, &[begins, facts]).await?;
        let samples = samples(&plan, run.cell, run.number, agent)?;
        for group in samples.chunks(GROUP) {
            store.write(&hold, group).await?;
        }
    }
    store.finish(&hold, State::Complete, at).await?;
    store.close().await;
    Ok(())
}

fn samples(plan: &Plan, cell: usize, run: u32, agent: usize) -> anyhow::Result<Vec<Write>> {
    let composition = batches::compose(plan.seed, run, plan.cells[cell].batch_size, plan.samples);
    let mut start_ns = 0;
    let mut writes = Vec::with_capacity(plan.samples);
    for (batch, ordinals) in (0_u32..).zip(composition) {
        let mut longest = 0;
        for ordinal in ordinals {
            let noise =
                u64::from(ordinal).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ u64::from(run)) >> 44;
            let latency_ns = 10_000_000 + noise * 10 + agent as u64 * 500_000;
            longest = longest.max(latency_ns);
            let output_tokens = 10 + ordinal % 7;
            let sample = Sample {
                start_ns,
                ttft_ns: Some(latency_ns / 4),
                latency_ns,
                input_tokens: Some(40),
                cut_tokens: 0,
                output_tokens: Some(output_tokens),
                unknown_tokens: 0,
                reference_tokens: (run == 1).then_some(12),
                schedule_delay_ns: None,
                http: None,
                chunk_gaps: None,
                drafts: None,
                outcome: Outcome::Ok(Finish::Eos),
                failure_detail: None,
                text: Some(format!("Anna will bring {} cakes to the party.", ordinal % 1000)),
                output_ids: Some(OutputIds::pack(&vec![
                    7_000 + ordinal % 1000;
                    output_tokens as usize
                ])),
            };
            writes.push(Write::Sample(SampleRow {
                key: SampleKey {
                    cell: u32::try_from(cell)?,
                    run,
                    sample: ordinal,
                    segment: 1,
                    attempt: 1,
                    agent: u32::try_from(agent)?,
                    batch,
                },
                is_counted: true,
                sample,
            }));
        }
        start_ns += longest;
    }
    Ok(writes)
}
