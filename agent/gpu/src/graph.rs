//! Graphs: launches that were recorded once and are replayed with one call.

use crate::driver::{Error, Gpu};
use cudarc::driver::result;
use cudarc::driver::sys::{self, CUgraphInstantiate_flags, CUstreamCaptureMode};
use std::fmt;
use std::sync::Arc;

pub struct Graph {
    gpu: Arc<Gpu>,
    recorded: sys::CUgraph,
    executable: sys::CUgraphExec,
    nodes: usize,
}

// Safety: as for `Gpu`; a graph is used by one thread at a time, because launching needs `&mut`.
#[expect(unsafe_code, reason = "handles of the driver are pointers")]
unsafe impl Send for Graph {}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Graph({} nodes)", self.nodes)
    }
}

#[expect(unsafe_code, reason = "calls into the driver's library")]
impl Graph {
    /// Records what `launches` starts, without running it. The buffers it names must outlive the
    /// graph's last launch.
    pub fn record<E: From<Error>>(
        gpu: &Arc<Gpu>,
        launches: impl FnOnce() -> Result<(), E>,
    ) -> Result<Self, E> {
        gpu.bind()?;
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // Safety: the stream lives as long as `gpu`.
        unsafe { result::stream::begin_capture(gpu.stream, mode) }
            .map_err(Error::call("cuStreamBeginCapture"))?;
        let outcome = launches();
        // Safety: the capture was begun above.
        let recorded = unsafe { result::stream::end_capture(gpu.stream) }
            .map_err(Error::call("cuStreamEndCapture"));
        // What a launch failed with says more than that the capture is invalid.
        let recorded = match recorded {
            Ok(recorded) => recorded,
            Err(error) => return Err(outcome.err().unwrap_or_else(|| error.into())),
        };
        let gpu = Arc::clone(gpu);
        let mut new = Self { gpu, recorded, executable: std::ptr::null_mut(), nodes: 0 };
        outcome?;
        // Safety: the graph is valid; without a list of nodes only their number is written.
        unsafe {
            sys::cuGraphGetNodes(recorded, std::ptr::null_mut(), &raw mut new.nodes)
                .result()
                .map_err(Error::call("cuGraphGetNodes"))?;
            new.executable = result::graph::instantiate(recorded, CUgraphInstantiate_flags(0))
                .map_err(Error::call("cuGraphInstantiate"))?;
        }
        Ok(new)
    }

    /// Starts what was recorded.
    pub fn launch(&mut self) -> Result<(), Error> {
        self.gpu.bind()?;
        // Safety: both handles live as long as `self`.
        unsafe { result::graph::launch(self.executable, self.gpu.stream) }
            .map_err(Error::call("cuGraphLaunch"))
    }

    /// Launches, copies and fills.
    pub fn nodes(&self) -> usize {
        self.nodes
    }
}

impl Drop for Graph {
    #[expect(unsafe_code, reason = "calls into the driver's library")]
    fn drop(&mut self) {
        if self.gpu.bind().is_err() {
            return;
        }
        // Safety: nothing else has these handles.
        unsafe {
            if !self.executable.is_null() {
                let _ = result::graph::exec_destroy(self.executable);
            }
            let _ = result::graph::destroy(self.recorded);
        }
    }
}
