//! SmolLM2-135M-Instruct from its GGUF file: prompts and greedy tokens of llama.cpp on the first
//! built-in dialogues, by `tools/compare_llama_cpp.py`.
//!
//! llama.cpp computed them from the same values as F32: with the file as it is, it rounds activations
//! to 8 bits.

use super::fixture::{open, spec};
use engine::Engine;
use generation::{Input, generate::StopRule};
use model::generation::Settings;
use serde::Deserialize;
use std::path::Path;
use stopwatch::Stopwatch;

const FILE: &str = "../target/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
/// Where llama.cpp's best two logits are closer than this, the other token is as right.
const LEAST_GAP: f64 = 0.01;

#[derive(Deserialize)]
struct Case {
    dialogue: String,
    prompt_ids: Vec<u32>,
    output_ids: Vec<u32>,
    /// Between the best two logits, for each output token.
    gaps: Vec<f64>,
}

#[test]
#[ignore = "needs SmolLM2: cargo xtask smollm2, then cargo xtask ignored smollm2:: --test integration"]
fn prompts_and_tokens_are_those_of_llama_cpp() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let mut engine = open(&spec(&file.display().to_string())).unwrap().load(2).unwrap();
    let template = "prompts are written by the model's chat template (SHA-256 ";
    assert!(engine.facts().notes.iter().any(|note| note.starts_with(template)));
    let decoding =
        engine.decoding(&Settings { max_new_tokens: Some(64), ..Settings::default() }).unwrap();
    let cases = include_str!("../../smollm2.jsonl").lines();
    let cases: Vec<Case> = cases.map(|line| serde_json::from_str(line).unwrap()).collect();
    let inputs: Vec<Input> = cases
        .iter()
        .map(|case| {
            let prompt = engine.prompt_of(None, &case.dialogue, 2048).unwrap();
            assert_eq!(prompt.ids, case.prompt_ids);
            let decoding = std::sync::Arc::clone(&decoding);
            Input { prompt, stop_rule: StopRule::EosOr(64), decoding }
        })
        .collect();
    let rows = engine.decode(&inputs, &Stopwatch::start()).unwrap();
    let mut equal = 0;
    for (case, row) in cases.iter().zip(rows) {
        let found = row.unwrap().output_ids;
        let pairs = found.iter().zip(&case.output_ids);
        let first = pairs.take_while(|(found, expected)| found == expected).count();
        if first == case.output_ids.len() && first == found.len() {
            equal += 1;
            continue;
        }
        let gap = case.gaps[first.min(case.gaps.len() - 1)];
        assert!(gap < LEAST_GAP, "token {first} differs, where the gap is {gap}");
    }
    assert!(2 * equal >= cases.len(), "{equal} of {} summaries are equal", cases.len());
}
