//! What happened in the simulated campaigns.

/// What happened in one campaign, or in many.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) late: u64,
    /// Attempts whose samples all count, with their signature.
    pub(crate) signed: u64,
    pub(crate) broken_connections: u64,
    pub(crate) dead_agents: u64,
    pub(crate) dead_controllers: u64,
    pub(crate) expired_leases: u64,
    /// Attempts that were revoked because they made no progress.
    pub(crate) stalled: u64,
    /// Panics of agents that held a shard.
    pub(crate) panics: u64,
    /// Panics whose words the controller reported.
    pub(crate) named_panics: u64,
    /// Reported set-backs of the wall clock.
    pub(crate) set_back: u64,
    /// Incomplete campaigns that a user had to resume.
    pub(crate) resumed: u64,
    /// Starts of agents that measure a run together.
    pub(crate) starts: u64,
    pub(super) steps: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.late += other.late;
        self.signed += other.signed;
        self.broken_connections += other.broken_connections;
        self.dead_agents += other.dead_agents;
        self.dead_controllers += other.dead_controllers;
        self.expired_leases += other.expired_leases;
        self.stalled += other.stalled;
        self.panics += other.panics;
        self.named_panics += other.named_panics;
        self.set_back += other.set_back;
        self.resumed += other.resumed;
        self.starts += other.starts;
        self.steps += other.steps;
    }
}
