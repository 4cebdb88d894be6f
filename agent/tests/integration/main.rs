//! The agent's binary and its engines from outside: command line, model files, and T5 against
//! PyTorch's tokens.

#![expect(clippy::unwrap_used, reason = "in a test an error is a failure, in its helpers too")]

mod cli;
mod fuzzed;
mod inference;
