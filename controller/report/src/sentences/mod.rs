//! Codes and figures -> sentences. Every claim about figures is worded here or in [`crate::document`], once: all
//! formats show the same text.

mod asked_differently;
mod comparison;
mod dataset;
mod endpoint;
mod gate;
mod limitation;
mod load;
mod stress;
mod validity;

pub(crate) use asked_differently::{asked_differently, prompt};
pub(crate) use comparison::{basis, separation, signed_change, unresolved, verdict};
pub(crate) use dataset::rows_set_aside;
pub(crate) use endpoint::{asked, load_agents, network_share, reconnects};
pub(crate) use gate::{gate, gates, outcome, unit as gate_unit};
pub(crate) use limitation::{limitation, no_break_even, reason};
pub(crate) use load::{
    against_poisson, arrivals, at_capacity, break_even_range, capacity, limited, objective,
    queue_delay, repeats, searched,
};
pub(crate) use stress::sentences as stress;
pub(crate) use validity::{cause, causes};

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

/// `without prompt lookup`, `prompt lookup of up to 8 tokens`
pub(crate) fn lookup(tokens: u32) -> String {
    match tokens {
        0 => "without prompt lookup".to_owned(),
        tokens => format!("prompt lookup of up to {}", counted(tokens.into(), "token")),
    }
}

/// `1 beam`, `4 beams`
pub(crate) fn beams(number: u32) -> String {
    counted(number.into(), "beam")
}

/// How much of a list or table is left out: `3 more rows in results.json`; `None` if all is shown.
pub(crate) fn left_out(all: usize, shown: usize, noun: &str) -> Option<String> {
    let more = all.checked_sub(shown).filter(|more| *more > 0)?;
    Some(format!("{} in results.json", counted(more as u64, &format!("more {noun}"))))
}
