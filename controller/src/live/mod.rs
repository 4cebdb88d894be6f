//! Events of a campaign -> a web page that follows it: the fleet, the cells, what was measured in the last minutes,
//! the time left and the money spent. It only shows; nothing can be changed through it.
//!
//! A board is written once a second, whoever looks: viewers cost the campaign one copy of a pointer each.

mod board;
mod history;
mod serve;
mod vitals;

pub use board::{Board, CellFacts, Outlook, Snapshot};
pub use serve::{Access, Error, Page, serve};
