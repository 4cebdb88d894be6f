//! Lower bounds of a batch's cost: prompt lengths in, bytes and operations per phase out.

use crate::config::Config;
use generation::roofline::Phase;
use kernels::Storage;
use layers::group;

#[derive(Debug, Clone, Copy)]
pub(super) struct Model<'a> {
    pub(super) config: &'a Config,
    /// The storage of most products, of the feed-forward output, and of keys and values.
    pub(super) most: Storage,
    pub(super) down: Storage,
    pub(super) cache: Storage,
    /// Bytes of the weights that one group of prompts reads: all but the head.
    pub(super) prompt_bytes: usize,
    /// Bytes of the weights that one step reads, including the searched head.
    pub(super) step_bytes: usize,
    /// The storage in which the head is searched.
    pub(super) search: Storage,
}

impl Model<'_> {
    /// The prompts up to their last token, then each step of a batch whose rows all generate `steps`
    /// tokens.
    pub(super) fn phases(&self, lengths: &[usize], steps: usize) -> Vec<Phase> {
        let prompts = self.prompts(lengths);
        let phases = 0..=steps;
        phases.map(|step| if step == 0 { prompts } else { self.step(lengths, step) }).collect()
    }

    /// The products of all blocks but attention.
    fn blocks(&self, phase: &mut Phase, tokens: usize) {
        let config = self.config;
        let attention = config.width * 2 * (config.queries() + config.keys());
        let all = tokens * config.blocks;
        phase.multiply(self.most, all * (attention + 2 * config.width * config.d_ff));
        phase.multiply(self.down, all * config.d_ff * config.width);
    }

    fn prompts(&self, lengths: &[usize]) -> Phase {
        let lengths: Vec<usize> = lengths.iter().map(|length| length - 1).collect();
        let tokens: usize = lengths.iter().sum();
        let groups = if tokens == 0 { 0 } else { group::all(&lengths).len() };
        let mut phase = Phase { bytes: (groups * self.prompt_bytes) as u64, ..Phase::default() };
        self.blocks(&mut phase, tokens);
        let met: usize = lengths.iter().map(|length| length * (length + 1) / 2).sum();
        phase.multiply(self.cache, 2 * met * self.config.queries() * self.config.blocks);
        phase
    }

    /// The step that generates token `own` of each row, from 1.
    fn step(&self, lengths: &[usize], own: usize) -> Phase {
        let (config, rows) = (self.config, lengths.len());
        let seen: usize = lengths.iter().map(|length| length + own - 1).sum();
        let element = if self.cache == Storage::F16 { 2 } else { 4 };
        let cached = config.blocks * 2 * seen * config.keys();
        let bytes = (self.step_bytes + cached * element) as u64;
        let mut phase = Phase { bytes, ..Phase::default() };
        self.blocks(&mut phase, rows);
        phase.multiply(self.cache, config.blocks * 2 * seen * config.queries());
        phase.multiply(self.search, rows * config.vocabulary * config.width);
        phase
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by hand for one block: width 4, two heads of 2 on one of keys, `d_ff` 8, vocabulary
    /// 16.
    #[test]
    fn a_small_model_costs_what_counting_by_hand_gives() {
        let text = r#"{"model_type": "llama", "hidden_size": 4, "num_attention_heads": 2,
            "num_key_value_heads": 1, "intermediate_size": 8, "num_hidden_layers": 1,
            "vocab_size": 16, "max_position_embeddings": 64}"#;
        let config = Config::parse(text.as_bytes()).unwrap();
        let model = Model {
            config: &config,
            most: Storage::Int8,
            down: Storage::Bf16,
            cache: Storage::F16,
            prompt_bytes: 500,
            step_bytes: 1_000,
            search: Storage::Int8,
        };
        let phases = model.phases(&[4, 2], 2);
        assert_eq!(phases.len(), 3);
        // Three tokens and one.
        let [f32, f16, bf16, int8, ..] = phases[0].operations;
        assert_eq!((f32, bf16), (0, 2 * 4 * 32));
        assert_eq!(f16, 2 * 2 * (1 + 2 + 3 + 1) * 4, "attention");
        assert_eq!(int8, 2 * 4 * (4 * (4 + 2 + 2) + 4 * 4 + 2 * 32), "projections, gate");
        assert_eq!(phases[0].bytes, 500);
        // The second step sees the prompt and the first generated token.
        let [f32, f16, bf16, int8, ..] = phases[2].operations;
        assert_eq!((f32, bf16), (0, 2 * 2 * 32));
        assert_eq!(f16, 2 * 2 * (5 + 3) * 4);
        assert_eq!(int8, 2 * 2 * (32 + 16 + 64 + 16 * 4));
        assert_eq!(phases[2].bytes, 1_000 + 2 * 8 * 2 * 2);
    }
}
