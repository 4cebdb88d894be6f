//! The built-in dialogues, and SAMSum if it is available.

use super::*;
use crate::{Source, read};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::Path;

fn builtin() -> Dataset {
    read(&Source::Builtin, &Columns::default()).unwrap()
}

fn speakers(dialogue: &str) -> HashSet<&str> {
    dialogue.lines().map(|line| line.split_once(": ").unwrap().0).collect()
}

#[test]
fn the_builtin_dialogues_have_the_documented_form() {
    let data = builtin();
    assert_eq!(data.name, "builtin:dialogues");
    assert_eq!(data.dialogues.len(), 256);
    assert!(data.notes.is_empty(), "every dialogue has a summary: {:?}", data.notes);
    for dialogue in &data.dialogues {
        let turns = dialogue.dialogue.lines().count();
        assert!((2..=30).contains(&turns), "{}: {turns} turns", dialogue.id);
        let speakers = speakers(&dialogue.dialogue).len();
        assert!((2..=5).contains(&speakers), "{}: {speakers} speakers", dialogue.id);
    }
}

#[test]
fn the_builtin_dialogues_vary_thirtyfold_in_length_and_are_not_only_ascii() {
    let lengths: Vec<usize> =
        builtin().dialogues.iter().map(|d| d.dialogue.chars().count()).collect();
    let (shortest, longest) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
    assert!(*longest >= 30 * shortest, "{shortest} to {longest}");
    assert!(
        builtin()
            .dialogues
            .iter()
            .any(|d| speakers(&d.dialogue).iter().any(|name| !name.is_ascii()))
    );
}

#[test]
fn the_builtin_dialogues_match_the_generator() {
    // tools/dialogues/generate.py --split builtin --style both --seed 1 --count 256 | sha256sum
    let expected = "8a39ef3a18a0ab2f653e69368557f0166169caa10bab7bb6de168204832e6608";
    assert_eq!(builtin().sha256, expected);
}

#[test]
fn the_minutes_are_a_second_column() {
    let columns = Columns { summary: "minutes".to_owned(), ..Columns::default() };
    let minutes = read(&Source::Builtin, &columns).unwrap();
    for (minutes, plain) in minutes.dialogues.iter().zip(builtin().dialogues) {
        assert_eq!(minutes.dialogue, plain.dialogue);
        assert!(
            minutes
                .summary
                .as_deref()
                .is_some_and(|text| text.starts_with("Minutes of a chat between "))
        );
        assert_ne!(minutes.summary, plain.summary);
    }
}

#[test]
fn samsum_is_complete() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/samsum-test.jsonl");
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return;
    }
    let source: Source = path.to_str().unwrap().parse().unwrap();
    let data = read(&source, &Columns::default()).unwrap();
    assert_eq!(data.dialogues.len(), 819);
    assert!(data.notes.is_empty());
}

/// As `fingerprint` of tools/dialogues/generate.py: ignores case, punctuation and non-ASCII
/// letters.
fn fingerprint(dialogue: &str) -> [u8; 8] {
    let plain: Vec<u8> = dialogue
        .bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|b| b.to_ascii_lowercase())
        .collect();
    Sha256::digest(plain)[..8].try_into().unwrap()
}

/// Fingerprints of the training data of `builtin:tiny` and its adapter, with their minimum numbers.
const TRAINED: [(&str, usize); 2] =
    [("tiny/training.fingerprints", 10_000), ("tiny/minutes/training.fingerprints", 5_000)];

#[test]
fn no_builtin_dialogue_was_used_to_train_builtin_tiny_or_its_adapter() {
    for (file, least) in TRAINED {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent/src/model_source");
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let trained: HashSet<&[u8]> = bytes.chunks_exact(8).collect();
        assert!(trained.len() >= least, "{file}: {}", trained.len());
        for dialogue in builtin().dialogues {
            let print = fingerprint(&dialogue.dialogue);
            assert!(!trained.contains(&print[..]), "{file}: {} was trained on", dialogue.id);
            assert_eq!(print[0] % 16, 0, "{} belongs to the training split", dialogue.id);
        }
    }
}
