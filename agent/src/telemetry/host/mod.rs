//! This process and its machine, from /proc and /sys.

mod cgroup;
mod clocks;
mod process;
mod processors;

pub use cgroup::{Cgroup, Limits};
pub(super) use clocks::Clocks;
pub(super) use process::Process;
pub(super) use processors::Processors;
