//! Rows of telemetry and of sustained loads.

use model::load::LoadWindow;
use model::telemetry::{Phase, Readings, Window};
use serde::{Deserialize, Serialize};

/// A window of one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRow {
    pub agent: usize,
    /// Indices of cell, run and segment; none while idle.
    pub of: Option<(usize, u32, u64)>,
    pub phase: Phase,
    /// On the clock of the segment's samples.
    pub start_ns: u64,
    pub end_ns: u64,
    pub readings: Readings,
}

impl WindowRow {
    pub fn new(agent: usize, of: Option<(usize, u32, u64)>, window: Window) -> Self {
        let Window { phase, start_ns, end_ns, readings, .. } = window;
        Self { agent, of, phase, start_ns, end_ns, readings }
    }

    pub fn seconds(&self) -> f64 {
        (self.end_ns - self.start_ns) as f64 / 1e9
    }
}

/// A window and where it belongs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadWindowRow {
    pub cell: usize,
    pub run: u32,
    /// Its number in the run, from 0.
    pub number: u32,
    /// From 1 in its run.
    pub segment: u64,
    pub attempt: u64,
    pub agent: usize,
    /// Whether it counts, or came late.
    pub is_counted: bool,
    pub window: LoadWindow,
}
