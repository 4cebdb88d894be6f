//! The program as a user calls it, and its parts that no crate holds.

mod bundle;
mod campaigns;
mod compare;
mod decide;
mod doctor;
mod files;
mod from_s3;
mod fuzzed;
mod help;
mod plans;
mod prices;
