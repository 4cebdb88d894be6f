//! A scripted engine: durations and texts from a file, for tests of everything around inference.
//!
//! `scripted:FILE` names a JSON file with these keys, all optional:
//!
//! `seed`, `prompt_ms`, `token_ms`, `per_row_ms`: a batch takes `prompt_ms` plus `per_row_ms` per
//! row until the first token, then `token_ms` per step. `spread`: each batch is stretched by up to
//! this share, depending on the seed and the batch. `output_tokens`, `device`: as reported.
//!
//! Time advances on the synthetic stopwatch without waiting, and samples are marked accordingly.
//! `paced: true` also sleeps, `clock_factor` times faster than scripted, so that tests can
//! interfere. `slows: [{at_s, by}]`: from `at_s` seconds on, batches take `by` times as long.
//! `clock_file`: receives the stopwatch's seconds at the start of each batch, for a hardware
//! stand-in.
//!
//! `samples: {id: {text, output_tokens, fails, breaks}}`: `fails` fails the one request; `breaks`
//! fails its batch with that kind (`out_of_memory`, `model`, `input`, `internal`), panics (`panic`),
//! kills the process (`abort`), or never returns (`hang`). `loading: KIND` does the same whenever the
//! engine is loaded or inspected.

use crate::{Engine, Request, Row, count, files::sha256_of};
use model::engine::{EngineFacts, EngineSpec};
use model::failure::{Failure, Kind, Retry};
use model::generation::Generation;
use model::sample::Finish;
use ops::text_file;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stopwatch::Stopwatch;

