//! What is written is read back; what would be counted twice is refused.

use super::*;
use crate::matrix::{Matrix, Overrides};
use crate::plan::Plan;
use proto::ids::CampaignId;
use proto::sample::{Finish, Sample};

const MATRIX: &str = r#"
name = "stored"
[dataset]
source = "builtin:dialogues"
[[model]]
name = "tiny"
id = "builtin:tiny"
[[fleet.local]]
target = "here"
usd_per_hour = 0.1
"#;

fn sample(id: &str, text: Option<&str>) -> Sample {
    Sample {
        sample_id: id.try_into().unwrap(),
        start_ns: 5,
        ttft_ns: None,
        latency_ns: 70,
        input_tokens: 3,
        cut_tokens: 0,
        output_tokens: 2,
        unknown_tokens: 1,
        outcome: sample_outcome(),
        text: text.map(str::to_owned),
    }
}

fn sample_outcome() -> proto::sample::Outcome {
    proto::sample::Outcome::Ok(Finish::Length)
}

fn write(ordinal: u32, is_counted: bool) -> SampleWrite {
    SampleWrite {
        cell: 0,
        run: 1,
        ordinal,
        segment: 1,
        attempt: 1,
        agent: 0,
        batch: 0,
        is_counted,
        sample: sample(&format!("s{ordinal}"), Some("A & B")),
    }
}

async fn campaign(store: &Store, id: &str) -> CampaignNo {
    let overrides = Overrides::default();
    let matrix = Matrix::check(MATRIX, "m", std::path::Path::new("/"), &overrides).unwrap();
    let plan = Plan::make(&matrix, 2).unwrap();
    let dialogue = |id: &str, is_measured| DialogueRow {
        sample_id: id.try_into().unwrap(),
        dialogue: "A: hi".to_owned(),
        summary: None,
        is_measured,
    };
    let dataset = DatasetFacts {
        source: "builtin:dialogues".to_owned(),
        sha256: "0".repeat(64),
        dialogues: 3,
        samples: 2,
        sample_ids_sha256: "1".repeat(64),
        references: 0,
    };
    let id = CampaignId::try_from(id).unwrap();
    let new = NewCampaign {
        id: &id,
        created_at: "2026-11-23T08:00:00Z".parse().unwrap(),
        controller_version: "0.1.0",
        matrix_text: MATRIX,
        matrix: &matrix,
        plan: &plan,
        dataset: &dataset,
        prices: &[],
        dialogues: &[dialogue("s0", true), dialogue("s1", true), dialogue("w", false)],
    };
    store.create(&new).await.unwrap()
}

#[tokio::test]
async fn what_is_written_is_read_back_after_the_file_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let no = campaign(&store, "first").await;
    store.append(no, &[write(0, true), write(1, true), write(1, false)]).await.unwrap();
    store.finish(no, State::Complete, "2026-11-23T09:00:00Z".parse().unwrap()).await.unwrap();
    store.close().await;

    let store = Store::open(folder.path()).await.unwrap();
    let found = store.find("latest").await.unwrap();
    assert_eq!(found, no);
    let row = store.campaign(found).await.unwrap();
    assert_eq!((row.state, row.matrix_text.as_str()), (State::Complete, MATRIX));
    assert_eq!(store.dialogues(found).await.unwrap().len(), 3);
    let samples = store.samples(found, Texts::Read).await.unwrap();
    assert_eq!(samples.iter().filter(|sample| sample.is_counted).count(), 2);
    assert_eq!(samples[0].text.as_deref(), Some("A & B"));
    assert_eq!(samples[0].outcome, Outcome::Ok(Finish::Length));
    let without = store.samples(found, Texts::Leave).await.unwrap();
    assert!(without.iter().all(|sample| sample.text.is_none()));
}

#[tokio::test]
async fn a_sample_that_counts_twice_is_refused_and_its_group_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let no = campaign(&store, "twice").await;
    store.append(no, &[write(0, true)]).await.unwrap();
    assert!(store.append(no, &[write(1, true), write(0, true)]).await.is_err());
    assert_eq!(store.samples(no, Texts::Leave).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_unknown_campaign_is_told_with_the_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let error = store.find("latest").await.unwrap_err();
    assert!(error.to_string().contains("which is empty"), "{error}");
    campaign(&store, "known").await;
    let error = store.find("other").await.unwrap_err();
    assert!(error.to_string().ends_with("newest: known"), "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = Store::open(&file).await.unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join(FILE),
        "not a database, but long enough to be read as one".repeat(99),
    )
    .unwrap();
    assert!(Store::open(folder.path()).await.is_err());
}
