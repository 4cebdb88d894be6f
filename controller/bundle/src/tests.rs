use super::*;
use matrix::plan::Plan;
use matrix::{Matrix, Overrides};
use model::host::AgentFacts;
use records::{
    AgentRow, CampaignRow, DatasetFacts, DialogueRow, PriceRow, SegmentRow, SignatureRow, State,
};
use std::path::Path;
use tar::{Builder, EntryType, Header};

const MATRIX: &str = "name = \"made\"\nseed = 7\n[dataset]\nsource = \"builtin:dialogues\"\n[[model]]\nname = \"tiny\"\n\
    id = \"builtin:tiny\"\n[factors]\nbatch_sizes = [1]\n[[fleet.local]]\ntarget = \"here\"\nusd_per_hour = 0.36\n";

fn content() -> Content {
    let matrix = Matrix::check(MATRIX, "made.toml", Path::new("/"), &Overrides::default()).unwrap();
    let plan = Plan::make(&matrix, 2).unwrap();
    let dialogue = |id: &str, is_measured| DialogueRow {
        sample_id: id.to_owned().try_into().unwrap(),
        dialogue: format!("Anna: {id}"),
        summary: Some("Anna.".to_owned()),
        is_measured,
    };
    let at = "2026-11-01T08:00:00.25Z".parse().unwrap();
    Content {
        campaign: CampaignRow {
            id: "made-20261101-080000-000".to_owned().try_into().unwrap(),
            name: "made".to_owned(),
            created_at: at,
            finished_at: Some(at),
            state: State::Complete,
            controller_version: "0.1.0".to_owned(),
            matrix_text: MATRIX.to_owned(),
            matrix,
            plan,
            dataset: DatasetFacts {
                source: "builtin:dialogues".to_owned(),
                sha256: "c".repeat(64),
                revision: None,
                dialogues: 3,
                samples: 2,
                sample_ids_sha256: "d".repeat(64),
                references: 2,
                set_aside: None,
                notes: Vec::new(),
            },
            prices: vec![PriceRow {
                usd_per_hour: 0.36,
                service: None,
                region: None,
                purchase: None,
                source: "matrix".to_owned(),
                date: None,
                is_region_assumed: false,
            }],
        },
        dialogues: vec![dialogue("a", true), dialogue("b", true), dialogue("c", false)],
        agents: vec![AgentRow {
            agent_id: "agent-1".to_owned().try_into().unwrap(),
            host_id: "boot-1".to_owned().try_into().unwrap(),
            target: 0,
            facts: AgentFacts::default(),
            engines: vec![None],
            held_ns: u64::MAX,
        }],
        segments: vec![SegmentRow {
            cell: 0,
            run: 1,
            segment: 1,
            agent: 0,
            facts: None,
            is_time_impossible: false,
        }],
        events: Vec::new(),
        load_windows: Vec::new(),
        signatures: vec![signature(1)],
        text_hashes: Bytes::from_static(&[8; 64]),
        samples: Bytes::from_static(b"samples"),
        telemetry: Some(Bytes::from_static(b"telemetry")),
        texts: Some(Bytes::from_static(b"texts")),
        results: Bytes::from_static(b"{}"),
    }
}

fn signature(attempt: u64) -> SignatureRow {
    SignatureRow {
        attempt,
        agent: 0,
        certificate: vec![1; 400],
        salt: Some([2; 32]),
        digest: [3; 32],
        signature: vec![4; 70],
    }
}

fn predicate(content: &Content) -> Predicate {
    Predicate {
        campaign: content.campaign.id.to_string(),
        versions: Versions {
            bundled_by: "0.1.0".to_owned(),
            controller: "0.1.0".to_owned(),
            agents: vec!["0.1.0".to_owned()],
            results_schema: 1,
        },
        counts: Counts { cells: 1, agents: 1, counted_samples: 6, late_samples: 0 },
        has_texts: content.texts.is_some(),
    }
}

fn key() -> SigningKey {
    SigningKey::from_pem(&rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap()
}

fn written(content: &Content, key: Option<&SigningKey>) -> Bytes {
    write(content, predicate(content), key, Vec::new()).unwrap().unwrap().into()
}

#[test]
fn a_bundle_is_read_as_it_was_written() {
    let (content, key) = (content(), key());
    let bundle = Bundle::read(&written(&content, Some(&key))).unwrap();
    assert_eq!(bundle.content, content);
    assert_eq!(bundle.signed_by, Some(key.public()));
    assert_eq!(bundle.statement.predicate, predicate(&content));
    assert_eq!(Bundle::read(&written(&content, None)).unwrap().signed_by, None);
}

#[test]
fn texts_are_written_only_if_they_are_asked_for() {
    let content = Content { texts: None, ..content() };
    let bytes = written(&content, None);
    assert!(!String::from_utf8_lossy(&bytes).contains("Anna"));
    let read = Bundle::read(&bytes).unwrap().content;
    assert!(read.dialogues.iter().all(|row| row.dialogue.is_empty() && row.summary.is_none()));
    let salts = read.signatures.iter().map(|row| row.salt);
    assert!(salts.eq([None]), "with the salt, a text could be guessed by its hash");
}

#[test]
fn the_same_campaign_gives_the_same_bytes_but_for_the_signature() {
    assert_eq!(written(&content(), None), written(&content(), None));
    let key = key();
    let statement = || Bundle::read(&written(&content(), Some(&key))).unwrap().statement;
    assert_eq!(statement(), statement());
}

#[test]
fn a_signature_by_ed25519_is_valid() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let key = SigningKey::from_pem(&pair.serialize_pem()).unwrap();
    let public = PublicKey::from_pem(pair.public_key_pem().as_bytes()).unwrap();
    let bundle = Bundle::read(&written(&content(), Some(&key))).unwrap();
    assert_eq!(bundle.signed_by, Some(public));
}

