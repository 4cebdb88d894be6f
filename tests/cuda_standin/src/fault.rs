//! What a kernel did wrong, and where.

use std::fmt;

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    OutOfBounds,
    Misaligned,
    /// Global or shared memory that nothing was written to.
    UninitializedMemory,
    UninitializedRegister,
    Race,
    /// A barrier that not all threads reach.
    Barrier,
    /// A shuffle, vote or product with a lane that isn't there.
    InactiveLane,
    /// `trap`, or more instructions than a launch may have.
    Stopped,
}

/// A fault of a launch. Launches end at the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub kernel: String,
    /// Line of the PTX.
    pub line: u32,
    /// Block and thread, by axis.
    pub block: [u32; 3],
    pub thread: [u32; 3],
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, kernel, line, block, thread, what } = self;
        let kind = match kind {
            Kind::OutOfBounds => "access out of bounds",
            Kind::Misaligned => "misaligned access",
            Kind::UninitializedMemory => "read of uninitialized memory",
            Kind::UninitializedRegister => "read of an uninitialized register",
            Kind::Race => "race",
            Kind::Barrier => "barrier that not all threads reach",
            Kind::InactiveLane => "inactive lane",
            Kind::Stopped => "stopped",
        };
        let [bx, by, bz] = block;
        let [tx, ty, tz] = thread;
        write!(
            f,
            "{kind} in kernel `{kernel}`, line {line} of its PTX, block ({bx}, {by}, {bz}), \
             thread ({tx}, {ty}, {tz}): {what}"
        )
    }
}
