//! How many samples a second are on disk: groups as the loop of a campaign writes them, each in one synced transaction.
//!
//! `cargo bench -p controller --bench store`; the limit is 50,000 samples a second on two cores.

use divan::Bencher;
use divan::counter::ItemsCount;
use matrix::plan::Plan;
use matrix::{Matrix, Overrides};
use model::output_ids::OutputIds;
use model::sample::{Finish, Outcome, Sample, SampleKey};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use store::{DatasetFacts, Hold, NewCampaign, Place, SampleRow, Store, Write};
use tokio::runtime::Runtime;

const MATRIX: &str = r#"
name = "bench"
[dataset]
source = "builtin:dialogues"
[[model]]
name = "tiny"
id = "builtin:tiny"
[[fleet.local]]
target = "here"
usd_per_hour = 0.1
"#;

fn main() {
    divan::main();
}

async fn begin(folder: &Path) -> (Store, Hold) {
    let matrix = Matrix::check(MATRIX, "m", folder, &Overrides::default()).expect("it is right");
    let plan = Plan::make(&matrix, 1).expect("there is something to measure");
    let store = Store::open(&Place::Folder(folder.to_owned())).await.expect("it opens");
    let new = NewCampaign {
        id: &"bench".try_into().expect("it is a name"),
        created_at: chrono::DateTime::UNIX_EPOCH,
        controller_version: "0",
        matrix_text: MATRIX,
        matrix: &matrix,
        plan: &plan,
        dataset: &DatasetFacts {
            source: String::new(),
            sha256: String::new(),
            revision: None,
            dialogues: 0,
            samples: 1,
            sample_ids_sha256: String::new(),
            references: 0,
            set_aside: None,
            notes: Vec::new(),
        },
        prices: &[],
        dialogues: &[],
    };
    let no = store.create(&new).await.expect("it is written");
    let hold = store.hold(no, folder).await.expect("nobody holds it");
    (store, hold)
}

fn group(first: u32, samples: u32) -> Vec<Write> {
    let sample = |ordinal: u32| {
        Write::Sample(SampleRow {
            key: SampleKey {
                cell: 0,
                run: 1,
                sample: ordinal,
                segment: 1,
                attempt: 1,
                agent: 0,
                batch: ordinal / 8,
            },
            is_counted: true,
            sample: Sample {
                start_ns: 1_000_000,
                ttft_ns: Some(40_000_000),
                latency_ns: 240_000_000,
                input_tokens: Some(180),
                cut_tokens: 0,
                output_tokens: Some(24),
                unknown_tokens: 0,
                reference_tokens: None,
                schedule_delay_ns: None,
                http: None,
                chunk_gaps: None,
                drafts: None,
                outcome: Outcome::Ok(Finish::Eos),
                failure_detail: None,
                text: Some("Amanda baked cookies and will bring Jerry some tomorrow.".repeat(2)),
                output_ids: Some(OutputIds::pack(&[21_542; 24])),
            },
        })
    };
    (first..first + samples).map(sample).collect()
}

/// Samples of one transaction: of one batch, of a few agents, of many.
#[divan::bench(args = [8, 256, 4096], sample_count = 50, sample_size = 1)]
fn write(bencher: Bencher<'_, '_>, samples: u32) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let runtime = Runtime::new().expect("the system gives threads");
    let (store, hold) = runtime.block_on(begin(folder.path()));
    let next = AtomicU32::new(0);
    bencher
        .counter(ItemsCount::new(samples))
        .with_inputs(|| group(next.fetch_add(samples, Ordering::Relaxed), samples))
        .bench_values(|group| {
            runtime.block_on(store.write(&hold, &group)).expect("it is written");
        });
}