pub const PREFIX: &str = "scripted:";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Script {
    seed: u64,
    prompt_ms: f64,
    token_ms: f64,
    per_row_ms: f64,
    spread: f64,
    output_tokens: u32,
    device: String,
    paced: bool,
    clock_factor: f64,
    clock_file: Option<PathBuf>,
    slows: Vec<Slow>,
    loading: Option<Break>,
    samples: HashMap<String, Line>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            seed: 0,
            prompt_ms: 2.0,
            token_ms: 1.0,
            per_row_ms: 0.0,
            spread: 0.0,
            output_tokens: 20,
            device: "cpu".to_owned(),
            paced: false,
            clock_factor: 1.0,
            clock_file: None,
            slows: Vec::new(),
            loading: None,
            samples: HashMap::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slow {
    at_s: f64,
    by: f64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Line {
    text: Option<String>,
    output_tokens: Option<u32>,
    fails: Option<String>,
    breaks: Option<Break>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Break {
    OutOfMemory,
    Model,
    Input,
    Internal,
    Panic,
    Abort,
    /// Never returns.
    Hang,
}

impl Break {
    fn failure(self) -> Failure {
        let (kind, retry) = match self {
            Self::OutOfMemory => (Kind::OutOfMemory, Retry::OtherAgent),
            Self::Model => (Kind::Model, Retry::OtherAgent),
            Self::Input => (Kind::Input, Retry::Never),
            Self::Internal => (Kind::Internal, Retry::SameAgent),
            Self::Panic => panic!("the script panics"),
            Self::Abort => std::process::abort(),
            Self::Hang => loop {
                std::thread::park();
            },
        };
        Failure { retry, kind, detail: "the script fails this batch".to_owned() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the script {path}")]
    Read { path: String, source: text_file::Error },
    #[error("{path} is not a script")]
    Parse { path: String, source: serde_json::Error },
    #[error("{0}")]
    Loading(Failure),
}

#[derive(Debug)]
pub struct Scripted {
    script: Script,
    facts: EngineFacts,
}

impl Scripted {
    pub fn load(spec: &EngineSpec) -> Result<Self, Error> {
        let path = spec.model.trim_start_matches(PREFIX).to_owned();
        let text = text_file::read(Path::new(&path))
            .map_err(|source| Error::Read { path: path.clone(), source })?;
        let script: Script = serde_json::from_str(&text)
            .map_err(|source| Error::Parse { path: path.clone(), source })?;
        if let Some(breaks) = script.loading {
            return Err(Error::Loading(breaks.failure()));
        }
        let facts = EngineFacts {
            model_sha256: Some(sha256_of(&text)),
            device: script.device.clone(),
            kernel: "scripted".to_owned(),
            random_weights: true,
            synthetic_time: true,
            ..EngineFacts::default()
        };
        Ok(Self { script, facts })
    }

    /// A factor from 1 - spread to 1 + spread, determined by the seed and the batch.
    fn stretch(&self, batch: &[Request]) -> f64 {
        let mut hash = Sha256::new();
        hash.update(self.script.seed.to_le_bytes());
        for request in batch {
            hash.update(request.sample_id.as_bytes());
        }
        let digest = hash.finalize();
        let share = f64::from(u16::from_le_bytes([digest[0], digest[1]])) / f64::from(u16::MAX);
        1.0 + self.script.spread * (2.0 * share - 1.0)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "durations of a script are short"
)]
fn nanoseconds(milliseconds: f64) -> u64 {
    (milliseconds.max(0.0) * 1e6) as u64
}

#[expect(clippy::disallowed_methods, reason = "a paced script is there to take time")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

impl Engine for Scripted {
    fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    fn generate(
        &mut self,
        batch: &[Request],
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) -> Result<Vec<Result<Row, Failure>>, Failure> {
        let line_of = |request: &Request| self.script.samples.get(&request.sample_id);
        if let Some(breaks) = batch.iter().filter_map(line_of).find_map(|line| line.breaks) {
            return Err(breaks.failure());
        }
        let start = stopwatch.now_ns();
        let now_s = start as f64 / 1e9;
        if let Some(file) = &self.script.clock_file {
            // If this fails, the test that reads the file fails.
            drop(ops::atomic_file::write(file, now_s.to_string().as_bytes()));
        }
        let slows = self.script.slows.iter().rev().find(|slow| slow.at_s <= now_s);
        let stretch = self.stretch(batch) * slows.map_or(1.0, |slow| slow.by);
        let rows = f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        let first = nanoseconds(stretch * (self.script.prompt_ms + rows * self.script.per_row_ms));
        let step = stretch * self.script.token_ms;
        let row = |request: &Request| {
            let line = line_of(request);
            if let Some(detail) = line.and_then(|line| line.fails.clone()) {
                return Err(Failure { retry: Retry::Never, kind: Kind::Input, detail });
            }
            let wanted =
                line.and_then(|line| line.output_tokens).unwrap_or(self.script.output_tokens);
            let tokens = wanted.clamp(1, generation.settings.token_limit().max(1));
            let end = first + nanoseconds(step * f64::from(tokens - 1));
            let text = line.and_then(|line| line.text.clone());
            let text = text.unwrap_or_else(|| "played".to_owned());
            Ok(Row {
                input_tokens: Some(count(request.dialogue.split_whitespace().count())),
                cut_tokens: 0,
                output_ids: ids(&text, tokens),
                output_tokens: Some(tokens),
                unknown_tokens: 0,
                first_token_ns: Some(start + first),
                end_ns: start + end,
                finish: if wanted > tokens { Finish::Length } else { Finish::Eos },
                text: Some(text),
                http: None,
                chunk_gaps: None,
                drafts: None,
            })
        };
        let rows: Vec<_> = batch.iter().map(row).collect();
        let end = rows.iter().flatten().map(|row| row.end_ns).max().unwrap_or(start + first);
        if self.script.paced {
            wait(Duration::from_nanos(end - start).div_f64(self.script.clock_factor));
        }
        stopwatch.advance(end - start);
        Ok(rows)
    }
}

/// Ids derived from the words of `text`, so that equal texts have equal ids.
fn ids(text: &str, tokens: u32) -> Vec<u32> {
    // FNV-1a over the word's bytes, modulo a vocabulary of 32,000.
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    let words = text.split_whitespace().map(|word| word.bytes().fold(2_166_136_261, hash) % 32_000);
    words.chain(std::iter::repeat(2)).take(tokens as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::engine::{AdapterMode, Dtype, EngineName};
    use model::generation::{Settings, Stop};

    type Rows = Vec<Result<Row, Failure>>;

    fn play(script: &str, ids: &[&str]) -> (Rows, u64) {
        let (rows, now) = try_play(script, ids);
        (rows.unwrap(), now)
    }

    fn try_play(script: &str, ids: &[&str]) -> (Result<Rows, Failure>, u64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script.json");
        std::fs::write(&path, script).unwrap();
        let spec = EngineSpec {
            model: format!("scripted:{}", path.display()),
            revision: None,
            adapter: None,
            adapter_mode: AdapterMode::default(),
            tokenizer: None,
            dtype: Dtype::F32,
            endpoint: None,
            engine: EngineName::default(),
        };
        let generation = Generation {
            prompt: None,
            max_input_tokens: 9,
            settings: Settings { max_new_tokens: Some(9), ..Settings::default() },
            stop: Stop::Eos,
        };
        let request = |id: &&str| Request {
            sample_id: (*id).to_owned(),
            dialogue: "A: hi".to_owned(),
            earlier: Vec::new(),
            reference: None,
        };
        let batch: Vec<Request> = ids.iter().map(request).collect();
        let stopwatch = Stopwatch::synthetic();
        let rows = Scripted::load(&spec).unwrap().generate(&batch, &generation, &stopwatch);
        (rows, stopwatch.now_ns())
    }

    #[test]
    fn a_batch_takes_what_the_script_says() {
        let script = r#"{"prompt_ms": 4, "token_ms": 2, "per_row_ms": 1, "samples":
            {"long": {"output_tokens": 5}, "short": {"output_tokens": 1, "text": "so"}}}"#;
        let (rows, now) = play(script, &["long", "short"]);
        let [long, short] = [rows[0].as_ref().unwrap(), rows[1].as_ref().unwrap()];
        assert_eq!((long.first_token_ns, long.end_ns), (Some(6_000_000), 14_000_000));
        assert_eq!((short.end_ns, short.text.as_deref()), (6_000_000, Some("so")));
        assert_eq!(now, 14_000_000);
    }

    #[test]
    fn a_script_slows_down_from_its_time_on() {
        let script = r#"{"prompt_ms": 10, "output_tokens": 1, "slows": [{"at_s": 0, "by": 1.5}, {"at_s": 9, "by": 2}]}"#;
        assert_eq!(play(script, &["a"]).1, 15_000_000);
    }

    #[test]
    fn a_sample_that_breaks_takes_its_batch_with_it() {
        let script = r#"{"samples": {"bad": {"breaks": "out_of_memory"}}}"#;
        let failure = try_play(script, &["good", "bad"]).0.unwrap_err();
        assert_eq!((failure.kind, failure.retry), (Kind::OutOfMemory, Retry::OtherAgent));
    }

    #[test]
    fn a_request_that_fails_leaves_its_neighbor_alone() {
        let (rows, _) = play(r#"{"samples": {"bad": {"fails": "no"}}}"#, &["bad", "good"]);
        assert!(rows[0].is_err() && rows[1].is_ok());
    }
}
