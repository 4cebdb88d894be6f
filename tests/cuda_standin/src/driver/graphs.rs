//! Work that a stream executes or a capture keeps.

use super::state::Handle;
use crate::program::Kernel;
use std::ffi::c_void;
use std::sync::Arc;

/// A piece of work. Addresses of the host are numbers, because captures outlive a call.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Kernel {
        kernel: Arc<Kernel>,
        grid: [u32; 3],
        block: [u32; 3],
        dynamic_shared: u32,
        params: Vec<u8>,
    },
    Upload {
        target: u64,
        source: usize,
        bytes: usize,
    },
    Download {
        target: usize,
        source: u64,
        bytes: usize,
    },
    Copy {
        target: u64,
        source: u64,
        bytes: usize,
    },
    Fill {
        target: u64,
        element: Vec<u8>,
        count: usize,
    },
    Free {
        address: u64,
    },
    Host {
        function: extern "C" fn(*mut c_void),
        argument: usize,
    },
}

impl Node {
    /// As in `CUgraphNodeType`.
    pub(super) fn kind(&self) -> u32 {
        match self {
            Self::Kernel { .. } => 0,
            Self::Upload { .. } | Self::Download { .. } | Self::Copy { .. } => 1,
            Self::Fill { .. } => 2,
            Self::Host { .. } => 3,
            Self::Free { .. } => 11,
        }
    }
}

/// What streams have captured so far, in order.
#[derive(Debug)]
pub(super) struct Capture {
    /// The stream that began, and that has to end it.
    pub(super) origin: Handle,
    pub(super) nodes: Vec<Node>,
    pub(super) is_valid: bool,
}

/// A graph that can be launched.
#[derive(Debug, Clone)]
pub(super) struct Exec {
    pub(super) nodes: Arc<Vec<Node>>,
    /// Its place in the report.
    pub(super) index: usize,
}
