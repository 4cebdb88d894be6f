//! What is written is read back; what would be counted twice is refused. Every test of the suite runs on SQLite, and on
//! PostgreSQL with tests/postgres.sh, which starts a server; each has a database of its own.

use super::*;
use matrix::plan::Plan;
use matrix::{Matrix, Overrides};
use model::ids::CampaignId;
use model::output_ids::OutputIds;
use model::sample::{Drafts, Finish, HttpTiming, Outcome, Sample, SampleKey};
use model::telemetry::{Metric, Phase, Readings};

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

fn sample(text: Option<&str>) -> Sample {
    Sample {
        start_ns: 5,
        ttft_ns: Some(10),
        latency_ns: 70,
        input_tokens: Some(3),
        cut_tokens: 0,
        output_tokens: Some(2),
        unknown_tokens: 1,
        reference_tokens: Some(9),
        schedule_delay_ns: Some(4),
        http: Some(HttpTiming {
            total_ns: 60,
            connect_ns: None,
            first_byte_ns: Some(50),
            server_ns: Some(40),
            is_reconnected: true,
        }),
        chunk_gaps: text.map(|_| vec![0, 300].into()),
        drafts: Some(Drafts { drafted: 7, accepted: 2 }),
        outcome: Outcome::Ok(Finish::Length),
        failure_detail: None,
        text: text.map(str::to_owned),
        output_ids: text.map(|_| OutputIds::pack(&[300, 1])),
    }
}

fn write(number: u32, is_counted: bool) -> Write {
    let (cell, run, segment, attempt, agent, batch) = (0, 1, 1, 1, 0, 0);
    let key = SampleKey { cell, run, sample: number, segment, attempt, agent, batch };
    Write::Sample(SampleRow { key, is_counted, sample: sample(Some("A & \0")) })
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
        revision: None,
        source: "builtin:dialogues".to_owned(),
        sha256: "0".repeat(64),
        dialogues: 3,
        samples: 2,
        sample_ids_sha256: "1".repeat(64),
        references: 0,
        set_aside: None,
        notes: Vec::new(),
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
    Box::pin(store.create(&new)).await.unwrap()
}

fn at(time: &str) -> chrono::DateTime<chrono::Utc> {
    format!("2026-11-23T{time}Z").parse().unwrap()
}

/// A database of its own, and a data folder.
struct Bench {
    place: Place,
    data_dir: tempfile::TempDir,
}

impl Bench {
    fn sqlite() -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        Self { place: Place::Folder(data_dir.path().to_owned()), data_dir }
    }

    async fn postgres() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        #[expect(clippy::disallowed_methods, reason = "tests/postgres.sh passes its server")]
        let server = std::env::var("FLEETMARK_TEST_POSTGRES").unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        let admin = sqlx::PgPool::connect(&format!("{server}/postgres")).await.unwrap();
        let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(sql).execute(&admin).await.unwrap();
        let place = Place::server(format!("{server}/{name}")).unwrap();
        Self { place, data_dir: tempfile::tempdir().unwrap() }
    }

    async fn open(&self) -> Store {
        Store::open(&self.place).await.unwrap()
    }

    async fn hold(&self, store: &Store, no: CampaignNo) -> Hold {
        store.hold(no, self.data_dir.path()).await.unwrap()
    }
}

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test] async fn $name() { suite::$name(Bench::sqlite()).await; })*
        }
        mod postgres {
            use super::*;
            $(
                #[tokio::test]
                #[ignore = "needs PostgreSQL: tests/postgres.sh"]
                async fn $name() { suite::$name(Bench::postgres().await).await; }
            )*
        }
    };
}

on_both!(
    tokens_are_rotated_and_revoked_by_name,
    what_is_written_is_read_back_after_it_was_closed,
    a_sample_that_counts_twice_is_refused_and_its_group_with_it,
    an_unknown_campaign_is_told_with_the_known_ones,
    a_held_campaign_is_refused_to_a_second_controller,
    attempts_of_a_later_start_are_above_all_that_went_before,
    events_stay_in_order_when_the_clock_steps_back,
    counted_batches_are_those_that_count,
    signatures_are_read_back_and_deleted_with_their_campaign,
    more_rows_than_a_statement_takes_are_all_there,
    windows_are_read_back_in_order_and_what_was_not_read_stays_null,
);

mod suite {
    use super::*;

