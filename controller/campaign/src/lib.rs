//! Every decision of a running campaign: `(state, input, now) -> effects`.
//!
//! [`CampaignState::step`] takes what an agent reported, a tick of the clock or a request to stop, and returns rows
//! for the store, messages for agents and events for observers. The caller commits the rows first and sends the
//! messages afterwards: an acknowledgement promises that samples are stored, and no agent may work on an attempt that
//! the store doesn't know.
//!
//! **Architecture invariant:** pure. No I/O, no channels, no clock, no logging: agents are addressed by id, and
//! time is an argument.

#![forbid(unsafe_code)]

mod adaptive;
mod agents;
mod batches;
mod budget;
mod clock_skew;
mod effects;
mod event;
mod input;
mod lease;
mod offer;
mod progress;
pub mod scheduler;
mod search;
mod state;

pub use effects::{AgentMessage, Effects, IncompatibleAgent, PrecisionCheck, Refusal, RunCheck};
pub use event::{CampaignEvent, Latency, Observer};
pub use input::{AgentReport, BatchReport, Input, JoinedAgent, Now, ShardSignature};
pub use offer::{Batch, OfferedLoad, Request, ShardOffer};
pub use progress::{CellProgress, Progress};
pub use scheduler::{Ending, Limits, Stage};
pub use search::SearchRule;
pub use state::{CampaignOptions, CampaignState, Stored};
