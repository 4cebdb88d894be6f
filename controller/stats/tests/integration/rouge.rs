//! ROUGE and its stemmer against `rouge_score` 0.1.2 from the Python Package Index with NLTK 3.10.4; the
//! cases are made by `tests/independent/make_rouge_cases.py`.

use serde::Deserialize;
use stats::quality::{rouge, stem::stem};

#[derive(Deserialize)]
struct Case {
    reference: String,
    summary: String,
    rouge1: f64,
    rouge2: f64,
    #[serde(rename = "rougeL")]
    rouge_l: f64,
}

#[test]
fn words_are_stemmed_as_nltk_stems_them() {
    let words = include_str!("data/stems.tsv").lines().map(|line| line.split_once('\t').unwrap());
    let wrong: Vec<_> = words
        .clone()
        .filter(|(word, expected)| stem(word) != *expected)
        .map(|(word, expected)| format!("{word}: {}, expected {expected}", stem(word)))
        .collect();
    assert!(words.count() > 1500);
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn scores_are_those_of_googles_rouge_score() {
    let cases = include_str!("data/rouge_cases.jsonl").lines();
    assert!(cases.clone().count() > 150);
    for line in cases {
        let case: Case = serde_json::from_str(line).unwrap();
        let found = rouge(&case.reference, &case.summary);
        let pairs = [
            (found.rouge1, case.rouge1),
            (found.rouge2, case.rouge2),
            (found.rouge_l, case.rouge_l),
        ];
        for (found, expected) in pairs {
            assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}: {line}");
        }
    }
}
