//! What a step of the decoder costs: a configuration in, launches and bytes out, and from these and
//! the figures of a card a predicted time.
//!
//! The counts are those of the kernels, and a test compares them with what is launched. The times
//! are predictions: no time of a GPU has been measured, and the three factors below are assumptions.

use super::Precision;
use crate::config::{Biases, Config, Gate, NormKind, Positions};
use gpu::{Kernels, Storage, Weights};
use model::engine::Dtype;

/// The share of a card's bandwidth that is reached: best, expected and worst case.
pub const BANDWIDTH_SHARES: [f64; 3] = [0.9, 0.8, 0.65];

/// The share of a card's boost clock that it keeps.
pub const CLOCK_SHARES: [f64; 3] = [1.0, 0.85, 0.6];

/// Nanoseconds from the end of a kernel's work to the start of the next one's, within a graph.
pub const GAPS_NS: [f64; 3] = [500.0, 1_500.0, 2_500.0];

/// Bytes that a multiprocessor reads from its shared memory per clock.
const SHARED_BYTES_PER_CLOCK: f64 = 128.0;

/// Launches of a block, and those before and after all blocks.
const LAUNCHES: (usize, usize) = (8, 3);

/// Published figures of a GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Card {
    pub name: &'static str,
    /// GB/s.
    pub bandwidth: f64,
    pub multiprocessors: u32,
    pub boost_mhz: f64,
    /// Bytes of the cache that all multiprocessors have in common.
    pub l2_bytes: usize,
}

/// docs/gpu.md has the sources.
pub const CARDS: [Card; 4] = [
    Card {
        name: "T4",
        bandwidth: 320.0,
        multiprocessors: 40,
        boost_mhz: 1_590.0,
        l2_bytes: 4 << 20,
    },
    Card {
        name: "A10G",
        bandwidth: 600.0,
        multiprocessors: 80,
        boost_mhz: 1_710.0,
        l2_bytes: 6 << 20,
    },
    Card {
        name: "L4",
        bandwidth: 300.0,
        multiprocessors: 58,
        boost_mhz: 2_040.0,
        l2_bytes: 48 << 20,
    },
    // The form SXM5.
    Card {
        name: "H100",
        bandwidth: 3_350.0,
        multiprocessors: 132,
        boost_mhz: 1_980.0,
        l2_bytes: 50 << 20,
    },
];

impl Card {
    /// The card that a word of this name names, such as `t4` or `NVIDIA H100 80GB HBM3`. An
    /// instance of MIG is a part of its card, so there are no figures for it.
    pub fn find(name: &str) -> Option<&'static Self> {
        let has = |word: &str| name.split([' ', '-']).any(|w| w.eq_ignore_ascii_case(word));
        CARDS.iter().find(|card| has(card.name) && !has("MIG"))
    }

    /// Bytes per nanosecond from the shared memory of all multiprocessors.
    fn shared_bandwidth(&self) -> f64 {
        f64::from(self.multiprocessors) * SHARED_BYTES_PER_CLOCK * self.boost_mhz / 1e3
    }
}

/// Rows that are decoded together.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    pub rows: usize,
    /// Of each row's prompt.
    pub prompt_tokens: usize,
    /// To which each row attends, its input among them.
    pub own_tokens: usize,
}

/// Weights that are read by each group of rows.
#[derive(Debug, Clone, Copy)]
struct Matrix {
    bytes: usize,
    groups: usize,
}

/// A step of the decoder for a batch.
#[derive(Debug, Clone)]
pub struct Step {
    pub launches: usize,
    /// Keys and values of prompts and rows.
    pub cache_bytes: usize,
    /// Activations that lanes read from shared memory.
    pub staged_bytes: usize,
    matrices: Vec<Matrix>,
    /// Embedded tokens, positions, norms and biases.
    other_bytes: usize,
}

/// What a time is mostly spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Memory,
    SharedMemory,
    Launches,
}

impl Limit {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::SharedMemory => "shared memory",
            Self::Launches => "launches",
        }
    }
}

