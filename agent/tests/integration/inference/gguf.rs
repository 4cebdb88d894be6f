//! Products with the blocks of GGUF files against llama.cpp's, which rounds activations to 8 bits
//! too: `tools/make_gguf_logits.py` made the files and the logits, and says how.

use super::fixture::{decode_ids, open, spec};
use super::logits::{Distance, Forced, deviation, forced_logits};
use causal::checkpoint::Checkpoint;
use causal::config::Config;
use causal::cpu::CpuModel;
use engine::files::{Blob, Weights};
use generation::LanguageModel;
use generation::compute::{Compute, NextToken};
use half::f16;
use kernels::{Dispatch, InstructionSet};
use model::engine::{Dtype, EngineName, EngineSpec};
use ops::error_chain::one_line;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Case {
    ids: Vec<u32>,
    /// llama.cpp's, after each of the last ids.
    logits: Vec<Vec<f32>>,
    /// Of the same values as F32.
    #[serde(default)]
    of_values: Vec<Vec<f32>>,
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gguf").join(name)
}

fn cases() -> BTreeMap<String, Case> {
    serde_json::from_slice(&std::fs::read(path("logits.json")).unwrap()).unwrap()
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(&format!("{name}.gguf"))).unwrap()
}

fn checkpoint(bytes: &[u8]) -> Checkpoint {
    let file = || Blob::held("model.gguf", bytes.to_vec());
    let contents = gguf::Model::new(gguf::File::open(file()).unwrap()).unwrap();
    let config = Config::parse(contents.config().to_string().as_bytes()).unwrap();
    Checkpoint::open(&config, Weights::Gguf(file())).unwrap()
}

fn load(name: &str, dtype: Dtype, dispatch: &'static Dispatch) -> CpuModel {
    CpuModel::load(&checkpoint(&bytes(name)), dtype, dispatch, 2).unwrap()
}

impl Case {
    /// With the logits of the file's blocks, or of its values.
    fn forced(&self, logits: &[Vec<f32>]) -> [Forced; 1] {
        let first = self.ids.len() - logits.len();
        let (prompt, decoder_ids) = (self.ids[..=first].to_vec(), self.ids[first..].to_vec());
        [Forced { prompt, decoder_ids, logits: logits.to_vec() }]
    }

    /// The tokens before each of the logits, and those logits.
    fn prompts<'a>(
        &'a self,
        logits: &'a [Vec<f32>],
    ) -> impl Iterator<Item = (Vec<u32>, &'a Vec<f32>)> {
        let first = self.ids.len() - logits.len();
        (first..self.ids.len()).map(|last| self.ids[..=last].to_vec()).zip(logits)
    }
}

/// The largest logit and how far the second is behind, in standard deviations of all.
fn best_two(logits: &[f32]) -> (u32, f32) {
    let best = NextToken::of(logits);
    let others = logits.iter().zip(0..).filter(|(_, id)| *id != best.id).map(|(x, _)| *x);
    (best.id, best.logit - others.fold(f32::NEG_INFINITY, f32::max))
}

/// In standard deviations of the logits. llama.cpp is as far from its own logits of the same values as
/// F32: 0.08 to 0.16 at most, and 0.02 in the mean.
const LARGEST: f32 = 0.15;
const MEAN: f32 = 0.03;

