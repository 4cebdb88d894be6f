//! Models that were asked over the network, in sentences. Every format shows the same ones.

use plot::number::digits;
use results::{Cell, Entry};

/// What an endpoint's figures are of. The place is cut: it is the matrix's, and may be long.
pub(super) fn asked(entry: &Entry, endpoint: &str) -> String {
    let place: String = endpoint.chars().take(200).collect();
    format!(
        "{} was asked over the network at {place} and is priced as {}: the machine behind it was not seen, and no agent's machine was measured",
        entry.model, entry.target
    )
}

/// Of requests over the network: what it took.
pub(super) fn over_the_network(cell: &Cell) -> Option<String> {
    let exchange = cell.exchange.as_ref()?;
    let network = cell.estimates.network_ms.as_ref().and_then(|network| network.p50.value);
    let name = &cell.cell;
    Some(match network {
        Some(p50) => format!(
            "{name}: of a request the network took {} ms (p50), by what the server says of itself",
            digits(p50)
        ),
        None if exchange.server_ms.n == 0 => format!(
            "{name}: the server doesn't say how long it took itself, so the network's part is not known"
        ),
        None => format!("{name}: too few requests to say what the network took"),
    })
}
