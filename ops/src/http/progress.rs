//! What a connection is waiting for, and until when.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a client may take. Every one of them closes the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// From the first byte of a request, or from the connection, to the end of the headers.
    pub(super) headers: Duration,
    /// From the end of the headers to the end of the body.
    pub(super) body: Duration,
    /// From the end of a response to the next request.
    pub(super) idle: Duration,
    /// While the client doesn't read.
    pub(super) write: Duration,
    /// From the stop to the end of the request, and from the end of the response to its last byte.
    pub(super) stop: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            headers: Duration::from_secs(10),
            // 25 MiB at 3.5 Mbit/s.
            body: Duration::from_mins(1),
            // Longer than the usual load balancers keep an idle connection (60 s): a server that is first to close it
            // loses requests.
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            stop: Duration::from_secs(2),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Headers,
    Body,
    /// A complete request is being answered.
    Answer,
    Idle,
}

/// Shared by the connection's socket and the bodies of its requests and responses.
#[derive(Debug)]
pub(super) struct Progress {
    timeouts: Timeouts,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Since when the client doesn't read.
    blocked: Option<Instant>,
    stopped: Option<Instant>,
}

impl Progress {
    /// Of a new connection.
    pub(super) fn new(timeouts: Timeouts) -> Self {
        let since = Instant::now();
        let state = State { phase: Phase::Headers, since, blocked: None, stopped: None };
        Self { timeouts, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase, from: impl Fn(Phase) -> bool) {
        let mut state = self.lock();
        if from(state.phase) {
            (state.phase, state.since) = (phase, Instant::now());
        }
    }

    /// Bytes arrived.
    pub(super) fn read(&self) {
        self.enter(Phase::Headers, |phase| phase == Phase::Idle);
    }

    /// The headers of a request are complete.
    pub(super) fn begin_body(&self) {
        self.enter(Phase::Body, |_| true);
    }

    /// The request is complete, or its handler doesn't need the rest of it.
    pub(super) fn end_body(&self) {
        self.enter(Phase::Answer, |phase| phase == Phase::Body);
    }

    /// The response is complete.
    pub(super) fn end_answer(&self) {
        self.enter(Phase::Idle, |_| true);
    }

    /// The client reads what it is sent, or doesn't.
    pub(super) fn write(&self, is_blocked: bool) {
        let mut state = self.lock();
        if !is_blocked {
            state.blocked = None;
        } else if state.blocked.is_none() {
            state.blocked = Some(Instant::now());
        }
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = Some(Instant::now());
    }

    /// When the connection is closed unless something happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        let of_phase = match state.phase {
            Phase::Headers => Some(state.since + self.timeouts.headers),
            Phase::Body => Some(state.since + self.timeouts.body),
            Phase::Answer => None,
            Phase::Idle => Some(state.since + self.timeouts.idle),
        };
        let of_stop = state.stopped.map(|at| at.max(state.since) + self.timeouts.stop);
        let of_stop = of_stop.filter(|_| state.phase != Phase::Answer);
        let of_write = state.blocked.map(|since| since + self.timeouts.write);
        [of_phase, of_stop, of_write].into_iter().flatten().min()
    }
}
