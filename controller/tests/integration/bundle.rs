//! `controller bundle` and `controller verify`, and bundles as inputs of `report` and `compare`.

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use super::campaigns::{Made, Signer, controller, said, write};
use bundle::{Bundle, Content, Predicate};
use bytes::Bytes;
use keys::SigningKey;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// A folder with a campaign and the controller's certificates.
fn folder(made: &Made) -> TempDir {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join(".fleetmark"), made);
    done(folder.path(), &["certs", "init"]);
    folder
}

/// Runs a command that succeeds.
fn done(folder: &Path, arguments: &[&str]) -> String {
    run(folder, arguments, 0)
}

/// Runs a command that ends with this exit code.
fn run(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = controller(folder, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    said(&output)
}

const CERTIFICATE: &str = ".fleetmark/certs/controller.pem";

fn read(folder: &Path, name: &str) -> Bundle {
    Bundle::read(&std::fs::read(folder.join(name)).unwrap().into()).unwrap()
}

/// Signs changed content with the controller's key, as somebody with the key could.
fn sign(folder: &Path, content: &Content, predicate: &Predicate, name: &str) {
    let key = std::fs::read_to_string(folder.join(".fleetmark/certs/controller.key")).unwrap();
    let key = SigningKey::from_pem(&key).unwrap();
    let bytes = bundle::write(content, predicate.clone(), Some(&key), Vec::new());
    std::fs::write(folder.join(name), bytes.unwrap().unwrap()).unwrap();
}

#[test]
fn a_bundle_verifies_and_its_exit_code_says_who_is_trusted() {
    let folder = folder(&Made::default());
    let folder = folder.path();
    let wrote = done(folder, &["bundle"]);
    let name = "base-20261101-080000-000.bundle.tar";
    assert!(wrote.contains(&format!("bundle {name}\nsigned by SHA256:")), "{wrote}");

    let verified = done(folder, &["verify", name, "--certificate", CERTIFICATE]);
    assert!(verified.contains(" recomputed by controller "), "{verified}");
    assert!(verified.contains(", 0 differ\nverified"), "{verified}");
    let unchecked = run(folder, &["verify", name], 4);
    assert!(unchecked.contains("not checked against a trusted key"), "{unchecked}");

    done(folder, &["certs", "agent", "other"]);
    let other = ".fleetmark/certs/other.pem";
    let refused = run(folder, &["verify", name, "--certificate", other], 1);
    assert!(refused.contains("not verified: no signature by a trusted key"), "{refused}");
    done(folder, &["verify", name, "--certificate", other, "--certificate", CERTIFICATE]);

    done(folder, &["bundle", "--unsigned", "--output", "unsigned.tar"]);
    let unsigned = run(folder, &["verify", "unsigned.tar"], 4);
    assert!(unsigned.contains("undecided: the bundle is not signed"), "{unsigned}");
    run(folder, &["verify", "unsigned.tar", "--certificate", CERTIFICATE], 1);
}

#[test]
fn a_key_of_ones_own_signs() {
    let folder = folder(&Made::default());
    let folder = folder.path();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    std::fs::write(folder.join("signing.key"), pair.serialize_pem()).unwrap();
    std::fs::write(folder.join("signing.pub"), pair.public_key_pem()).unwrap();
    done(folder, &["bundle", "--key", "signing.key", "--output", "made.tar"]);
    done(folder, &["verify", "made.tar", "--public-key", "signing.pub"]);
    run(folder, &["verify", "made.tar", "--certificate", CERTIFICATE], 1);
    let missing = run(folder, &["bundle", "--key", "none.key"], 2);
    assert!(missing.contains("can't read the signing key none.key"), "{missing}");
    let other = run(folder, &["bundle", "--key", "signing.pub"], 2);
    assert!(other.contains("expected an Ed25519 or P-256 key"), "{other}");
}

#[test]
fn bundling_twice_signs_the_same_statement() {
    let folder = folder(&Made::default());
    let folder = folder.path();
    for name in ["a.tar", "b.tar"] {
        done(folder, &["bundle", "--unsigned", "--output", name]);
    }
    let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert!(bytes("a.tar") == bytes("b.tar"));
}

/// Bytes all over the file of a real campaign. Every byte of a smaller one is changed by a test of `bundle`.
#[test]
fn a_changed_byte_does_not_verify() {
    let folder = folder(&Made { samples: 30, ..Made::default() });
    let folder = folder.path();
    done(folder, &["bundle", "--texts", "--output", "made.tar"]);
    let bytes = std::fs::read(folder.join("made.tar")).unwrap();
    for at in (0..bytes.len()).step_by(251) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(Bundle::read(&Bytes::from(changed)).is_err(), "byte {at}");
    }
    let mut changed = bytes;
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(folder.join("changed.tar"), changed).unwrap();
    let refused = run(folder, &["verify", "changed.tar", "--certificate", CERTIFICATE], 1);
    assert!(refused.contains("not verified: "), "{refused}");
    for command in [&["report", "changed.tar"][..], &["compare", "changed.tar", "made.tar"]] {
        let refused = run(folder, command, 2);
        assert!(refused.contains("changed.tar was changed or is damaged"), "{refused}");
    }
    let other = run(folder, &["verify", CERTIFICATE], 2);
    assert!(other.contains("is no bundle: expected a file of controller bundle"), "{other}");
}

