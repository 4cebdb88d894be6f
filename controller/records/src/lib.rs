//! The rows of a campaign. Pure: the state machine writes them, the store keeps them, results are built from them,
//! and none of the three depends on another.

#![forbid(unsafe_code)]

mod rows;
mod windows;
mod write;

pub use rows::{
    AgentRow, CampaignRow, CellSpan, CountedBatch, DatasetFacts, DialogueRow, EventRow, PriceRow,
    RowSetAside, RowsSetAside, SampleRow, SegmentRow, SignatureRow, State,
};
pub use windows::{LoadWindowRow, WindowRow};
pub use write::{AgentWrite, NewCampaign, Write};
