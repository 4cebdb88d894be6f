//! Prompt and decoding limits, the same on every target.

use crate::words;
use serde::{Deserialize, Serialize};

pub const DIALOGUE: &str = "{dialogue}";

words!(
    /// When decoding of a summary ends before its length limit.
    Stop, "stop rule", {
        /// At `</s>`.
        Eos = "eos",
        /// After as many tokens as the reference summary has, ignoring `</s>`. For random weights.
        Reference = "reference",
    }
);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Contains [`DIALOGUE`] once.
    pub prompt: String,
    /// Longer prompts are truncated; `</s>` included.
    pub max_input_tokens: u32,
    pub max_new_tokens: u32,
    pub stop: Stop,
}

impl Generation {
    pub fn prompt_for(&self, dialogue: &str) -> String {
        self.prompt.replacen(DIALOGUE, dialogue, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialogue_that_holds_the_place_holder_is_not_filled_again() {
        let generation = Generation {
            prompt: "Summarize: {dialogue}".to_owned(),
            max_input_tokens: 8,
            max_new_tokens: 8,
            stop: Stop::Eos,
        };
        assert_eq!(generation.prompt_for("A: {dialogue}"), "Summarize: A: {dialogue}");
    }
}