#[test]
fn a_figure_that_the_samples_do_not_bring_is_named() {
    let folder = folder(&Made::default());
    let folder = folder.path();
    done(folder, &["bundle", "--output", "made.tar"]);
    let Bundle { mut content, statement, .. } = read(folder, "made.tar");
    let mut results: Value = serde_json::from_slice(&content.results).unwrap();
    let cell = &mut results["results"][0]["cells"][0];
    let cost = &mut cell["cost"]["usd_per_1000_requests"]["value"];
    *cost = (cost.as_f64().unwrap() * 0.9).into();
    cell["counted_samples"] = 301.into();
    content.results = serde_json::to_vec(&results).unwrap().into();
    sign(folder, &content, &statement.predicate, "changed.tar");
    let refused = run(folder, &["verify", "changed.tar", "--certificate", CERTIFICATE], 1);
    assert!(refused.contains(", 2 differ\n"), "{refused}");
    for expected in [
        "results[0].cells[0].counted_samples: stated 301, recomputed 300",
        "results[0].cells[0].cost.usd_per_1000_requests.value: stated 0.",
        "not verified: figures don't follow from the samples",
    ] {
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn samples_of_another_campaign_are_named_by_every_figure_that_rests_on_them() {
    let folder = folder(&Made::default());
    let folder = folder.path();
    done(folder, &["bundle", "--output", "made.tar"]);
    let Bundle { mut content, statement, .. } = read(folder, "made.tar");
    // The same campaign, a tenth slower.
    let slower = self::folder(&Made { factor: 1.1, ..Made::default() });
    done(slower.path(), &["bundle", "--output", "made.tar"]);
    content.samples = read(slower.path(), "made.tar").content.samples;
    sign(folder, &content, &statement.predicate, "changed.tar");
    let refused = run(folder, &["verify", "changed.tar", "--certificate", CERTIFICATE], 1);
    for expected in ["campaign.samples_file.sha256: stated", ".latency_ms.mean.value: stated"] {
        assert!(refused.contains(expected), "{refused}");
    }
    let compared = run(folder, &["compare", "changed.tar", "made.tar"], 2);
    assert!(compared.contains("is not the samples file of changed.tar"), "{compared}");
}

#[test]
fn quality_is_recomputed_from_texts() {
    let folder = folder(&Made::default());
    let folder = folder.path();
    done(folder, &["bundle", "--texts", "--output", "made.tar"]);
    let verified = done(folder, &["verify", "made.tar", "--certificate", CERTIFICATE]);
    assert!(!verified.contains("not recomputed"), "{verified}");
    let Bundle { mut content, statement, .. } = read(folder, "made.tar");
    let other = self::folder(&Made { text: Some("Tom brings a cake."), ..Made::default() });
    done(other.path(), &["bundle", "--texts", "--output", "made.tar"]);
    content.texts = read(other.path(), "made.tar").content.texts;
    sign(folder, &content, &statement.predicate, "changed.tar");
    let refused = run(folder, &["verify", "changed.tar", "--certificate", CERTIFICATE], 1);
    for expected in
        ["cells[0].quality.rougeL.value: stated", "results.samples.parquet: row 1: rouge"]
    {
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn samples_that_the_store_would_not_hold_do_not_verify() {
    let folder = folder(&Made::default());
    let folder = folder.path();
    done(folder, &["bundle", "--output", "made.tar"]);
    let Bundle { content, statement, .. } = read(folder, "made.tar");
    let refused = |change: fn(&mut Content), expected: &str| {
        let mut content = content.clone();
        change(&mut content);
        sign(folder, &content, &statement.predicate, "changed.tar");
        let refused = run(folder, &["verify", "changed.tar", "--certificate", CERTIFICATE], 1);
        assert!(refused.contains(expected), "{refused}");
    };
    refused(|content| content.samples = Bytes::from_static(b"none"), "not verified: ");
    refused(
        |content| {
            content.campaign.matrix.protocol.runs = 2;
            content.segments.retain(|segment| segment.run <= 2);
        },
        "results.samples.parquet: row 201: run 3, expected 1 to 2",
    );
    refused(
        |content| content.dialogues.swap(3, 4),
        "results.samples.parquet: row 5: it is out of order, or counted twice",
    );
    refused(
        |content| content.agents[0].host_id = "other".to_owned().try_into().unwrap(),
        "row 1: agent 0 is not on the host `boot-1`",
    );
}

#[test]
fn reports_and_comparisons_read_bundles() {
    let folder = folder(&Made::default());
    let folder = folder.path();
    write(
        &folder.join(".fleetmark"),
        &Made { id: "next-20261102-080000-000", factor: 1.2, ..Made::default() },
    );
    let (base, next) = ("base-20261101-080000-000", "next-20261102-080000-000");
    done(folder, &["bundle", base, "--output", "base.tar"]);
    done(folder, &["bundle", next, "--output", "next.tar"]);
    let by_name = done(folder, &["compare", base, next, "--format", "json"]);
    let by_bundle = done(folder, &["compare", "base.tar", "next.tar", "--format", "json"]);
    assert_eq!(by_bundle, by_name);
    let limit = ["compare", "base.tar", next, "--max-regression", "latency_p50=5%"];
    run(folder, &limit, 1);

    let shown = done(folder, &["report", "base.tar"]);
    assert!(shown.contains("USD per 1,000"), "{shown}");
    done(folder, &["report", "base.tar", "--formats", "json,html", "--output-dir", "out"]);
    let content = read(folder, "base.tar").content;
    let bytes = |name: &str| std::fs::read(folder.join("out").join(name)).unwrap();
    assert!(bytes("results.json") == content.results);
    assert!(bytes("results.samples.parquet") == content.samples);
    assert!(folder.join("out/report.html").is_file());
    done(folder, &["compare", "out/results.json", "base.tar"]);
    let refused = run(folder, &["report", "base.tar", "--prices", "book.toml"], 2);
    assert!(refused.contains("results in a bundle aren't computed again"), "{refused}");
}

const CERTS: &str = ".fleetmark/certs";
const CA: &str = ".fleetmark/certs/ca.pem";

/// A folder with certificates and a campaign of three runs, the first of which are signed by an agent.
fn signed(runs: u32) -> TempDir {
    let folder = TempDir::new().unwrap();
    done(folder.path(), &["certs", "init"]);
    let signer = Some(Signer::read(&folder.path().join(CERTS), "agent", runs));
    let made = Made { samples: 12, batch_size: 2, signer, ..Made::default() };
    write(&folder.path().join(".fleetmark"), &made);
    folder
}

/// Verifies `made.tar`, signed by the controller.
fn verify(folder: &Path, more: &[&str], code: i32) -> String {
    run(folder, &[&["verify", "made.tar", "--certificate", CERTIFICATE], more].concat(), code)
}

#[test]
fn signatures_of_agents_are_verified_from_the_samples_of_a_bundle() {
    let folder = signed(3);
    let folder = folder.path();
    for texts in [&[][..], &["--texts"]] {
        done(folder, &[&["bundle", "--output", "made.tar"], texts].concat());
        let verified = verify(folder, &[], 0);
        let expected = "\nagents     3 of 3 attempts signed by their agents' certificates; \
            all verify, issuers not checked\n";
        assert!(verified.contains(expected), "{verified}");
        let verified = verify(folder, &["--agent-ca", CA], 0);
        let expected = format!("all verify, issued by {CA}\n");
        assert!(verified.contains(&expected), "{verified}");
        let content = read(folder, "made.tar").content;
        assert_eq!(content.text_hashes.len(), 32 * 36);
        assert!(content.signatures.iter().all(|row| row.salt.is_some() != texts.is_empty()));
    }
    done(folder, &["certs", "init", "--dir", "other"]);
    let refused = verify(folder, &["--agent-ca", "other/ca.pem"], 1);
    let expected = "run 3, by agent-1: its certificate was not issued by the CA";
    assert!(refused.contains("; 3 signatures do not hold\n"), "{refused}");
    assert!(refused.contains(expected), "{refused}");
    verify(folder, &["--agent-ca", "other/ca.pem", "--agent-ca", CA], 0);
}

#[test]
fn attempts_without_a_signature_are_counted() {
    let folder = signed(2);
    let folder = folder.path();
    done(folder, &["bundle", "--output", "made.tar"]);
    let verified = verify(folder, &[], 0);
    assert!(verified.contains("agents     2 of 3 attempts signed by"), "{verified}");
    let undecided = verify(folder, &["--agent-ca", CA], 4);
    let expected = "undecided: not all attempts are signed by their agents";
    assert!(undecided.contains(expected), "{undecided}");
    let unsigned = self::folder(&Made::default());
    done(unsigned.path(), &["bundle", "--output", "made.tar"]);
    let verified = verify(unsigned.path(), &[], 0);
    let expected = "agents     none of 3 attempts is signed by its agent\n";
    assert!(verified.contains(expected), "{verified}");
}

/// The controller's owner changes what is stored, and bundles and signs again: every figure follows from the samples.
#[test]
fn a_sample_that_was_changed_after_its_agent_signed_it_is_named() {
    const SAMPLES: &str = "run 2, by agent-1: its samples are not those that the agent signed";
    for (sql, expected) in [
        ("UPDATE sample SET latency_ns = latency_ns - 1 WHERE run = 2 AND sample = 5", SAMPLES),
        ("UPDATE sample SET outcome = 'length' WHERE run = 2 AND sample = 5", SAMPLES),
        ("UPDATE sample SET text = 'Tom.' WHERE run = 2 AND sample = 5", SAMPLES),
        ("UPDATE sample SET batch = 9 - batch WHERE run = 2 AND sample = 5", SAMPLES),
        ("DELETE FROM sample WHERE run = 2 AND sample = 5", SAMPLES),
        ("UPDATE signature SET agent = 1 WHERE attempt = 2", "that is not of the campaign"),
        (
            "UPDATE sample SET attempt = 9 WHERE run = 2",
            "attempt 2 by agent-1: signed, but the bundle has none of its samples",
        ),
        (
            "UPDATE signature SET signature = x'00' WHERE attempt = 2",
            "run 2, by agent-1: its signature does not match its certificate",
        ),
        ("UPDATE signature SET digest = zeroblob(32) WHERE attempt = 2", SAMPLES),
    ] {
        let folder = signed(3);
        let folder = folder.path();
        change(folder, sql);
        done(folder, &["bundle", "--output", "made.tar"]);
        let refused = verify(folder, &["--agent-ca", CA], 1);
        assert!(refused.contains(expected), "{sql}: {refused}");
        if expected == SAMPLES {
            assert!(refused.contains("; 1 signature does not hold\n"), "{sql}: {refused}");
            let verdict = "not verified: an agent's signature does not hold";
            assert!(refused.contains(verdict), "{sql}: {refused}");
            assert!(refused.contains(", 0 differ\n"), "{sql}: {refused}");
        }
    }
}

/// Changes the database of a folder.
fn change(folder: &Path, sql: &'static str) {
    let place = store::Place::Folder(folder.join(".fleetmark")).to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pool = sqlx::SqlitePool::connect(&place).await.unwrap();
        let changed = sqlx::query(sql).execute(&pool).await.unwrap();
        assert!(changed.rows_affected() > 0, "{sql}");
        pool.close().await;
    });
}

#[test]
fn texts_and_their_hashes_are_those_that_the_agent_signed() {
    let folder = signed(3);
    let folder = folder.path();
    done(folder, &["bundle", "--texts", "--output", "texts.tar"]);
    let Bundle { content, statement, .. } = read(folder, "texts.tar");
    let refused = |change: &dyn Fn(&mut Content), expected: &str| {
        let mut content = content.clone();
        change(&mut content);
        sign(folder, &content, &statement.predicate, "made.tar");
        let refused = verify(folder, &[], 1);
        assert!(refused.contains(expected), "{refused}");
    };
    let other = TempDir::new().unwrap();
    done(other.path(), &["certs", "init"]);
    let made = Made { samples: 12, batch_size: 2, text: Some("Tom."), ..Made::default() };
    write(&other.path().join(".fleetmark"), &made);
    done(other.path(), &["bundle", "--texts", "--output", "texts.tar"]);
    let texts = read(other.path(), "texts.tar").content.texts;
    refused(&|content| content.texts.clone_from(&texts), "its texts are not those that the agent");
    refused(
        &|content| {
            let mut hashes = content.text_hashes.to_vec();
            hashes[40] ^= 1;
            content.text_hashes = hashes.into();
        },
        "its samples are not those that the agent signed",
    );
    refused(
        &|content| content.text_hashes = content.text_hashes.slice(32..),
        "not verified: text-hashes.bin has fewer hashes than signed samples",
    );
    refused(
        &|content| content.text_hashes = [&content.text_hashes[..], &[0; 32]].concat().into(),
        "not verified: text-hashes.bin has more hashes than signed samples",
    );
    refused(
        &|content| content.signatures[0].certificate.truncate(90),
        "its signature does not match its certificate",
    );
}

/// Replaces each number of a JSON value in turn.
fn with_other_numbers(value: &Value) -> Vec<Value> {
    let mut pointers = Vec::new();
    numbers(value, String::new(), &mut pointers);
    let extremes = [json!(0), json!(-1), json!(u32::MAX), json!(u64::MAX), json!(1e308)];
    let changed = |(pointer, extreme): (&String, &Value)| {
        let mut changed = value.clone();
        changed.pointer_mut(pointer)?.clone_from(extreme);
        Some(changed)
    };
    let pairs = pointers.iter().flat_map(|at| extremes.iter().map(move |extreme| (at, extreme)));
    pairs.filter_map(changed).collect()
}

fn numbers(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(at),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                numbers(value, format!("{at}/{index}"), found);
            }
        }
        Value::Object(values) => {
            for (key, value) in values {
                numbers(value, format!("{at}/{key}"), found);
            }
        }
        _ => {}
    }
}

