//! The findings of `controller doctor`.

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use chrono::DateTime;
use controller::doctor::{
    Agent, Certificates, Database, DatedPrice, Facts, Folder, Listen, Needed, Outcome, Prices,
    WallClock, findings,
};
use model::finding::{Lifetime, Status, table};
use std::path::PathBuf;
use std::time::Duration;

const DAY: i64 = 86_400;

fn good() -> Facts {
    let now = DateTime::from_timestamp(20_000 * DAY, 0).unwrap();
    let lifetime = Lifetime { from_s: 19_990 * DAY, until_s: 20_080 * DAY };
    Facts {
        clock: WallClock { now, program_modified_at: Some(now), is_synchronized: Some(true) },
        folder: Folder {
            path: PathBuf::from(".fleetmark"),
            exists: true,
            free_bytes: Ok(50 << 30),
            sync: Some(Duration::from_micros(800)),
        },
        database: Database { name: "fleetmark.db".to_owned(), version: Ok(Some(7)), known: 7 },
        listen: Listen { address: "0.0.0.0:7437".parse().unwrap(), outcome: Ok(()) },
        certificates: Some(Certificates {
            folder: PathBuf::from("certs"),
            is_needed: true,
            usable: Ok(()),
            hosts: vec!["bench.example".to_owned(), "localhost".to_owned()],
            lifetimes: vec![("controller.pem".to_owned(), lifetime)],
            open_keys: Vec::new(),
        }),
        agent: Agent { version: Ok("0.1.0".to_owned()), expected: "0.1.0".to_owned() },
        needed: Some(Needed {
            local_threads: Some(2),
            processors: 2,
            sources: vec![outcome("dataset", "builtin:dialogues", Ok("200 dialogues"))],
            channels: vec![outcome("notify", "slack", Ok("SLACK_WEBHOOK_URL is set"))],
            prices: Ok(Prices {
                targets: 2,
                oldest: Some(DatedPrice {
                    target: "ml.m5.xlarge".to_owned(),
                    source: "a list".to_owned(),
                    date: "2024-09-01".parse().unwrap(),
                }),
                age_days: 100,
                stale_after_days: 180,
            }),
        }),
    }
}

fn outcome(what: &'static str, name: &str, found: Result<&str, &str>) -> Outcome {
    let found = found.map(str::to_owned).map_err(str::to_owned);
    Outcome { what, name: name.to_owned(), found }
}

#[test]
fn a_healthy_machine_has_no_problems() {
    insta::assert_snapshot!("all_is_well", table(&findings(&good())));
}

#[test]
fn every_problem_has_a_remedy() {
    let mut facts = good();
    facts.clock.is_synchronized = Some(false);
    facts.folder.exists = false;
    facts.folder.free_bytes = Err("Permission denied".to_owned());
    facts.folder.sync = Some(Duration::from_millis(80));
    facts.database.version = Ok(Some(9));
    facts.listen.outcome = Err("Address already in use".to_owned());
    let certificates = facts.certificates.as_mut().unwrap();
    certificates.hosts.remove(0);
    let ends = |until_s| Lifetime { from_s: 0, until_s: until_s * DAY };
    certificates.lifetimes = vec![
        ("ca.pem".to_owned(), Lifetime { from_s: 20_001 * DAY, until_s: 30_000 * DAY }),
        ("controller.pem".to_owned(), ends(20_003)),
        ("gpu-1.pem".to_owned(), ends(19_999)),
    ];
    certificates.open_keys = vec![PathBuf::from("certs/controller.key")];
    facts.agent.version = Err("no agent program".to_owned());
    let needed = facts.needed.as_mut().unwrap();
    needed.processors = 1;
    needed.sources = vec![
        outcome("dataset", "s3://b/d.jsonl", Err("denied")),
        outcome("model", "google/flan-t5-base", Err("can't reach the hub")),
        outcome("artifacts", "s3://b/results", Err("no bucket b")),
    ];
    needed.channels = vec![outcome("notify", "slack", Err("SLACK_WEBHOOK_URL is not set"))];
    needed.prices = Err("no price for ml.m5.xlarge".to_owned());
    let found = findings(&facts);
    assert!(found.iter().all(|it| it.status == Status::Trouble && it.remedy.is_some()));
    insta::assert_snapshot!("all_is_wrong", table(&found));
}

#[test]
fn missing_certificates_are_a_problem_only_off_loopback() {
    let mut facts = good();
    let certificates = facts.certificates.as_mut().unwrap();
    certificates.usable = Err("can't read certs/ca.pem".to_owned());
    certificates.lifetimes.clear();
    let about = |facts: &Facts| {
        let found = findings(facts).into_iter().filter(|it| it.what == "certificates");
        found.map(|it| it.status).collect::<Vec<_>>()
    };
    assert_eq!(about(&facts), [Status::Trouble]);
    facts.certificates.as_mut().unwrap().is_needed = false;
    assert_eq!(about(&facts), []);
}

#[test]
fn remote_agents_cannot_reach_a_loopback_address() {
    let mut facts = good();
    facts.listen.address = "127.0.0.1:0".parse().unwrap();
    let has = |facts: &Facts| findings(facts).iter().any(|it| it.what == "fleet");
    assert!(!has(&facts));
    facts.needed.as_mut().unwrap().local_threads = None;
    assert!(has(&facts));
}

#[test]
fn a_clock_earlier_than_the_program_is_wrong_even_if_synchronized() {
    let mut facts = good();
    facts.clock.program_modified_at = Some(facts.clock.now + chrono::Duration::days(1));
    assert_eq!(findings(&facts)[0].status, Status::Trouble);
    facts.clock.program_modified_at = None;
    facts.clock.is_synchronized = None;
    assert_eq!(findings(&facts)[0].status, Status::Ok);
}

#[test]
fn an_old_price_is_a_problem() {
    let mut facts = good();
    facts.needed.as_mut().unwrap().prices.as_mut().unwrap().age_days = 181;
    let found = findings(&facts);
    let prices = found.iter().find(|it| it.what == "prices").unwrap();
    assert_eq!(prices.status, Status::Trouble);
}

#[test]
fn an_upcoming_migration_is_announced() {
    let mut facts = good();
    facts.database.known = 8;
    let found = findings(&facts);
    let database = found.iter().find(|it| it.what == "database").unwrap();
    assert!(database.detail.contains("migrates it to 8"), "{database:?}");
}