    pub(super) async fn tokens_are_rotated_and_revoked_by_name(bench: Bench) {
        let store = bench.open().await;
        let at = |seconds| chrono::DateTime::from_timestamp(seconds, 0).unwrap();
        store.add_token("a", "old", at(1)).await.unwrap();
        store.add_token("a", "new", at(2)).await.unwrap();
        store.add_token("b", "other", at(3)).await.unwrap();
        assert_eq!(store.revoke("a", Which::AllButLatest, at(4)).await.unwrap(), 1);
        let revoked = async |store: &Store| {
            let rows = store.credentials().await.unwrap();
            let revoked = rows.into_iter().filter(|row| row.revoked_at.is_some());
            revoked.map(|row| (row.name, row.kind, row.sha256)).collect::<Vec<_>>()
        };
        let old = ("a".to_owned(), CredentialKind::Token, "old".to_owned());
        assert_eq!(revoked(&store).await, std::slice::from_ref(&old));

        assert_eq!(store.revoke("a", Which::All, at(5)).await.unwrap(), 1);
        assert_eq!(store.revoke("a", Which::All, at(6)).await.unwrap(), 0);
        let new = ("a".to_owned(), CredentialKind::Token, "new".to_owned());
        let certificates = ("a".to_owned(), CredentialKind::Certificate, String::new());
        assert_eq!(revoked(&store).await, [old, new, certificates]);
    }

    pub(super) async fn what_is_written_is_read_back_after_it_was_closed(bench: Bench) {
        let store = bench.open().await;
        let no = campaign(&store, "first").await;
        let hold = bench.hold(&store, no).await;
        store.write(&hold, &[write(0, true), write(1, true), write(1, false)]).await.unwrap();
        store.finish(&hold, State::Complete, at("09:00:00")).await.unwrap();
        store.close().await;

        let store = bench.open().await;
        let found = store.find("latest").await.unwrap();
        assert_eq!(found, no);
        let row = store.campaign(found).await.unwrap();
        assert_eq!((row.state, row.matrix_text.as_str()), (State::Complete, MATRIX));
        assert_eq!(row.finished_at, Some(at("09:00:00")));
        assert_eq!(store.dialogues(found).await.unwrap().len(), 3);
        let samples = store.samples(found, Texts::Read).await.unwrap();
        assert_eq!(samples.iter().filter(|sample| sample.is_counted).count(), 2);
        assert_eq!(
            samples[0].sample.text.as_deref(),
            Some("A & \u{fffd}"),
            "no zero bytes are kept"
        );
        assert_eq!(samples[0].sample.outcome, Outcome::Ok(Finish::Length));
        let without = store.samples(found, Texts::Leave).await.unwrap();
        assert!(without.iter().all(|row| row.sample.text.is_none()));
        assert_eq!(samples[0].sample.output_ids, Some(OutputIds::pack(&[300, 1])));
        assert!(without.iter().all(|row| row.sample.output_ids.is_none()));
        assert_eq!(samples[0].sample.chunk_gaps, Some(vec![0, 300].into()));
        assert_eq!(without[0].sample.drafts, Some(Drafts { drafted: 7, accepted: 2 }));
        assert!(without.iter().all(|row| row.sample.chunk_gaps.is_none()));
    }

    pub(super) async fn a_sample_that_counts_twice_is_refused_and_its_group_with_it(bench: Bench) {
        let store = bench.open().await;
        let no = campaign(&store, "twice").await;
        let hold = bench.hold(&store, no).await;
        store.write(&hold, &[write(0, true)]).await.unwrap();
        assert!(store.write(&hold, &[write(1, true), write(0, true)]).await.is_err());
        assert_eq!(store.samples(no, Texts::Leave).await.unwrap().len(), 1);
    }

    pub(super) async fn an_unknown_campaign_is_told_with_the_known_ones(bench: Bench) {
        let store = bench.open().await;
        let error = store.find("latest").await.unwrap_err();
        assert!(error.to_string().contains("which is empty"), "{error}");
        campaign(&store, "known").await;
        let error = store.find("other").await.unwrap_err();
        assert!(error.to_string().ends_with("newest: known"), "{error}");
    }

