//! Models behind an endpoint: what the figures describe, and the share of the network.

use super::counted;
use crate::shortened::shortened;
use plot::number::shown;
use results::{Cell, Entry};

pub(crate) fn asked(entry: &Entry, endpoint: &str) -> String {
    let (model, target) = (shortened(&entry.model, 80), shortened(&entry.target, 80));
    format!(
        "{model} was measured over the network at {} and is priced as {target}. The machine behind the endpoint was not observed: its memory, energy, and device are unknown.",
        shortened(endpoint, 200)
    )
}

/// How many agents generated the load; `None` for one.
pub(crate) fn load_agents(cell: &Cell) -> Option<String> {
    let agents = cell.load_agents?;
    Some(format!("{agents} agents generated the load together"))
}

/// The network's share of a request; `None` where the model runs in the agent.
pub(crate) fn network_share(cell: &Cell) -> Option<String> {
    let timing = cell.http.as_ref()?;
    let network = cell.estimates.network_ms.as_ref().and_then(|network| network.p50.value);
    Some(match network {
        Some(p50) => format!(
            "the network took {} ms of a request (p50), by the server's own timing",
            shown(p50)
        ),
        None if timing.server_ms.n == 0 => {
            "the server reports no timing, so the network's share is unknown".to_owned()
        }
        None => "too few requests to estimate the network's share".to_owned(),
    })
}

/// Requests whose kept connection the server had closed; `None` if there were none.
pub(crate) fn reconnects(cell: &Cell) -> Option<String> {
    let reconnects = cell.http.as_ref()?.reconnects;
    let requests = counted(reconnects, "request");
    (reconnects > 0).then(|| {
        format!("{requests} went to a new connection, because the server had closed the kept one")
    })
}