/// Anybody can write a bundle: its records may hold any number.
#[test]
fn no_number_of_a_record_ends_in_a_panic() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    done(folder, &["certs", "init"]);
    let signer = Some(Signer::read(&folder.join(CERTS), "agent", 1));
    let made = Made { samples: 3, runs: 1, signer, ..Made::default() };
    write(&folder.join(".fleetmark"), &made);
    done(folder, &["bundle", "--unsigned", "--output", "made.tar"]);
    let Bundle { content, statement, .. } = read(folder, "made.tar");
    type Put = fn(&mut Content, Value) -> serde_json::Result<()>;
    let campaign = &content.campaign;
    let signature = &content.signatures[0];
    let records: [(Value, Put); 7] = [
        (json!(campaign.matrix), |to, value| {
            to.campaign.matrix = serde_json::from_value(value)?;
            Ok(())
        }),
        (json!(campaign.plan), |to, value| {
            to.campaign.plan = serde_json::from_value(value)?;
            Ok(())
        }),
        (json!(campaign.prices), |to, value| {
            to.campaign.prices = serde_json::from_value(value)?;
            Ok(())
        }),
        (json!(campaign.dataset), |to, value| {
            to.campaign.dataset = serde_json::from_value(value)?;
            Ok(())
        }),
        (json!(content.agents), |to, value| {
            to.agents = serde_json::from_value(value)?;
            Ok(())
        }),
        (json!(content.segments), |to, value| {
            to.segments = serde_json::from_value(value)?;
            Ok(())
        }),
        // What else it holds are bytes.
        (json!([signature.attempt, signature.agent]), |to, value| {
            (to.signatures[0].attempt, to.signatures[0].agent) = serde_json::from_value(value)?;
            Ok(())
        }),
    ];
    let mut tried = 0;
    for (record, put) in records {
        for value in with_other_numbers(&record) {
            let mut changed = content.clone();
            if put(&mut changed, value.clone()).is_err() {
                continue;
            }
            let bytes = bundle::write(&changed, statement.predicate.clone(), None, Vec::new());
            std::fs::write(folder.join("changed.tar"), bytes.unwrap().unwrap()).unwrap();
            let verified = controller(folder, &["verify", "changed.tar"]);
            let code = verified.status.code();
            assert!(matches!(code, Some(1 | 4)), "{value}: {}", said(&verified));
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}
