//! How summaries are decoded: the same on every target.

use serde::{Deserialize, Serialize};

/// The place of the dialogue in a prompt.
pub const DIALOGUE: &str = "{dialogue}";

/// When a row ends, apart from its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// At `</s>`.
    Eos,
    /// After as many tokens as the reference summary has; `</s>` doesn't end it. For random weights.
    Reference,
}

/// Prompt and limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Holds `{dialogue}` once.
    pub prompt: String,
    /// Prompts are cut to this many tokens, `</s>` included.
    pub max_input_tokens: u32,
    /// At most this many tokens are decoded.
    pub max_new_tokens: u32,
    /// When a row ends.
    pub stop: Stop,
}

impl Generation {
    /// The prompt for one dialogue.
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
