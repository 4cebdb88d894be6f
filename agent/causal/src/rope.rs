//! The frequencies of rotary positions, as transformers 5.24 computes them
//! (`modeling_rope_utils.py`): in f32.

use crate::config::{Llama3Scaling, RopeConfig};
use std::f32::consts::PI;

/// One frequency for each pair of elements of a head, in radians per position.
#[expect(clippy::cast_possible_truncation, reason = "PyTorch computes them in f32 too")]
pub(crate) fn frequencies(config: &RopeConfig, head_width: usize) -> Vec<f32> {
    let theta = config.theta as f32;
    (0..head_width / 2)
        .map(|pair| {
            let frequency = 1.0 / theta.powf((2 * pair) as f32 / head_width as f32);
            config.scaling.map_or(frequency, |scaling| scaled(&scaling, frequency))
        })
        .collect()
}

/// `_compute_llama3_parameters`.
#[expect(clippy::cast_possible_truncation, reason = "PyTorch computes them in f32 too")]
fn scaled(scaling: &Llama3Scaling, frequency: f32) -> f32 {
    let Llama3Scaling { factor, low, high, original } = *scaling;
    let (factor, low, high) = (factor as f32, low as f32, high as f32);
    let original = original as f32;
    let wavelength = 2.0 * PI / frequency;
    if wavelength > original / low {
        frequency / factor
    } else if wavelength < original / high {
        frequency
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_waves_are_stretched_and_short_ones_are_not() {
        let plain = RopeConfig { theta: 10_000.0, scaling: None };
        assert_eq!(frequencies(&plain, 4), [1.0, 0.01]);
        let scaling = Llama3Scaling { factor: 8.0, low: 1.0, high: 4.0, original: 64 };
        let rope = RopeConfig { theta: 10_000.0, scaling: Some(scaling) };
        let found = frequencies(&rope, 8);
        // Wavelengths of 6, 63, 628 and 6283 positions: below 64 / 4, between, and above 64.
        assert!((found[0] - 1.0).abs() < 1e-6, "{found:?}");
        let smooth = (64.0 / (2.0 * PI / 0.1) - 1.0) / 3.0;
        let between = (1.0 - smooth) * 0.1 / 8.0 + smooth * 0.1;
        assert!((found[1] - between).abs() < 1e-6, "{found:?}");
        assert!((found[2] - 0.01 / 8.0).abs() < 1e-7, "{found:?}");
        assert!((found[3] - 0.001 / 8.0).abs() < 1e-8, "{found:?}");
    }
}
