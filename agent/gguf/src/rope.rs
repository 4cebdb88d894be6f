//! Scaled rotary positions: the metadata or factors of a file as `rope_scaling` of transformers.

use super::file::File;
use super::metadata;
use serde_json::{Value, json};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    #[error(transparent)]
    File(#[from] super::error::Error),
    #[error(
        "the factors in rope_freqs.weight are not those of Llama 3: other factors are not supported"
    )]
    Factors,
}

/// Converters store the factors that transformers computes from the settings of Llama 3.1, 3.2 and
/// 3.3, which differ in `factor` only.
const LLAMA3_FACTORS: [f64; 2] = [8.0, 32.0];
const LOW: f64 = 1.0;
const HIGH: f64 = 4.0;
const ORIGINAL_LENGTH: f64 = 8192.0;

/// Null where positions are not scaled. `base`: theta.
pub(crate) fn scaling(file: &File, prefix: &str, base: f64, head_dim: u32) -> Result<Value, Error> {
    if let Some(tensor) = file.tensor("rope_freqs.weight") {
        let factors = file.values(tensor)?;
        let pairs = usize::try_from(head_dim / 2).unwrap_or(usize::MAX);
        let fits = |factor: &f64| {
            let is_near = |(a, b): (&f32, f64)| (f64::from(*a) - b).abs() <= 1e-4 * b;
            factors.len() == pairs
                && factors.iter().zip(llama3(*factor, base, head_dim)).all(is_near)
        };
        let factor = LLAMA3_FACTORS.into_iter().find(fits).ok_or(Error::Factors)?;
        return Ok(json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": LOW,
            "high_freq_factor": HIGH,
            "original_max_position_embeddings": 8192,
        }));
    }
    let key = |name: &str| format!("{prefix}rope.scaling.{name}");
    let factor = file.metadata.float(&key("factor"))?;
    match file.metadata.text(&key("type"))? {
        None | Some("none") => Ok(Value::Null),
        Some(kind) => Ok(json!({
            "rope_type": kind,
            "factor": factor,
            "original_max_position_embeddings":
                file.metadata.u32(&key("original_context_length"))?,
        })),
    }
}

/// By what the frequency of each pair of a head is divided: `_compute_llama3_parameters` of
/// transformers, as ggml's converter stores it.
fn llama3(factor: f64, base: f64, head_dim: u32) -> impl Iterator<Item = f64> {
    (0..head_dim).step_by(2).map(move |pair| {
        let wavelength = std::f64::consts::TAU * base.powf(f64::from(pair) / f64::from(head_dim));
        if wavelength < ORIGINAL_LENGTH / HIGH {
            return 1.0;
        }
        if wavelength > ORIGINAL_LENGTH / LOW {
            return factor;
        }
        let smooth = (ORIGINAL_LENGTH / wavelength - LOW) / (HIGH - LOW);
        1.0 / ((1.0 - smooth) / factor + smooth)
    })
}