    pub(super) async fn a_held_campaign_is_refused_to_a_second_controller(bench: Bench) {
        let (store, second) = (bench.open().await, bench.open().await);
        let no = campaign(&store, "mine").await;
        let hold = bench.hold(&store, no).await;
        let error = second.hold(no, bench.data_dir.path()).await.unwrap_err();
        assert!(matches!(&error, Error::Held { id } if id == "mine"), "{error}");
        let other = campaign(&second, "other").await;
        let _other = bench.hold(&second, other).await;
        // Its holder dies.
        drop(hold);
        store.close().await;
        let hold = bench.hold(&second, no).await;
        second.write(&hold, &[write(0, true)]).await.unwrap();
    }

    pub(super) async fn attempts_of_a_later_start_are_above_all_that_went_before(bench: Bench) {
        let store = bench.open().await;
        let no = campaign(&store, "again").await;
        let first = bench.hold(&store, no).await.attempts_from();
        let second = bench.hold(&store, no).await.attempts_from();
        assert_eq!((first, second), (0, 1 << 32));
    }

    pub(super) async fn events_stay_in_order_when_the_clock_steps_back(bench: Bench) {
        let store = bench.open().await;
        let no = campaign(&store, "clock").await;
        let hold = bench.hold(&store, no).await;
        let event = |time, kind| Write::Event { at: at(time), kind, detail: String::new() };
        store
            .write(&hold, &[event("10:00:00", "first"), event("08:00:00", "second")])
            .await
            .unwrap();
        store.write(&hold, &[event("09:00:00", "third")]).await.unwrap();
        store.finish(&hold, State::Complete, at("07:00:00")).await.unwrap();
        let events = store.events(no).await.unwrap();
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["first", "second", "third"]);
    }

    pub(super) async fn counted_batches_are_those_that_count(bench: Bench) {
        let store = bench.open().await;
        let no = campaign(&store, "batches").await;
        let hold = bench.hold(&store, no).await;
        store.write(&hold, &[write(0, true), write(1, true), write(0, false)]).await.unwrap();
        let batches = store.counted_batches(no).await.unwrap();
        assert_eq!(batches, [CountedBatch { cell: 0, run: 1, batch: 0, samples: 2 }]);
    }

    pub(super) async fn signatures_are_read_back_and_deleted_with_their_campaign(bench: Bench) {
        let store = bench.open().await;
        let no = campaign(&store, "signed").await;
        let hold = bench.hold(&store, no).await;
        let row = |attempt, byte| SignatureRow {
            attempt,
            agent: 1,
            certificate: vec![byte; 500],
            salt: Some([byte; 32]),
            digest: [byte + 1; 32],
            signature: vec![0, byte],
        };
        let write = |row: &SignatureRow| Write::Signature(Box::new(row.clone()));
        let (first, second) = (row(1, 1), row(1 << 40, 2));
        store.write(&hold, &[write(&second), write(&first)]).await.unwrap();
        assert_eq!(store.signatures(no).await.unwrap(), [first.clone(), second]);
        assert!(store.write(&hold, &[write(&first)]).await.is_err(), "an attempt is signed once");
        store.delete(hold).await.unwrap();
        assert_eq!(store.signatures(no).await.unwrap(), []);
    }

    pub(super) async fn more_rows_than_a_statement_takes_are_all_there(bench: Bench) {
        let store = bench.open().await;
        let no = campaign(&store, "many").await;
        let hold = bench.hold(&store, no).await;
        let writes: Vec<Write> = (0..3333).map(|ordinal| write(ordinal, true)).collect();
        store.write(&hold, &writes).await.unwrap();
        let samples = store.samples(no, Texts::Leave).await.unwrap();
        assert_eq!(samples.len(), 3333);
        assert!(samples.iter().zip(0..).all(|(row, ordinal)| row.key.sample == ordinal));
    }

    pub(super) async fn windows_are_read_back_in_order_and_what_was_not_read_stays_null(
        bench: Bench,
    ) {
        let store = bench.open().await;
        let no = campaign(&store, "watched").await;
        let hold = bench.hold(&store, no).await;
        let mut readings = Readings::default();
        readings.set(Metric::GpuTemperatureCelsius, 71.5);
        readings.set(Metric::ProcessMajorFaults, 0.0);
        let window = |of: Option<(usize, u32, u64)>, start_ns| WindowRow {
            agent: 0,
            of,
            phase: if of.is_some() { Phase::Measuring } else { Phase::Idle },
            start_ns,
            end_ns: start_ns + 5,
            readings: readings.clone(),
        };
        // More than a statement takes, the last first.
        let mut windows: Vec<WindowRow> =
            (0..1500).map(|start| window(Some((0, 1, 1)), start)).collect();
        windows.insert(0, window(None, 7));
        let writes = windows.iter().rev().map(|row| Write::Window(Box::new(row.clone())));
        store.write(&hold, &writes.collect::<Vec<_>>()).await.unwrap();
        let mut read = Vec::new();
        store.windows(no, |window| read.push(window)).await.unwrap();
        assert_eq!(read, windows);
        assert_eq!(read[0].readings.of(Metric::GpuPowerWatts), None);
    }
}

