//! Rows of the store -> what statistics take in.

use super::Read;
use crate::statistics::{self, Observation};
use crate::store::{AgentRow, SampleRow};
use std::collections::BTreeSet;

/// One cell's rows, and what statistics make of those that count.
pub(super) struct Observed<'a> {
    /// Late ones included.
    pub(super) samples: Vec<&'a SampleRow>,
    /// Those that count.
    pub(super) cell: statistics::Cell,
}

/// Every cell's, in the order of the plan.
pub(super) fn of_cells<'a>(read: &Read<'a>) -> Vec<Observed<'a>> {
    let cells = &read.campaign.plan.cells;
    let mut rows: Vec<Vec<&SampleRow>> = vec![Vec::new(); cells.len()];
    for sample in read.samples {
        rows[sample.cell as usize].push(sample);
    }
    let hosts = host_indices(read.agents);
    let observed = |(samples, planned): (Vec<&'a SampleRow>, &crate::plan::Cell)| {
        let counted = samples.iter().filter(|sample| sample.is_counted);
        let observations =
            counted.map(|sample| observation(sample, hosts[sample.agent as usize])).collect();
        let cell = statistics::Cell::new(planned.scenario, observations);
        Observed { samples, cell }
    };
    rows.into_iter().zip(cells).map(observed).collect()
}

/// Agents on one machine are one host.
fn host_indices(agents: &[AgentRow]) -> Vec<u32> {
    let hosts: BTreeSet<&str> = agents.iter().map(|agent| agent.host_id.as_str()).collect();
    let index = |agent: &AgentRow| hosts.iter().position(|host| *host == agent.host_id.as_str());
    agents
        .iter()
        .map(|agent| u32::try_from(index(agent).unwrap_or(0)).unwrap_or(u32::MAX))
        .collect()
}

fn observation(sample: &SampleRow, host: u32) -> Observation {
    Observation {
        run: sample.run,
        host,
        segment: sample.segment,
        batch: sample.batch,
        start_ns: sample.start_ns,
        sample: sample.sample,
        latency_ns: sample.latency_ns,
        ttft_ns: sample.ttft_ns,
        input_tokens: sample.input_tokens,
        output_tokens: sample.output_tokens,
        outcome: if sample.outcome.is_ok() {
            statistics::Outcome::Ok
        } else {
            statistics::Outcome::Failed
        },
    }
}
