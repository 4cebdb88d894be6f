//! What both programs need around their work.
//!
//! Knows nothing of either program beyond its name. Pure crates don't depend on it. Libraries at the edges use
//! [`atomic_file`], [`clock`], [`environment`], [`error_chain`], [`input_file`], [`placeholder`], [`secret`], [`text`]
//! and [`text_file`]; the feature `program` adds what a binary needs: exit codes, the terminal, logs, metrics, traces,
//! HTTP listeners and their limits, completions and man pages.

#![forbid(unsafe_code)]

pub mod atomic_file;
pub mod clock;
#[cfg(feature = "program")]
pub mod command_line;
#[cfg(feature = "program")]
pub mod descriptors;
pub mod environment;
pub mod error_chain;
mod file_kind;
pub mod input_file;
#[cfg(feature = "program")]
pub mod http;
#[cfg(feature = "program")]
pub mod logs;
#[cfg(feature = "program")]
pub mod metrics;
pub mod placeholder;
pub mod secret;
#[cfg(feature = "program")]
pub mod program;
#[cfg(feature = "program")]
pub mod terminal;
pub mod text;
pub mod text_file;
#[cfg(feature = "program")]
pub mod traces;
