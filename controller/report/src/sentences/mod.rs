//! Codes and figures -> sentences. Every claim about figures is worded here or in [`crate::document`], once: all
//! formats show the same text.

mod comparison;
mod endpoint;
mod limitation;
mod load;
mod stress;
mod validity;

pub(crate) use comparison::{scope, signed_change, unresolved};
pub use comparison::{separation, verdict};
pub(crate) use endpoint::{asked, network_share};
pub use limitation::limitation;
pub(crate) use limitation::{no_break_even, reason};
pub use load::repeats;
pub(crate) use load::{break_even_range, capacity, queue_delay};
pub(crate) use stress::sentences as stress;
pub use validity::{cause, causes};

/// `a, b and c`
pub(crate) fn enumerated(names: &[String], conjunction: &str) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
    }
}

/// `1 cell`, `2 cells`
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", plot::number::count(count))
}