#[test]
fn other_keys_are_refused_by_name() {
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let error = SigningKey::from_pem(&p384.serialize_pem()).unwrap_err();
    assert!(matches!(error, keys::Error::Algorithm), "{error}");
    let error = SigningKey::from_pem("none").unwrap_err();
    assert!(matches!(error, keys::Error::Private(_)), "{error}");
    let error = PublicKey::from_pem(p384.serialize_pem().as_bytes()).unwrap_err();
    assert!(matches!(error, keys::Error::Pem { label: "PUBLIC KEY" }), "{error}");
}

/// Every byte of the file: headers, padding, envelope, key and contents.
#[test]
fn one_changed_byte_anywhere_is_refused() {
    let bytes = written(&content(), Some(&key()));
    let mut changed = bytes.to_vec();
    for at in 0..changed.len() {
        let before = changed[at];
        // Another bit at every place.
        changed[at] ^= 1 << (at % 8);
        assert!(Bundle::read(&Bytes::copy_from_slice(&changed)).is_err(), "byte {at}");
        changed[at] = before;
    }
    assert_eq!(changed, bytes);
    Bundle::read(&bytes).unwrap();
}

#[test]
fn a_file_that_was_cut_or_extended_is_refused() {
    let bytes = written(&content(), Some(&key()));
    for length in (0..bytes.len()).step_by(97) {
        assert!(Bundle::read(&bytes.slice(..length)).is_err(), "{length}");
    }
    let error = Bundle::read(&[&bytes[..], &[0; 512]].concat().into()).unwrap_err();
    assert!(matches!(error, Error::Form), "{error}");
    for other in [&b""[..], b"PK\x03\x04", &[0; 1024], &[b'x'; 4096]] {
        let error = Bundle::read(&Bytes::copy_from_slice(other)).unwrap_err();
        assert!(error.is_other_format(), "{error}");
    }
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let (content, mine, other) = (content(), key(), key());
    let entries = |key| archive::read(&written(&content, Some(key))).unwrap();
    // The key of one bundle, and all other files of another.
    let mut mixed = entries(&other);
    mixed[1] = entries(&mine)[1].clone();
    let error = Bundle::read(&archive::write(&mixed, Vec::new()).unwrap().into()).unwrap_err();
    assert!(matches!(error, Error::Signature { .. }), "{error}");
    // A signature without its key, and a key without a signature.
    mixed.remove(1);
    let error = Bundle::read(&archive::write(&mixed, Vec::new()).unwrap().into()).unwrap_err();
    assert!(matches!(error, Error::Signatures), "{error}");
    let mut unsigned = archive::read(&written(&content, None)).unwrap();
    unsigned.insert(1, entries(&mine)[1].clone());
    let error = Bundle::read(&archive::write(&unsigned, Vec::new()).unwrap().into()).unwrap_err();
    assert!(matches!(error, Error::Signatures), "{error}");
}

