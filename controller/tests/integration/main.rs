//! The program as a user calls it, and its parts that no crate holds.

mod campaigns;
mod compare;
mod doctor;
mod fuzzed;
mod help;
mod plans;
mod prices;
