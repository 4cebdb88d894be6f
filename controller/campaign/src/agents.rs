//! The agents of a campaign: their numbers in the store, and whether they loaded the same files.

use super::input::JoinedAgent;
use matrix::Matrix;
use matrix::plan::{Cell, Plan};
use model::engine::{EngineFacts, EngineSpec};
use model::ids::AgentId;
use std::collections::{BTreeSet, HashMap};

/// Length of a hash in messages.
const SHORT_HASH: usize = 12;

#[derive(Default)]
pub(super) struct AgentRegistry {
    /// Agents that ever joined, those of earlier controllers included.
    count: usize,
    numbers: HashMap<AgentId, usize>,
    connected: BTreeSet<AgentId>,
    /// The first report on each model, adapter and tokenizer; all others must match it.
    known: HashMap<(String, Option<String>, Option<String>), EngineFacts>,
}

impl AgentRegistry {
    /// `earlier` agents joined before this controller started.
    pub(super) fn new(earlier: usize) -> Self {
        Self { count: earlier, ..Self::default() }
    }

    /// Returns the agent's number.
    pub(super) fn register(&mut self, id: AgentId) -> usize {
        let number = self.count;
        self.count += 1;
        self.numbers.insert(id.clone(), number);
        self.connected.insert(id);
        number
    }

    pub(super) fn disconnect(&mut self, id: &AgentId) {
        self.connected.remove(id);
    }

    pub(super) fn number(&self, id: &AgentId) -> Option<usize> {
        self.numbers.get(id).copied()
    }

    pub(super) fn connected(&self) -> impl Iterator<Item = &AgentId> {
        self.connected.iter()
    }

    /// Engines that an agent can't run, or whose files differ from another agent's. One message per engine, with the
    /// affected cells.
    pub(super) fn objections(
        &mut self,
        joined: &JoinedAgent,
        matrix: &Matrix,
        plan: &Plan,
    ) -> Vec<String> {
        let mut objections = Vec::new();
        let target = &matrix.targets[joined.target].name;
        let engines = plan.engines[joined.target].iter();
        for (index, (engine, found)) in engines.zip(&joined.engines).enumerate() {
            let is_affected = |cell: &&Cell| cell.target == joined.target && cell.engine == index;
            let mut cells: Vec<&Cell> = plan.cells.iter().filter(is_affected).collect();
            let reason = match found {
                Ok(facts) => self.mismatch(&engine.spec, facts),
                Err(reason) => Some(reason.clone()),
            };
            let reason = reason.or_else(|| {
                let facts = found.as_ref().ok().filter(|facts| !facts.continuous_batching)?;
                cells.retain(|cell| cell.load.is_some_and(|load| load.is_continuous()));
                (!cells.is_empty()).then(|| {
                    format!(
                        "{} doesn't support continuous batching: set batching = \"dynamic\"",
                        facts.kernel
                    )
                })
            });
            let Some(reason) = reason else { continue };
            let cells: Vec<&str> = cells.iter().map(|cell| cell.id.as_str()).collect();
            objections.push(format!("{target} can't run {}: {reason}", cells.join(", ")));
        }
        objections
    }

    fn mismatch(&mut self, spec: &EngineSpec, facts: &EngineFacts) -> Option<String> {
        let key = (spec.model.clone(), spec.adapter.clone(), spec.tokenizer.clone());
        let first = self.known.entry(key).or_insert_with(|| facts.clone());
        let files = [
            ("model", &first.model_sha256, &facts.model_sha256),
            ("adapter", &first.adapter_sha256, &facts.adapter_sha256),
            ("tokenizer", &first.tokenizer_sha256, &facts.tokenizer_sha256),
        ];
        let short = |hash: &Option<String>| match hash {
            Some(hash) => format!("{}…", hash.chars().take(SHORT_HASH).collect::<String>()),
            None => "none".to_owned(),
        };
        let (file, first, found) = files.into_iter().find(|(_, first, found)| first != found)?;
        Some(format!(
            "sha256 of its {file} is {}, another agent's is {}: give all agents the same files",
            short(found),
            short(first)
        ))
    }
}