#[test]
fn logits_of_blocks_are_as_close_to_llama_cpp_as_rounded_activations_allow() {
    for (name, case) in cases() {
        for set in InstructionSet::detect() {
            let dispatch = Dispatch::with(set).unwrap();
            let mut model = load(&name, Dtype::Gguf, dispatch);
            let expected = case.forced(&case.logits);
            let found = forced_logits(&mut model, &expected);
            let Distance { largest, mean } = Distance::between(&found, &expected);
            println!("{name} {set:?}: largest {largest:.1e}, mean {mean:.1e}");
            assert!(largest < LARGEST && mean < MEAN, "{name} {set:?}: {largest} {mean}");
            for (place, (ours, theirs)) in found[0].iter().zip(&case.logits).enumerate() {
                let (expected, gap) = best_two(theirs);
                // The logits have a standard deviation of about 4.
                assert!(
                    best_two(ours).0 == expected || gap < 4.0 * LARGEST,
                    "{name} {set:?}: token {place}, where the gap is {gap}"
                );
            }
        }
        let mut exact = load(&name, Dtype::F32, Dispatch::best());
        let found = Distance::of(&mut exact, &case.forced(&case.of_values));
        assert!(found.largest < 1e-4, "{name} as f32: {found:?}");
    }
}

/// Of models of published shapes, whose logits have other deviations than those of tiny ones.
#[test]
#[ignore = "needs FLEETMARK_TEST_GGUF, a folder with files and llama.cpp's logits: tools/make_gguf_logits.py of"]
#[expect(clippy::disallowed_methods, reason = "the files are not part of the repository")]
fn logits_of_given_files_are_those_of_llama_cpp() {
    let folder =
        std::env::var_os("FLEETMARK_TEST_GGUF").expect("FLEETMARK_TEST_GGUF names a folder");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "gguf") {
            continue;
        }
        let Ok(case) = std::fs::read(path.with_extension("json")) else { continue };
        let case: Case = serde_json::from_slice(&case).unwrap();
        let checkpoint = checkpoint(&std::fs::read(&path).unwrap());
        let mut model = CpuModel::load(&checkpoint, Dtype::Gguf, Dispatch::best(), 2).unwrap();
        let expected = case.forced(&case.logits);
        let found = forced_logits(&mut model, &expected);
        let Distance { largest, mean } = Distance::between(&found, &expected);
        let pairs = || found[0].iter().zip(&case.logits);
        let is_equal =
            |(ours, theirs): (&Vec<f32>, &Vec<f32>)| best_two(ours).0 == best_two(theirs).0;
        let equal = pairs().filter(|pair| is_equal(*pair)).count();
        println!(
            "{}: largest {largest:.3}, mean {mean:.4}, {equal} of {} best tokens equal",
            path.display(),
            case.logits.len()
        );
        // The largest of many more logits, after more layers.
        assert!(largest < 2.0 * LARGEST && mean < 0.05, "{}: {largest} {mean}", path.display());
        for (place, (ours, theirs)) in pairs().enumerate() {
            let deviation = deviation(theirs);
            let (expected, gap) = best_two(theirs);
            assert!(
                best_two(ours).0 == expected || gap < 4.0 * LARGEST * deviation,
                "{}: token {place}, where the gap is {gap}",
                path.display()
            );
        }
        files += 1;
    }
    assert!(files > 0, "no file with logits");
}

/// The engine candle with the blocks of a file.
fn on_candle(name: &str, dtype: Dtype) -> LanguageModel {
    let path = path(&format!("{name}.gguf"));
    let spec = EngineSpec { engine: EngineName::Candle, dtype, ..spec(path.to_str().unwrap()) };
    open(&spec).unwrap().load(candle::own_threads()).unwrap()
}

#[test]
fn tokens_that_candle_computes_from_blocks_are_those_of_llama_cpp() {
    for (name, case) in cases() {
        let mut model = on_candle(&name, Dtype::Gguf);
        for (place, (prompt, theirs)) in case.prompts(&case.logits).enumerate() {
            let found = decode_ids(&mut model, &[prompt], 1).remove(0);
            let (expected, gap) = best_two(theirs);
            assert!(
                found == [expected] || gap < 4.0 * LARGEST,
                "{name}: token {place} is {found:?}, not {expected}, where the gap is {gap}"
            );
        }
        // With keys and values in the cache, after those of other prompts.
        let prompt = case.ids[..case.ids.len() - case.logits.len()].to_vec();
        let tokens = decode_ids(&mut model, std::slice::from_ref(&prompt), 8).remove(0);
        for (place, token) in tokens.iter().enumerate() {
            let whole = [&prompt[..], &tokens[..place]].concat();
            assert_eq!(decode_ids(&mut model, &[whole], 1), [[*token]], "{name}: token {place}");
        }
    }
}

