//! Checkpoints with the tokens that PyTorch generates from them, with and without adapters.

use super::fixture::{Batches, run};
use super::logits::Forced;
use agent::model_source;
use candle_core::Device;
use checkpoint::Tensors;
use engine::files::Adapter;
use generation::compute::Compute;
use generation::generate::{RowRequest, StopRule};
use generation::generation_config::GenerationConfig;
use model::engine::Dtype;
use model::generation::Settings;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) const ADAPTERS: [&str; 2] = ["qv-r8", "all-linear"];

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) adapter: Option<String>,
    /// Empty: greedy.
    pub(super) generation: Map<String, Value>,
    pub(super) input_ids: Vec<u32>,
    pub(super) output_ids: Vec<u32>,
}

/// A folder with a checkpoint and its cases.
pub(super) struct Fixture<L> {
    pub(super) folder: PathBuf,
    max_new: usize,
    loader: PhantomData<L>,
}

/// How the models of a crate are loaded.
pub(super) trait Loader {
    type Model: Compute;

    fn tensors(folder: &Path) -> Tensors;

    /// With an adapter merged.
    fn load(folder: &Path, adapter: Option<Adapter>, dtype: Dtype) -> Self::Model;

    fn generation(text: &[u8], vocabulary: usize) -> GenerationConfig;
}

impl<L: Loader> Fixture<L> {
    /// Of a folder of `tests/`.
    pub(super) fn committed(tests: &str, model: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(tests).join(model);
        Self { folder, max_new: 24, loader: PhantomData }
    }

    /// Of the folder that is not part of the repository.
    #[expect(clippy::disallowed_methods, reason = "the inputs are not part of the repository")]
    pub(super) fn given(model: &str) -> Self {
        let root = std::env::var_os("FLEETMARK_TEST_LM").expect("FLEETMARK_TEST_LM names a folder");
        let folder = PathBuf::from(root).join(model);
        Self { folder, max_new: 40, loader: PhantomData }
    }

    /// The cases of an adapter.
    pub(super) fn cases(&self, adapter: Option<&str>) -> Vec<Case> {
        let text = fs::read_to_string(self.folder.join("cases.jsonl")).unwrap();
        let all = text.lines().map(|line| serde_json::from_str::<Case>(line).unwrap());
        all.filter(|case| case.adapter.as_deref() == adapter).collect()
    }

    pub(super) fn greedy_cases(&self) -> Vec<Case> {
        self.cases(None).into_iter().filter(|case| case.generation.is_empty()).collect()
    }

    /// The model's file, with what a case asks for in its place.
    pub(super) fn generation(&self, case: &Map<String, Value>) -> GenerationConfig {
        let file = fs::read(self.folder.join("generation_config.json")).unwrap();
        let mut file: Map<String, Value> = serde_json::from_slice(&file).unwrap();
        file.insert("max_new_tokens".to_owned(), self.max_new.into());
        file.extend(case.clone());
        let text = serde_json::to_vec(&file).unwrap();
        let config = fs::read(self.folder.join("config.json")).unwrap();
        let config: Map<String, Value> = serde_json::from_slice(&config).unwrap();
        let vocabulary = usize::try_from(config["vocab_size"].as_u64().unwrap()).unwrap();
        L::generation(&text, vocabulary)
    }

    pub(super) fn load(&self, dtype: Dtype) -> L::Model {
        L::load(&self.folder, None, dtype)
    }

    /// The cases of `logits.safetensors`. `fed`: what a case is fed, from the ids that the file's
    /// metadata have under this key.
    pub(super) fn forced(&self, key: &str, fed: impl Fn(&Case, &[u32]) -> Vec<u32>) -> Vec<Forced> {
        let path = self.folder.join("logits.safetensors");
        let reference = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        let file = fs::read(&path).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&file).unwrap();
        let ids = &header.metadata().as_ref().unwrap()[key];
        let ids: Vec<u32> = serde_json::from_str(ids).unwrap();
        let mut cases = self.greedy_cases();
        cases.retain(|case| reference.contains_key(&case.id));
        assert!(cases.len() >= 4 && cases.len() == reference.len());
        cases
            .into_iter()
            .map(|case| Forced {
                decoder_ids: fed(&case, &ids),
                logits: reference[&case.id].to_vec2().unwrap(),
                prompt: case.input_ids,
            })
            .collect()
    }

    pub(super) fn adapter_files(&self, adapter: &str) -> engine::files::Adapter {
        let path = self.folder.join("adapters").join(adapter);
        model_source::find_adapter(path.to_str().unwrap()).unwrap()
    }

    fn merged(&self, adapter: &str) -> L::Model {
        L::load(&self.folder, Some(self.adapter_files(adapter)), Dtype::F32)
    }

    pub(super) fn decode(
        &self,
        compute: &mut dyn Compute,
        cases: &[Case],
        batches: Batches,
    ) -> Vec<Vec<u32>> {
        self.decode_drafted(compute, cases, batches, 0).0
    }

    /// With drafts of `tokens` in greedy cases, and how many of their tokens were accepted.
    pub(super) fn decode_drafted(
        &self,
        compute: &mut dyn Compute,
        cases: &[Case],
        batches: Batches,
        tokens: u32,
    ) -> (Vec<Vec<u32>>, u32) {
        let request = |case: &Case| {
            let config = self.generation(&case.generation);
            let mut decoding = config.decoding(&Settings::default()).unwrap();
            if decoding.num_beams == 1 {
                decoding.prompt_lookup_num_tokens = tokens;
            }
            RowRequest {
                ids: case.input_ids.clone(),
                stop_rule: StopRule::EosOr(self.max_new),
                decoding: Arc::new(decoding),
            }
        };
        let requests: Vec<RowRequest> = cases.iter().map(request).collect();
        let eos = self.generation(&Map::new()).eos_ids;
        let rows = run(compute, &requests, &eos, batches);
        let accepted = rows.iter().filter_map(|row| row.drafts).map(|drafts| drafts.accepted).sum();
        (rows.into_iter().map(|row| row.ids).collect(), accepted)
    }

    fn assert_exact(&self, compute: &mut dyn Compute, adapter: Option<&str>) {
        let mut cases = self.cases(adapter);
        assert!(cases.len() >= 14, "{} {adapter:?}: {} cases", self.folder.display(), cases.len());
        for seed in 0..2 {
            for (size, left) in [(1, 0), (4, 0), (16, 0), (5, 3)] {
                for tokens in [0, 5] {
                    let batches = Batches { size, left };
                    let (found, accepted) = self.decode_drafted(compute, &cases, batches, tokens);
                    for (case, ids) in cases.iter().zip(found) {
                        let how = format!("{size} rows, {left} left, drafts of {tokens}");
                        assert_eq!(ids, case.output_ids, "{}: {how}", case.id);
                    }
                    assert_eq!(accepted > 0, tokens > 0, "drafts were verified");
                }
            }
            cases.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        }
    }

    pub(super) fn assert_all_exact(&self) {
        self.assert_exact(&mut self.load(Dtype::F32), None);
        for adapter in ADAPTERS {
            self.assert_exact(&mut self.merged(adapter), Some(adapter));
        }
        // Beside one base, which is what it was once they are gone.
        let tensors = L::tensors(&self.folder);
        let mut base = self.load(Dtype::F32);
        for name in ADAPTERS {
            let adapter = tensors.fit(self.adapter_files(name), "base").unwrap();
            base.adapt(Some(&adapter)).unwrap();
            self.assert_exact(&mut base, Some(name));
        }
        base.adapt(None).unwrap();
        self.assert_exact(&mut base, None);
    }
}
