//! Lower bounds of a batch's cost: prompt lengths in, bytes and operations per phase out.

use super::Precision;
use crate::config::{Config, Gate, StackShape};
use generation::roofline::Phase;
use kernels::Storage;
use layers::group;

#[derive(Debug, Clone, Copy)]
pub(super) struct Model<'a> {
    pub(super) config: &'a Config,
    pub(super) precision: Precision,
    /// Bytes of the weights that one decoder step reads, including the searched head.
    pub(super) step_bytes: usize,
    /// Bytes of the weights that encoding one group of prompts reads.
    pub(super) group_bytes: usize,
    /// The storage in which the head is searched.
    pub(super) search: Storage,
}

impl Model<'_> {
    /// Encoding, then each step of a batch whose rows all generate `steps` tokens.
    pub(super) fn phases(&self, lengths: &[usize], steps: usize) -> Vec<Phase> {
        let encode = self.encode(lengths);
        (0..=steps).map(|step| if step == 0 { encode } else { self.step(lengths, step) }).collect()
    }

    fn feed_forward(&self, phase: &mut Phase, rows: usize, shape: &StackShape) {
        let Config { d_model, gate, .. } = *self.config;
        let d_ff = shape.d_ff;
        let into = if gate == Gate::Gated { 2 } else { 1 };
        phase.multiply(self.precision.most, rows * into * d_model * d_ff);
        phase.multiply(self.precision.wo, rows * d_ff * d_model);
    }

    fn encode(&self, lengths: &[usize]) -> Phase {
        let Config { encoder, decoder, d_model: width, .. } = self.config;
        let inner = encoder.inner();
        let tokens: usize = lengths.iter().sum();
        let groups = group::all(lengths).len();
        let mut phase = Phase { bytes: (groups * self.group_bytes) as u64, ..Phase::default() };
        for _ in 0..encoder.blocks {
            phase.multiply(self.precision.most, tokens * 4 * width * inner);
            let met: usize = lengths.iter().map(|length| length * length).sum();
            phase.multiply(Storage::F32, 2 * met * inner);
            self.feed_forward(&mut phase, tokens, encoder);
        }
        let remembered = decoder.blocks * tokens * 2 * width * decoder.inner();
        phase.multiply(self.precision.most, remembered);
        phase
    }

    /// The step that attends to `own` generated tokens, including its input.
    fn step(&self, lengths: &[usize], own: usize) -> Phase {
        let config = self.config;
        let decoder = &config.decoder;
        let (inner, width, rows) = (decoder.inner(), config.d_model, lengths.len());
        let seen: usize = lengths.iter().map(|length| length + own).sum();
        let element = if self.precision.cache == Storage::F16 { 2 } else { 4 };
        let cached = decoder.blocks * 2 * seen * inner;
        let mut phase =
            Phase { bytes: (self.step_bytes + cached * element) as u64, ..Phase::default() };
        for _ in 0..decoder.blocks {
            // q, k, v and o of self-attention; q and o of cross-attention.
            phase.multiply(self.precision.most, rows * 6 * width * inner);
            self.feed_forward(&mut phase, rows, decoder);
        }
        phase.multiply(self.precision.cache, cached);
        phase.multiply(self.search, rows * config.vocabulary * width);
        phase
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::engine::Dtype;

    /// Computed by hand for one block each: width 4, one head of 2, `d_ff` 8, vocabulary 16.
    #[test]
    fn a_small_model_costs_what_counting_by_hand_gives() {
        let text = r#"{"model_type": "t5", "d_model": 4, "d_kv": 2, "num_heads": 1, "d_ff": 8,
            "num_layers": 1, "vocab_size": 16, "feed_forward_proj": "gated-gelu"}"#;
        let config = Config::parse(text.as_bytes()).unwrap();
        let precision = Precision::of(Dtype::Int8, config.family);
        let model = Model {
            config: &config,
            precision,
            step_bytes: 1_000,
            group_bytes: 500,
            search: Storage::Int8,
        };
        let phases = model.phases(&[3, 1], 2);
        assert_eq!(phases.len(), 3);
        let [f32, f16, bf16, int8, ..] = phases[0].operations;
        assert_eq!(f32, 2 * 2 * (9 + 1) * 2, "attention");
        assert_eq!(f16, 0);
        assert_eq!(bf16, 2 * 4 * 32, "wo");
        assert_eq!(int8, 2 * 4 * (4 * 8 + 2 * 32 + 2 * 8), "projections, wi, keys and values");
        assert_eq!(phases[0].bytes, 500);
        // The second step attends to two generated tokens per row.
        let [f32, f16, bf16, int8, ..] = phases[2].operations;
        assert_eq!((f32, bf16), (0, 2 * 2 * 32));
        assert_eq!(f16, 2 * 2 * (3 + 2 + 1 + 2) * 2);
        assert_eq!(int8, 2 * 2 * (6 * 8 + 2 * 32 + 16 * 4));
        assert_eq!(phases[2].bytes, 1_000 + 2 * 2 * 8 * 2);
    }
}