/// Milliseconds of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    pub best_ms: f64,
    pub expected_ms: f64,
    pub worst_ms: f64,
    /// Of the expected time.
    pub limit: Limit,
}

impl Step {
    pub fn of(config: &Config, dtype: Dtype, batch: Batch) -> Self {
        let Batch { rows, prompt_tokens, own_tokens } = batch;
        let Precision { most, embedding, cache } = Precision::of(dtype);
        let shape = config.decoder;
        let (inner, width) = (shape.inner(), config.d_model);
        let into = if config.gate == Gate::Gated { 2 } else { 1 };
        // Outputs and inputs: queries, keys and values; out; queries of prompts; out; feed-forward.
        let of_block = [
            (3 * inner, width),
            (width, inner),
            (inner, width),
            (width, inner),
            (into * shape.d_ff, width),
            (width, shape.d_ff),
        ];
        let head = [(config.vocabulary, width)];
        let blocks = std::iter::repeat_n(of_block, shape.blocks).flatten();
        let (mut matrices, mut staged_bytes) = (Vec::new(), 0);
        for (outputs, inputs) in blocks.chain(head) {
            let at_once = Kernels::rows_at_once(rows, inputs);
            let groups = rows.div_ceil(at_once);
            staged_bytes += groups * at_once * Weights::stored_bytes(Storage::F32, outputs, inputs);
            matrices.push(Matrix { bytes: Weights::stored_bytes(most, outputs, inputs), groups });
        }
        let places = shape.blocks * rows * (prompt_tokens + own_tokens);
        let vectors = if config.norms.kind == NormKind::Layer { 2 } else { 1 };
        let norms = (3 * shape.blocks + 1) * vectors * width;
        let linear = match config.biases {
            Biases::None => 0,
            Biases::All => {
                let of_block: usize = of_block.iter().map(|(outputs, _)| outputs).sum();
                shape.blocks * of_block + config.vocabulary
            }
        };
        // Biases of scores, or a vector of each row.
        let positions = match config.positions {
            Positions::Relative { .. } => shape.blocks * shape.heads * own_tokens,
            Positions::Learned { .. } | Positions::Sinusoidal { .. } => rows * width,
        };
        Self {
            launches: LAUNCHES.0 * shape.blocks + LAUNCHES.1,
            cache_bytes: places * 2 * inner * if cache == Storage::F32 { 4 } else { 2 },
            staged_bytes,
            matrices,
            other_bytes: rows * Weights::stored_bytes(embedding, 1, width)
                + size_of::<f32>() * (norms + linear + positions),
        }
    }

    /// Each weight once.
    pub fn weight_bytes(&self) -> usize {
        self.other_bytes + self.matrices.iter().map(|matrix| matrix.bytes).sum::<usize>()
    }

    /// Weights that further groups of rows read again, if a cache of this size doesn't hold them.
    fn read_again(&self, cache_bytes: usize) -> usize {
        let again = self.matrices.iter().filter(|matrix| matrix.bytes > cache_bytes);
        again.map(|matrix| matrix.bytes * (matrix.groups - 1)).sum()
    }

