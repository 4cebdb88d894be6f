//! What `controller doctor` makes of what it saw.

#![expect(clippy::unwrap_used, reason = "what sets a test up fails it where it can't")]

use chrono::DateTime;
use controller::doctor::{
    Agent, Certificates, Database, Folder, Listen, Needed, Outcome, Prices, Seen, WallClock,
    findings,
};
use model::finding::{Lifetime, Status, table};
use std::path::PathBuf;
use std::time::Duration;

const DAY: i64 = 86_400;

fn good() -> Seen {
    let now = DateTime::from_timestamp(20_000 * DAY, 0).unwrap();
    let lifetime = Lifetime { from_s: 19_990 * DAY, until_s: 20_080 * DAY };
    Seen {
        clock: WallClock { now, program_of: Some(now), is_synchronized: Some(true) },
        folder: Folder {
            path: PathBuf::from(".fleetmark"),
            is_there: true,
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
                oldest: Some((
                    "ml.m5.xlarge".to_owned(),
                    "a list".to_owned(),
                    "2024-09-01".parse().unwrap(),
                )),
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
fn where_all_is_well_nothing_is_to_be_done() {
    insta::assert_snapshot!("all_is_well", table(&findings(&good())));
}

#[test]
fn whatever_is_wrong_says_what_to_do() {
    let mut seen = good();
    seen.clock.is_synchronized = Some(false);
    seen.folder.is_there = false;
    seen.folder.free_bytes = Err("Permission denied".to_owned());
    seen.folder.sync = Some(Duration::from_millis(80));
    seen.database.version = Ok(Some(9));
    seen.listen.outcome = Err("Address already in use".to_owned());
    let certificates = seen.certificates.as_mut().unwrap();
    certificates.hosts.remove(0);
    let ends = |until_s| Lifetime { from_s: 0, until_s: until_s * DAY };
    certificates.lifetimes = vec![
        ("ca.pem".to_owned(), Lifetime { from_s: 20_001 * DAY, until_s: 30_000 * DAY }),
        ("controller.pem".to_owned(), ends(20_003)),
        ("gpu-1.pem".to_owned(), ends(19_999)),
    ];
    certificates.open_keys = vec![PathBuf::from("certs/controller.key")];
    seen.agent.version = Err("no agent program".to_owned());
    let needed = seen.needed.as_mut().unwrap();
    needed.processors = 1;
    needed.sources = vec![
        outcome("dataset", "s3://b/d.jsonl", Err("denied")),
        outcome("model", "google/flan-t5-base", Err("can't reach the hub")),
        outcome("artifacts", "s3://b/results", Err("no bucket b")),
    ];
    needed.channels = vec![outcome("notify", "slack", Err("SLACK_WEBHOOK_URL is not set"))];
    needed.prices = Err("no price for ml.m5.xlarge".to_owned());
    let found = findings(&seen);
    assert!(found.iter().all(|it| it.status == Status::Trouble && it.remedy.is_some()));
    insta::assert_snapshot!("all_is_wrong", table(&found));
}

#[test]
fn missing_certificates_matter_only_off_loopback() {
    let mut seen = good();
    let certificates = seen.certificates.as_mut().unwrap();
    certificates.usable = Err("can't read certs/ca.pem".to_owned());
    certificates.lifetimes.clear();
    let about = |seen: &Seen| {
        let found = findings(seen).into_iter().filter(|it| it.what == "certificates");
        found.map(|it| it.status).collect::<Vec<_>>()
    };
    assert_eq!(about(&seen), [Status::Trouble]);
    seen.certificates.as_mut().unwrap().is_needed = false;
    assert_eq!(about(&seen), []);
}

#[test]
fn nobody_comes_to_a_loopback_address_where_nothing_is_started_here() {
    let mut seen = good();
    seen.listen.address = "127.0.0.1:0".parse().unwrap();
    let has = |seen: &Seen| findings(seen).iter().any(|it| it.what == "fleet");
    assert!(!has(&seen));
    seen.needed.as_mut().unwrap().local_threads = None;
    assert!(has(&seen));
}

#[test]
fn a_clock_before_this_program_is_wrong_whoever_keeps_it() {
    let mut seen = good();
    seen.clock.program_of = Some(seen.clock.now + chrono::Duration::days(1));
    assert_eq!(findings(&seen)[0].status, Status::Trouble);
    seen.clock.program_of = None;
    seen.clock.is_synchronized = None;
    assert_eq!(findings(&seen)[0].status, Status::Ok);
}

#[test]
fn an_old_price_is_told() {
    let mut seen = good();
    seen.needed.as_mut().unwrap().prices.as_mut().unwrap().age_days = 181;
    let found = findings(&seen);
    let prices = found.iter().find(|it| it.what == "prices").unwrap();
    assert_eq!(prices.status, Status::Trouble);
}

#[test]
fn a_newer_program_says_that_it_will_change_the_database() {
    let mut seen = good();
    seen.database.known = 8;
    let found = findings(&seen);
    let database = found.iter().find(|it| it.what == "database").unwrap();
    assert!(database.detail.contains("brings it to 8"), "{database:?}");
}
