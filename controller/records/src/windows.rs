//! Rows of telemetry and of sustained loads.

use model::load::LoadWindow;
use model::telemetry::{Phase, Readings, Window};

/// A window of one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRow {
    /// Index of its agent.
    pub agent: usize,
    /// Indices of cell, run and segment; none while idle.
    pub of: Option<(usize, u32, u64)>,
    /// What the agent did.
    pub phase: Phase,
    /// On the clock of the segment's samples.
    pub start_ns: u64,
    /// Likewise.
    pub end_ns: u64,
    /// What was read.
    pub readings: Readings,
}

impl WindowRow {
    /// The window of an agent's message, and where it belongs.
    pub fn new(agent: usize, of: Option<(usize, u32, u64)>, window: Window) -> Self {
        let Window { phase, start_ns, end_ns, readings, .. } = window;
        Self { agent, of, phase, start_ns, end_ns, readings }
    }

    /// How long it lasted.
    pub fn seconds(&self) -> f64 {
        (self.end_ns - self.start_ns) as f64 / 1e9
    }
}

/// A window and where it belongs.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadWindowRow {
    /// Index of its cell.
    pub cell: usize,
    /// Its round.
    pub run: u32,
    /// Its number in the run, from 0.
    pub number: u32,
    /// From 1 in its run.
    pub segment: u64,
    /// The attempt that brought it.
    pub attempt: u64,
    /// Index of its agent.
    pub agent: usize,
    /// Whether it counts, or came late.
    pub is_counted: bool,
    /// What happened in it.
    pub window: LoadWindow,
}