    pub fn predict(&self, card: &Card) -> Prediction {
        let once = self.weight_bytes() + self.cache_bytes;
        let again = [0, self.read_again(card.l2_bytes), self.read_again(0)];
        let parts = |case: usize| {
            let memory = (once + again[case]) as f64 / (card.bandwidth * BANDWIDTH_SHARES[case]);
            let shared = card.shared_bandwidth() * CLOCK_SHARES[case];
            (memory, self.staged_bytes as f64 / shared, self.launches as f64 * GAPS_NS[case])
        };
        let ms = |case: usize| {
            let (memory, shared, launches) = parts(case);
            (memory.max(shared) + launches) / 1e6
        };
        let (memory, shared, launches) = parts(1);
        let limit = if launches > memory.max(shared) {
            Limit::Launches
        } else if shared > memory {
            Limit::SharedMemory
        } else {
            Limit::Memory
        };
        Prediction { best_ms: ms(0), expected_ms: ms(1), worst_ms: ms(2), limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Config {
        let text = r#"{"model_type": "t5", "d_model": 768, "d_kv": 64, "num_heads": 12,
            "d_ff": 2048, "num_layers": 12, "vocab_size": 32128,
            "feed_forward_proj": "gated-gelu"}"#;
        Config::parse(text.as_bytes()).unwrap()
    }

    fn step(dtype: Dtype, rows: usize) -> Step {
        Step::of(&base(), dtype, Batch { rows, prompt_tokens: 512, own_tokens: 32 })
    }

    #[test]
    fn a_step_of_flan_t5_base_costs_what_counting_by_hand_gives() {
        let found = step(Dtype::F16, 1);
        let of_block = 6 * 768 * 768 + 3 * 768 * 2048;
        let others = 4 * (37 * 768 + 12 * 12 * 32) + 2 * 768;
        assert_eq!(found.weight_bytes(), 2 * (12 * of_block + 32_128 * 768) + others);
        assert_eq!(found.cache_bytes, 12 * 544 * 2 * 768 * 2);
        assert_eq!(found.launches, 99);
        assert_eq!(found.staged_bytes, 4 * (12 * of_block + 32_128 * 768));
        let int8 = step(Dtype::Int8, 1);
        let scales = 4 * (12 * (3 * 768 + 768 + 768 + 768 + 4096 + 768) + 32_128);
        assert_eq!(int8.weight_bytes(), 12 * of_block + 32_128 * 768 + scales + others);
    }

    #[test]
    fn a_step_of_bart_base_has_biases_and_one_position_for_each_row() {
        let text = r#"{"model_type": "bart", "d_model": 768, "decoder_layers": 6,
            "decoder_attention_heads": 12, "encoder_attention_heads": 12, "decoder_ffn_dim": 3072}"#;
        let config = Config::parse(text.as_bytes()).unwrap();
        let batch = Batch { rows: 2, prompt_tokens: 512, own_tokens: 32 };
        let found = Step::of(&config, Dtype::F16, batch);
        let matrices = 6 * (6 * 768 * 768 + 2 * 768 * 3072) + 50_265 * 768;
        let biases = 6 * (3 * 768 + 768 + 768 + 768 + 3072 + 768) + 50_265;
        let norms = 2 * (3 * 6 + 1) * 768;
        let rows = 2 * (2 * 768 + 4 * 768);
        assert_eq!(found.weight_bytes(), 2 * matrices + 4 * (biases + norms) + rows);
        assert_eq!((found.launches, found.cache_bytes), (51, 2 * 6 * 544 * 2 * 768 * 2));
    }

    #[test]
    fn predictions_are_intervals_and_name_their_limit() {
        let t4 = Card::find("Tesla T4").unwrap();
        let found = step(Dtype::F16, 1).predict(t4);
        // 268 MB at 256 GB/s, and 99 gaps of 1.5 µs.
        assert!((found.expected_ms - 1.195).abs() < 0.01, "{found:?}");
        assert_eq!(found.limit, Limit::Memory);
        for card in &CARDS {
            for rows in [1, 8, 16, 64] {
                let Prediction { best_ms, expected_ms, worst_ms, .. } =
                    step(Dtype::F16, rows).predict(card);
                assert!(best_ms < expected_ms && expected_ms < worst_ms, "{} {rows}", card.name);
            }
        }
        let h100 = Card::find("h100").unwrap();
        assert_eq!(step(Dtype::F16, 1).predict(h100).limit, Limit::Launches);
        assert_eq!(step(Dtype::F16, 64).predict(h100).limit, Limit::SharedMemory);
    }

    #[test]
    fn cards_are_found_by_a_word_of_their_name() {
        let name = |text| Card::find(text).map(|card| card.name);
        assert_eq!(name("NVIDIA H100 80GB HBM3"), Some("H100"));
        assert_eq!(name("a10g"), Some("A10G"));
        assert_eq!(name("NVIDIA H100 80GB HBM3 MIG 1g.10gb"), None);
        assert_eq!(name("NVIDIA L40S"), None);
        assert_eq!(name(""), None);
    }
}