#[test]
fn candle_computes_in_f32_with_the_values_of_a_file() {
    for (name, case) in cases() {
        let mut model = on_candle(&name, Dtype::F32);
        for (place, (prompt, theirs)) in case.prompts(&case.of_values).enumerate() {
            let found = decode_ids(&mut model, &[prompt], 1);
            assert_eq!(found, [[best_two(theirs).0]], "{name}: token {place}");
        }
    }
}

#[test]
fn candle_is_asked_for_threads_that_it_has() {
    let path = path("q8_0.gguf");
    let spec = spec(path.to_str().unwrap());
    let spec = EngineSpec { engine: EngineName::Candle, dtype: Dtype::Gguf, ..spec };
    let error = one_line(&open(&spec).unwrap().load(1000).unwrap_err());
    assert!(error.ends_with("start the agent with CANDLE_NUM_THREADS=1000"), "{error}");
}

#[test]
fn weights_take_the_memory_of_their_blocks() {
    for name in cases().into_keys() {
        let file = bytes(&name).len() as f64;
        let found = load(&name, Dtype::Gguf, Dispatch::best()).weight_bytes() as f64;
        // Six bits are bytes here, and the file has norms and metadata.
        let most = if name == "q4_k_m" { 1.2 } else { 1.01 };
        assert!(found < most * file, "{name}: {found} bytes of {file}");
    }
}

/// Bit for bit, whatever the other rows are.
#[test]
fn rows_of_blocks_are_in_a_batch_what_they_are_alone() {
    for (name, case) in cases() {
        for dtype in [Dtype::Gguf, Dtype::Q4] {
            let mut model = load(&name, dtype, Dispatch::best());
            let prompts: Vec<&[u32]> = (5..case.ids.len()).map(|end| &case.ids[..end]).collect();
            let tokens: Vec<u32> = prompts.iter().map(|prompt| prompt[prompt.len() - 1]).collect();
            model.encode(&prompts, 1).unwrap();
            let all = model.step_logits(&tokens).unwrap();
            for ((prompt, token), row) in prompts.iter().zip(tokens).zip(all.chunks(96)) {
                model.encode(&[*prompt], 1).unwrap();
                assert_eq!(model.step_logits(&[token]).unwrap(), row, "{name} {dtype}");
            }
        }
    }
}

#[test]
fn a_scale_that_is_not_finite_is_refused_with_its_place() {
    let mut bytes = bytes("q8_0");
    // The last of 96 x 64 values, in blocks of 32: a scale, then the quants.
    let scale = bytes.len() - 34;
    bytes[scale..scale + 2].copy_from_slice(&f16::INFINITY.to_le_bytes());
    let error = CpuModel::load(&checkpoint(&bytes), Dtype::Gguf, Dispatch::best(), 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "model.gguf: tensor model.layers.1.mlp.up_proj.weight contains inf at index 6112: the file \
         is corrupt"
    );
}

#[test]
fn blocks_as_they_are_need_a_file_that_has_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/causal/qwen2");
    let given = |model: &str, dtype| EngineSpec { dtype, ..spec(model) };
    let folder = folder.to_str().unwrap();
    assert_eq!(
        open(&given(folder, Dtype::Gguf)).unwrap_err().to_string(),
        format!("dtype `gguf` is not supported for {folder}: expected f32, f16, bf16, int8, q4")
    );
    assert_eq!(
        open(&given("builtin:tiny", Dtype::Q4)).unwrap_err().to_string(),
        "dtype `q4` is not supported for builtin:tiny: expected f32, f16, bf16, int8"
    );
    assert!(open(&given(folder, Dtype::Q4)).is_ok());
}
