//! The text of PTX -> statements with their lines. Nothing here knows what an instruction does.

mod lexer;
mod parser;

pub use parser::{
    Address, Body, Entry, Module, Operand, Param, Register, Shared, Statement, Variable,
};

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Error {
    /// Counted from 1.
    pub line: u32,
    pub what: String,
}

impl Error {
    pub(crate) fn new(line: u32, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

/// Parses a module.
pub fn parse(text: &str) -> Result<Module, Error> {
    parser::parse(&lexer::tokens(text)?)
}

/// The file of registers that holds a type of PTX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Predicates.
    Predicate,
    /// Up to 32 bits.
    Word,
    /// 64 bits.
    Long,
}

impl Class {
    /// That of a type without its dot, such as `f32`.
    pub(crate) fn of_type(name: &str) -> Option<Self> {
        Some(match name {
            "pred" => Self::Predicate,
            "b8" | "u8" | "s8" | "b16" | "u16" | "s16" | "f16" | "b32" | "u32" | "s32" | "f32"
            | "f16x2" => Self::Word,
            "b64" | "u64" | "s64" | "f64" => Self::Long,
            _ => return None,
        })
    }
}

/// Bytes of a type without its dot.
pub(crate) fn size_of_type(name: &str) -> Option<u32> {
    Some(match name {
        "b8" | "u8" | "s8" => 1,
        "b16" | "u16" | "s16" | "f16" => 2,
        "b32" | "u32" | "s32" | "f32" | "f16x2" => 4,
        "b64" | "u64" | "s64" | "f64" => 8,
        _ => return None,
    })
}
