//! The dialogues that come with the program, and a real data set where one lies beside the project.

use super::*;
use crate::dataset::{Source, read};
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
fn the_builtin_dialogues_have_the_promised_form() {
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
fn the_builtin_dialogues_spread_thirtyfold_and_speak_in_more_than_ascii() {
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
fn the_builtin_dialogues_are_those_that_the_generator_wrote() {
    // tools/dialogues/generate.py --split builtin --style both --seed 1 --count 256 | sha256sum
    let written = "fc7153a00680dd4ecf1f996e58afba58c41f58af78711c1a4129848a0ae20632";
    assert_eq!(builtin().sha256, written);
}

#[test]
fn the_brief_summaries_are_a_second_column() {
    let columns = Columns { summary: "brief".to_owned(), ..Columns::default() };
    let brief = read(&Source::Builtin, &columns).unwrap();
    for (brief, plain) in brief.dialogues.iter().zip(builtin().dialogues) {
        assert_eq!(brief.dialogue, plain.dialogue);
        assert_ne!(brief.summary, plain.summary);
    }
}

#[test]
fn samsum_is_read_whole_where_it_lies_beside_the_project() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/samsum-test.jsonl");
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return;
    }
    let source: Source = path.to_str().unwrap().parse().unwrap();
    let data = read(&source, &Columns::default()).unwrap();
    assert_eq!(data.dialogues.len(), 819);
    assert!(data.notes.is_empty());
}

/// As `fingerprint` of tools/dialogues/generate.py: names, case, punctuation and other alphabets don't tell
/// two dialogues apart.
fn fingerprint(dialogue: &str) -> [u8; 8] {
    let plain: Vec<u8> = dialogue
        .bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|b| b.to_ascii_lowercase())
        .collect();
    Sha256::digest(plain)[..8].try_into().unwrap()
}

#[test]
fn no_builtin_dialogue_was_used_to_train_builtin_tiny() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../agent/src/model_source/tiny/training.fingerprints");
    let bytes = std::fs::read(path).unwrap();
    let trained: HashSet<&[u8]> = bytes.chunks_exact(8).collect();
    assert!(trained.len() >= 10_000, "{}", trained.len());
    for dialogue in builtin().dialogues {
        let print = fingerprint(&dialogue.dialogue);
        assert!(!trained.contains(&print[..]), "{} was trained on", dialogue.id);
        assert_eq!(print[0] % 16, 0, "{} belongs to the training split", dialogue.id);
    }
}
