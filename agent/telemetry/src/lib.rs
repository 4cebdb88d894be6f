//! What is observed beside inference: this process, its host, the GPU that infers, and their energy.
//!
//! Instruments are found once and read for every window; what can't be read is absent, with the reason. The
//! [`sampler`] reads them on a thread of its own, and is the only thing of ours that runs beside a measuring shard.

mod clocks;
mod counter;
mod energy;
mod nvml;
mod panel;
mod process;
mod processors;
pub mod sampler;

pub use nvml::Visible;
pub use panel::{Occasion, Panel, Places};
pub use sampler::Sampler;
