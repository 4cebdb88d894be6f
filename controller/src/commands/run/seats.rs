//! The agents that joined, and whether they agree on what they loaded.

use fleet::{Joined, Outbox};
use matrix::Matrix;
use matrix::plan::{Cell, Plan};
use model::engine::{EngineFacts, EngineSpec};
use model::ids::AgentId;
use std::collections::HashMap;
use store::AgentRow;

/// All agents that joined in this campaign, and the way to those that are here.
#[derive(Default)]
pub(super) struct Seats {
    /// Agents of an earlier stretch of the campaign, before it was gone on with.
    before: usize,
    /// The way to each, in the order of their numbers.
    outboxes: Vec<Outbox>,
    by_id: HashMap<AgentId, usize>,
    /// The first report on each engine, apart from its dtype: all others must match it.
    known: HashMap<(String, Option<String>, Option<String>), EngineFacts>,
}

impl Seats {
    pub(super) fn after(rows: &[AgentRow]) -> Self {
        Self { before: rows.len(), ..Self::default() }
    }

    /// Gives an agent its number.
    pub(super) fn take(&mut self, id: AgentId, outbox: Outbox) -> usize {
        let number = self.before + self.outboxes.len();
        self.by_id.insert(id, number);
        self.outboxes.push(outbox);
        number
    }

    pub(super) fn number(&self, id: &AgentId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(super) fn outbox(&self, id: &AgentId) -> Option<&Outbox> {
        self.number(id).and_then(|number| self.outboxes.get(number - self.before))
    }

    /// Sends everybody home.
    pub(super) fn drain(&self, reason: &str) {
        self.outboxes.iter().for_each(|outbox| outbox.drain(reason));
    }

    /// What is wrong with what an agent found: engines that it can't do, or files that differ from another
    /// agent's. Each is told with its cells.
    pub(super) fn objections(
        &mut self,
        joined: &Joined,
        matrix: &Matrix,
        plan: &Plan,
    ) -> Vec<String> {
        let mut objections = Vec::new();
        let target = &matrix.targets[joined.target].name;
        for (index, (spec, found)) in
            plan.engines[joined.target].iter().zip(&joined.engines).enumerate()
        {
            let cells = plan
                .cells
                .iter()
                .filter(|cell| cell.target == joined.target && cell.engine == index);
            let (mut refused, reason): (Vec<&Cell>, _) = match found {
                Ok(facts) => (cells.collect(), self.mismatch(spec, facts)),
                Err(reason) => (cells.collect(), Some(reason.clone())),
            };
            let reason = reason.or_else(|| {
                let facts = found.as_ref().ok().filter(|facts| !facts.admits)?;
                refused.retain(|cell| cell.load.is_some_and(|load| load.is_continuous()));
                let kernel = &facts.kernel;
                let reason = format!(
                    "{kernel} lets no request enter while others are decoded: batching = \"dynamic\" does without"
                );
                (!refused.is_empty()).then_some(reason)
            });
            let Some(reason) = reason else { continue };
            let cells: Vec<&str> = refused.iter().map(|cell| cell.id.as_str()).collect();
            objections.push(format!("{target} can't do {}: {reason}", cells.join(", ")));
        }
        objections
    }

    fn mismatch(&mut self, spec: &EngineSpec, facts: &EngineFacts) -> Option<String> {
        let key = (spec.model.clone(), spec.adapter.clone(), spec.tokenizer.clone());
        let first = self.known.entry(key).or_insert_with(|| facts.clone());
        let differs = |what: &str, ours: Option<&str>, theirs: Option<&str>| {
            let short =
                |hash: Option<&str>| hash.unwrap_or("none").chars().take(12).collect::<String>();
            (ours != theirs).then(|| {
                format!(
                    "its {what} has sha256 {}…, another agent's has {}…: give all the same files",
                    short(theirs),
                    short(ours)
                )
            })
        };
        differs("model", first.model_sha256.as_deref(), facts.model_sha256.as_deref())
            .or_else(|| {
                differs("adapter", first.adapter_sha256.as_deref(), facts.adapter_sha256.as_deref())
            })
            .or_else(|| {
                differs(
                    "tokenizer",
                    first.tokenizer_sha256.as_deref(),
                    facts.tokenizer_sha256.as_deref(),
                )
            })
    }
}
