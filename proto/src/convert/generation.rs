//! Prompt and limits of decoding.

use crate::wire;
use model::generation::{Generation, Stop};

impl From<&Generation> for wire::Generation {
    fn from(generation: &Generation) -> Self {
        Self {
            prompt: generation.prompt.clone(),
            max_input_tokens: generation.max_input_tokens,
            max_new_tokens: generation.max_new_tokens,
            stop_at_reference: generation.stop == Stop::Reference,
        }
    }
}

impl From<wire::Generation> for Generation {
    fn from(wire: wire::Generation) -> Self {
        Self {
            prompt: wire.prompt,
            max_input_tokens: wire.max_input_tokens,
            max_new_tokens: wire.max_new_tokens,
            stop: if wire.stop_at_reference { Stop::Reference } else { Stop::Eos },
        }
    }
}