#[test]
fn an_archive_that_could_do_harm_is_refused() {
    let attestation = &archive::read(&written(&content(), None)).unwrap()[0].bytes.clone();
    let archive = |entries: &[(&str, EntryType)]| -> Bytes {
        let mut archive = Builder::new(Vec::new());
        let all = std::iter::once((archive::ATTESTATION, EntryType::Regular));
        for (name, kind) in all.chain(entries.iter().copied()) {
            let mut header = Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(kind);
            header.set_size(attestation.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_cksum();
            archive.append(&header, &attestation[..]).unwrap();
        }
        archive.into_inner().unwrap().into()
    };
    use EntryType::{GNULongName, Regular, Symlink, XHeader};
    archive::read(&archive(&[("results.json", Regular)])).unwrap();
    for (name, kind) in [
        ("../results.json", Regular),
        ("/results.json", Regular),
        ("./results.json", Regular),
        ("other.json", Regular),
        (archive::ATTESTATION, Regular),
        ("results.json", Symlink),
        ("results.json", GNULongName),
        ("results.json", XHeader),
    ] {
        assert!(archive::read(&archive(&[(name, kind)])).is_err(), "{name} {kind:?}");
    }
    let twice = [("results.json", Regular), ("results.json", Regular)];
    assert!(matches!(archive::read(&archive(&twice)), Err(Error::Name { .. })));
    let unordered = [("plan.json", Regular), ("results.json", Regular)];
    assert!(matches!(archive::read(&archive(&unordered)), Err(Error::Name { .. })));
}

#[test]
fn a_size_beyond_the_file_is_refused() {
    let mut header = Header::new_ustar();
    header.set_path(archive::ATTESTATION).unwrap();
    for size in [1, 1 << 33, u64::MAX >> 1] {
        header.set_size(size);
        header.set_cksum();
        assert!(archive::read(&Bytes::copy_from_slice(header.as_bytes())).is_err(), "{size}");
    }
}

#[test]
fn json_in_another_form_is_refused() {
    let read = |text: &str| {
        canonical::read::<serde_json::Value>(
            &Bytes::copy_from_slice(text.as_bytes()),
            archive::PLAN,
        )
    };
    read(r#"{"a":[0.1,18446744073709551615,-1,null,"ä"],"b":{}}"#).unwrap();
    let numbers = serde_json::json!([1e300, -0.0, 5e-324, 0.1 + 0.2, 1e15, 1e17]);
    read(std::str::from_utf8(&canonical::write(&numbers)).unwrap()).unwrap();
    for text in [
        r#"{"b":1,"a":2}"#,
        r#"{"a":1,"a":1}"#,
        r#"{"a": 1}"#,
        r#"{"a":0.10}"#,
        r#"["\u0061"]"#,
        "[1]\n",
    ] {
        assert!(matches!(read(text), Err(Error::NotCanonical { .. })), "{text}");
    }
    assert!(matches!(read("[1"), Err(Error::Json { .. })));
}

/// A bundle that somebody made and signed themselves: what would be out of bounds is refused.
#[test]
fn rows_that_lead_nowhere_are_refused() {
    type Change = fn(&mut Content);
    let changes: &[Change] = &[
        |content| content.campaign.plan.cells[0].target = 1,
        |content| content.campaign.plan.cells[0].model = 9,
        |content| content.campaign.plan.cells[0].engine = 1,
        |content| content.campaign.plan.cells[0].batch_size = 0,
        |content| content.campaign.plan.cells.clear(),
        |content| {
            let cell = content.campaign.plan.cells[0].clone();
            content.campaign.plan.cells.push(cell);
        },
        |content| content.campaign.plan.engines.clear(),
        |content| content.campaign.plan.samples = 3,
        |content| content.campaign.plan.samples = 0,
        |content| content.campaign.matrix.protocol.runs = u32::MAX,
        |content| content.campaign.matrix.protocol.runs = 0,
        |content| content.campaign.matrix.targets[0].dtypes.clear(),
        |content| content.campaign.prices.clear(),
        |content| content.dialogues[0].is_measured = false,
        |content| content.dialogues[1].sample_id = content.dialogues[0].sample_id.clone(),
        |content| content.agents[0].target = 1,
        |content| content.agents[0].engines = vec![None, None],
        |content| content.segments[0].cell = 1,
        |content| content.segments[0].agent = 1,
        |content| content.segments[0].run = 0,
        |content| content.signatures[0].agent = 1,
        |content| content.signatures.push(signature(1)),
        |content| content.signatures.push(signature(0)),
        |content| content.signatures[0].salt = None,
        |content| content.text_hashes = Bytes::from_static(&[8; 63]),
        |content| {
            content.load_windows.push(records::LoadWindowRow {
                cell: 0,
                run: 1,
                number: 0,
                segment: 1,
                attempt: 1,
                agent: 0,
                is_counted: true,
                window: model::load::LoadWindow::default(),
            });
        },
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut content = content();
        change(&mut content);
        let error = Bundle::read(&written(&content, None)).unwrap_err();
        assert!(matches!(error, Error::Content(_)), "{index}: {error}");
    }
}

#[test]
fn a_statement_about_another_campaign_or_of_another_type_is_refused() {
    let content = content();
    let mut predicate = predicate(&content);
    predicate.campaign = "another".to_owned();
    let bytes = write(&content, predicate, None, Vec::new()).unwrap().unwrap();
    let error = Bundle::read(&bytes.into()).unwrap_err();
    assert!(matches!(error, Error::Campaign { .. }), "{error}");

    let mut entries = archive::read(&written(&content, None)).unwrap();
    let with = |statement: &Statement| {
        canonical::write(&Envelope::new(&canonical::write(statement), None).unwrap())
    };
    let read = |entries: &[Entry]| {
        Bundle::read(&archive::write(entries, Vec::new()).unwrap().into()).unwrap_err()
    };
    let statement = Statement::new(&entries[1..], super::tests::predicate(&content));
    let other = Statement {
        predicate_type: "https://slsa.dev/provenance/v1".to_owned(),
        ..statement.clone()
    };
    entries[0].bytes = with(&other);
    assert!(matches!(read(&entries), Error::Types { .. }));
    let fewer = Statement { subject: statement.subject[1..].to_vec(), ..statement };
    entries[0].bytes = with(&fewer);
    assert!(matches!(read(&entries), Error::Subjects { .. }));
}