#[tokio::test]
async fn another_writer_is_told_and_nothing_is_lost() {
    let bench = Bench::sqlite();
    let store = bench.open().await;
    let no = campaign(&store, "locked").await;
    let hold = bench.hold(&store, no).await;
    let other = sqlx::SqlitePool::connect(&bench.place.to_string()).await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = store.write(&hold, &[write(0, true)]).await.unwrap_err();
    assert!(matches!(error, Error::Locked(_)), "{error:?}");
    assert!(error.to_string().starts_with("the database is locked"), "{error}");
    lock.rollback().await.unwrap();
    store.write(&hold, &[write(0, true)]).await.unwrap();
    assert_eq!(store.samples(no, Texts::Leave).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_group_is_whole_or_not_there() {
    let bench = Bench::sqlite();
    let store = bench.open().await;
    let no = campaign(&store, "full").await;
    let hold = bench.hold(&store, no).await;
    let Database::Sqlite(pool) = &store.database else { panic!("it is SQLite") };
    let limit = |pages: u32| sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    sqlx::query(limit(40)).execute(pool).await.unwrap();
    let writes: Vec<Write> = (0..5000).map(|ordinal| write(ordinal, true)).collect();
    let error = store.write(&hold, &writes).await.unwrap_err();
    assert!(matches!(error, Error::DiskFull(_)), "{error:?}");
    assert!(error.to_string().contains("--resume"), "{error}");
    assert!(store.samples(no, Texts::Leave).await.unwrap().is_empty());
    sqlx::query(limit(4000)).execute(pool).await.unwrap();
    store.write(&hold, &writes).await.unwrap();
    assert_eq!(store.samples(no, Texts::Leave).await.unwrap().len(), 5000);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = Store::open(&Place::Folder(file)).await.unwrap_err();
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
    assert!(Store::open(&Place::Folder(folder.path().to_owned())).await.is_err());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_told_without_its_password() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::server(format!("postgres://me:secret@{free}/bench")).unwrap();
    assert!(!format!("{place:?} {place}").contains("secret"));
    let error = Store::open(&place).await.unwrap_err();
    assert!(error.to_string().starts_with("can't use PostgreSQL 127.0.0.1:"), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[test]
fn what_is_no_url_of_a_server_is_told() {
    for url in ["mysql://h/d", "h/d", "postgres://h:port/d"] {
        assert!(matches!(Place::server(url.to_owned()), Err(Error::Url)), "{url}");
    }
}

mod faults {
    //! Files of the database that are damaged, deleted or replaced.

    use super::*;
    use std::os::unix::fs::FileExt;
    use std::task::Poll;

    /// A campaign with three commits of 20 samples in a log that was never moved to the database, as a killed
    /// controller leaves it.
    async fn killed() -> Bench {
        let (bench, left) = (Bench::sqlite(), Bench::sqlite());
        let store = bench.open().await;
        let no = campaign(&store, "a-20261123-080000-000").await;
        let hold = bench.hold(&store, no).await;
        for part in 0..3 {
            let writes: Vec<Write> =
                (0..20).map(|sample| write(part * 20 + sample, true)).collect();
            store.write(&hold, &writes).await.unwrap();
        }
        let (from, to) = (bench.data_dir.path(), left.data_dir.path());
        let folder = "campaigns/a-20261123-080000-000";
        std::fs::create_dir_all(to.join(folder)).unwrap();
        for file in [FILE, "fleetmark.db-wal", &format!("{folder}/acknowledged")] {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
        left
    }

    /// Bytes of the header of a log; and of a frame, which has a header and a page.
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4096;

    /// Damages the header of a log, its first frame, or the last frame of its last commit.
    fn damage(bench: &Bench, what: &str) {
        let log = bench.data_dir.path().join("fleetmark.db-wal");
        let bytes = std::fs::read(&log).unwrap();
        // Frames with other salts are left from before the log was last written from its start.
        let salts = &bytes[16..24];
        let frames = bytes[HEADER..].chunks_exact(FRAME);
        let valid = frames.take_while(|frame| frame[8..16] == *salts).count();
        let at = match what {
            "header" => 0,
            "first" => HEADER + 100,
            _ => HEADER + (valid - 1) * FRAME + 100,
        };
        let file = std::fs::File::options().write(true).open(&log).unwrap();
        file.write_all_at(&[0xaa; 24], at as u64).unwrap();
    }

    fn kept(bench: &Bench) -> bool {
        bench.data_dir.path().join("fleetmark.db-wal.kept").exists()
    }

    async fn loss(bench: &Bench) -> Result<(), Error> {
        let store = bench.open().await;
        let no = store.find("latest").await.unwrap();
        let hold = bench.hold(&store, no).await;
        store.take_loss(&hold, at("09:00:00")).await
    }

    #[tokio::test]
    async fn damage_to_the_log_is_said_once_and_what_is_left_is_kept() {
        for (what, is_first) in [("header", true), ("first", true), ("last", false)] {
            let bench = killed().await;
            damage(&bench, what);
            let error = loss(&bench).await.unwrap_err();
            let Error::Lost { acknowledged, missing, .. } = &error else { panic!("{error}") };
            assert_eq!((*acknowledged, *missing), (60, if is_first { 60 } else { 20 }), "{error}");
            assert!(error.is_loss() && error.to_string().contains("wal.kept"), "{error}");
            assert!(kept(&bench));

            loss(&bench).await.unwrap();
            let store = bench.open().await;
            let no = store.find("latest").await.unwrap();
            let events = store.events(no).await.unwrap();
            assert_eq!(events.len(), 1);
            assert!(events[0].kind == "samples_lost" && events[0].detail.contains("of 60"));
            // They are measured again.
            let hold = bench.hold(&store, no).await;
            let again = if is_first { 0..60 } else { 40..60 };
            let writes: Vec<Write> = again.map(|sample| write(sample, true)).collect();
            store.write(&hold, &writes).await.unwrap();
            assert_eq!(store.stored_count(no).await.unwrap(), 60);
        }
    }

    #[tokio::test]
    async fn a_log_without_damage_loses_nothing_and_is_not_kept() {
        let bench = killed().await;
        loss(&bench).await.unwrap();
        assert!(!kept(&bench));
        let store = bench.open().await;
        let no = store.find("latest").await.unwrap();
        assert_eq!(store.stored_count(no).await.unwrap(), 60);
        assert!(store.events(no).await.unwrap().is_empty());
        assert_eq!(store.lost_campaigns(bench.data_dir.path()).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_damaged_record_proves_nothing() {
        let bench = killed().await;
        let record = "campaigns/a-20261123-080000-000/acknowledged";
        std::fs::write(bench.data_dir.path().join(record), "9999\u{fffd}").unwrap();
        loss(&bench).await.unwrap();
    }

    #[tokio::test]
    async fn a_campaign_that_only_its_record_knows_is_named() {
        let bench = killed().await;
        for file in [FILE, "fleetmark.db-wal"] {
            std::fs::remove_file(bench.data_dir.path().join(file)).unwrap();
        }
        let store = bench.open().await;
        let lost = store.lost_campaigns(bench.data_dir.path()).await.unwrap();
        assert_eq!(lost.len(), 1);
        assert_eq!((lost[0].0.as_str(), lost[0].1), ("a-20261123-080000-000", 60));
    }

    #[tokio::test]
    async fn a_database_that_is_deleted_while_it_is_open_is_saved() {
        let delete = |bench: &Bench, files: &[&str]| {
            for file in files {
                std::fs::remove_file(bench.data_dir.path().join(file)).unwrap();
            }
        };
        let log = "fleetmark.db-wal";
        for what in ["database", "log", "all", "folder", "replaced"] {
            let bench = Bench::sqlite();
            let store = bench.open().await;
            let no = campaign(&store, "deleted").await;
            let hold = bench.hold(&store, no).await;
            store.write(&hold, &[write(0, true)]).await.unwrap();
            let path = bench.data_dir.path().join(FILE);
            match what {
                "database" => delete(&bench, &[FILE]),
                "log" => delete(&bench, &[log]),
                "all" => delete(&bench, &[FILE, log, "fleetmark.db-shm"]),
                "folder" => std::fs::remove_dir_all(bench.data_dir.path()).unwrap(),
                _ => {
                    delete(&bench, &[FILE]);
                    std::fs::write(&path, "another file").unwrap();
                }
            }
            let error = store.write(&hold, &[write(1, true)]).await.unwrap_err();
            assert!(error.is_loss(), "{what}: {error}");
            let Error::Moved { saved, .. } = error else { panic!("{what}: {error:?}") };
            store.close().await;
            drop(hold);
            assert_eq!(saved == path, what != "replaced", "{what}: {}", saved.display());
            if what == "replaced" {
                std::fs::rename(&saved, &path).unwrap();
            }
            let store = bench.open().await;
            let no = store.find("deleted").await.unwrap();
            assert_eq!(store.stored_count(no).await.unwrap(), 2, "{what}");
            let hold = bench.hold(&store, no).await;
            store.take_loss(&hold, at("09:00:00")).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_new_connection_has_a_log_of_its_own() {
        let bench = Bench::sqlite();
        let store = bench.open().await;
        let no = campaign(&store, "again").await;
        let hold = bench.hold(&store, no).await;
        store.write(&hold, &[write(0, true)]).await.unwrap();
        let Database::Sqlite(pool) = &store.database else { panic!("it is SQLite") };
        let log = bench.data_dir.path().join("fleetmark.db-wal");
        pool.acquire().await.unwrap().close().await.unwrap();
        assert!(!log.exists());
        // The next log is another file even where numbers of files are used again.
        std::fs::write(bench.data_dir.path().join("other"), "").unwrap();
        store.write(&hold, &[write(1, true)]).await.unwrap();
        store.finish(&hold, State::Complete, at("09:00:00")).await.unwrap();
        std::fs::remove_file(&log).unwrap();
        let error = store.finish(&hold, State::Complete, at("09:00:00")).await.unwrap_err();
        assert!(matches!(error, Error::Moved { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_leaves_the_connection_open() {
        let bench = Bench::sqlite();
        let store = bench.open().await;
        let no = campaign(&store, "given-up").await;
        let hold = bench.hold(&store, no).await;
        store.write(&hold, &[write(0, true)]).await.unwrap();
        let Database::Sqlite(pool) = &store.database else { panic!("it is SQLite") };
        // A temporary table lasts as long as its connection.
        sqlx::query("CREATE TEMP TABLE mark (no INTEGER)").execute(pool).await.unwrap();
        for polls in 1..20 {
            while pool.num_idle() == 0 {
                tokio::task::yield_now().await;
            }
            let mut call = Box::pin(store.stored_count(no));
            for _ in 0..polls {
                let polled =
                    std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context)));
                if polled.await.is_ready() {
                    break;
                }
            }
            drop(call);
            store.finish(&hold, State::Complete, at("09:00:00")).await.unwrap();
            sqlx::query("SELECT no FROM temp.mark").execute(pool).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_database_that_is_deleted_at_the_end_is_not_complete() {
        let bench = Bench::sqlite();
        let store = bench.open().await;
        let no = campaign(&store, "end").await;
        let hold = bench.hold(&store, no).await;
        store.write(&hold, &[write(0, true)]).await.unwrap();
        std::fs::remove_file(bench.data_dir.path().join(FILE)).unwrap();
        let error = store.finish(&hold, State::Complete, at("09:00:00")).await.unwrap_err();
        assert!(matches!(error, Error::Moved { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_id_that_leads_out_of_the_data_folder_is_damage() {
        let bench = Bench::sqlite();
        let store = bench.open().await;
        let no = campaign(&store, "plain").await;
        let Database::Sqlite(pool) = &store.database else { panic!("it is SQLite") };
        for id in ["..", "../../elsewhere", "/etc"] {
            sqlx::query("UPDATE campaign SET id = ?").bind(id).execute(pool).await.unwrap();
            let error = store.hold(no, bench.data_dir.path()).await.unwrap_err();
            assert!(matches!(error, Error::Damaged { what: "id" }), "{id}: {error}");
        }
    }

    #[tokio::test]
    async fn a_damaged_database_is_a_loss() {
        let bench = killed().await;
        std::fs::remove_file(bench.data_dir.path().join("fleetmark.db-wal")).unwrap();
        let path = bench.data_dir.path().join(FILE);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[0xaa; 4096], 4096).unwrap();
        let opened = Store::open(&bench.place).await;
        let error = match opened {
            Err(error) => error,
            Ok(store) => store.find("latest").await.unwrap_err(),
        };
        assert!(error.is_loss(), "{error:?}");
    }
}
