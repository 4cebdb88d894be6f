//! What was launched, for tests: a JSON text.

use crate::machine::Counts;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything since the library was loaded.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) device: &'static str,
    /// Launches of kernels, also by graphs.
    pub(crate) launches: u64,
    pub(crate) graph_launches: u64,
    pub(crate) graphs: Vec<Graph>,
    pub(crate) kernels: BTreeMap<String, Launches>,
    /// Bytes that were copied from and to the host.
    pub(crate) uploaded_bytes: u64,
    pub(crate) downloaded_bytes: u64,
    /// Faults and texts that weren't loaded.
    pub(crate) faults: Vec<String>,
}

/// The launches of a kernel.
#[derive(Debug, Default, Serialize)]
#[expect(clippy::struct_field_names, reason = "names in JSON")]
pub(crate) struct Launches {
    launches: u64,
    blocks: u64,
    #[serde(flatten)]
    work: Work,
}

/// An instantiated graph.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Graph {
    pub(crate) nodes: usize,
    pub(crate) kernel_nodes: usize,
    pub(crate) launches: u64,
    /// Of its last launch.
    pub(crate) last: Work,
}

/// Work, with bytes of global memory: each once per launch of a kernel, and as often as lanes asked.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct Work {
    warp_instructions: u64,
    read_bytes: u64,
    written_bytes: u64,
    requested_read_bytes: u64,
    requested_written_bytes: u64,
}

impl Work {
    pub(crate) fn add(&mut self, counts: &Counts) {
        self.warp_instructions += counts.instructions;
        self.read_bytes += counts.read;
        self.written_bytes += counts.written;
        self.requested_read_bytes += counts.requested_read;
        self.requested_written_bytes += counts.requested_written;
    }
}

impl Report {
    pub(crate) fn add(&mut self, kernel: &str, grid: [u32; 3], counts: &Counts) {
        self.launches += 1;
        let kernel = self.kernels.entry(kernel.to_owned()).or_default();
        kernel.launches += 1;
        kernel.blocks += grid.iter().map(|axis| u64::from(*axis)).product::<u64>();
        kernel.work.add(counts);
    }

    /// `peak_bytes`: most memory that was ever allocated.
    pub(crate) fn json(&self, peak_bytes: u64) -> String {
        #[derive(Serialize)]
        struct Whole<'r> {
            #[serde(flatten)]
            report: &'r Report,
            peak_bytes: u64,
        }
        let whole = Whole { report: self, peak_bytes };
        serde_json::to_string_pretty(&whole).expect("a report is JSON")
    }
}
