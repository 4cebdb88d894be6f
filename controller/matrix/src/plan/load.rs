//! The load of a cell.

use crate::{Arrivals, Batching, Matrix, Model, Queue, Server, Stress, Target, Varied};
use model::load::Scenario;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Open loop: requests per second of one agent, or of all that load an endpoint; null in closed loop.
    pub request_rate: Option<f64>,
    /// The rate as a multiple of the recorded one; null unless arrivals are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_factor: Option<f64>,
    /// Closed loop: requests in flight, of one agent or of all that load an endpoint.
    pub concurrency: u32,
    pub queue: Queue,
    /// Set if the dialogues repeat for a fixed time.
    pub sustained: Option<Sustained>,
}

/// The load windows of a sustained load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sustained {
    pub window_ns: u64,
    /// Windows per run, of each agent that takes part.
    pub windows: u32,
}

impl Sustained {
    /// The window of a batch of a run: agents that take part number theirs one after the other.
    pub fn window(&self, batch: u32) -> u32 {
        batch % self.windows.max(1)
    }
}

impl Load {
    fn server(request_rate: f64, trace_factor: Option<f64>, queue: Queue) -> Self {
        let request_rate = Some(request_rate);
        Self { request_rate, trace_factor, concurrency: 0, queue, sustained: None }
    }

    fn closed(concurrency: u32, queue: Queue) -> Self {
        Self { request_rate: None, trace_factor: None, concurrency, queue, sustained: None }
    }

    /// Requests per second, or in closed loop the requests in flight.
    pub fn offered(&self) -> f64 {
        self.request_rate.unwrap_or_else(|| self.concurrency.into())
    }

    fn stress(stress: &Stress) -> Self {
        let &Stress { concurrency, request_rate, queue, window, .. } = stress;
        let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        let sustained = Some(Sustained { window_ns, windows: stress.windows() });
        let trace_factor = stress.trace.as_ref().and_then(|trace| trace.factors.first().copied());
        Self { request_rate, trace_factor, concurrency, queue, sustained }
    }

    pub fn is_continuous(&self) -> bool {
        self.queue.batching == Batching::Continuous
    }

    pub fn is_constant(&self) -> bool {
        self.queue.arrivals == Arrivals::Constant
    }
}

/// Agents that measure a run together: those of an endpoint, unless there is one request at a time.
pub(super) fn agents_together(target: &Target, model: &Model, scenario: Scenario) -> u32 {
    match scenario {
        Scenario::Offline | Scenario::Server | Scenario::Stress if model.endpoint.is_some() => {
            target.agents
        }
        _ => 1,
    }
}

/// A scenario with its batch size and its load. The name is unique per load.
pub(super) struct Level {
    pub(super) scenario: Scenario,
    pub(super) batch_size: u32,
    pub(super) load: Option<Load>,
    pub(super) name: String,
}

/// Every combination of scenario, batch size and load. `single_stream` always has batch size 1.
/// Under a load the batch size is the maximum number of requests decoded together, which is up to
/// an endpoint itself: it also has batch size 1.
pub(super) fn levels(matrix: &Matrix, target: &Target, model: &Model) -> Vec<Level> {
    let mut levels = Vec::new();
    for &scenario in &matrix.scenarios {
        let has_one = match scenario {
            Scenario::Offline => false,
            Scenario::SingleStream => true,
            Scenario::Server | Scenario::Stress => model.endpoint.is_some(),
        };
        let sizes = if has_one { &[1][..] } else { target.batch_sizes.as_slice() };
        for &batch_size in sizes {
            let name = scenario.to_string();
            match (scenario, &matrix.loads.server, &matrix.loads.stress) {
                (Scenario::Server, Some(Server { search: Some(search), queue, .. }), _)
                    if search.vary == Varied::Concurrency =>
                {
                    let agents = agents_together(target, model, scenario);
                    levels.extend(search.concurrencies(agents).into_iter().map(|concurrency| {
                        let name = format!("{scenario}.c{concurrency}");
                        let load = Some(Load::closed(concurrency, *queue));
                        Level { scenario, batch_size, load, name }
                    }));
                }
                (Scenario::Server, Some(server), _) => {
                    let trace = server.trace.as_ref();
                    let levels_of =
                        server.request_rates.iter().enumerate().map(|(index, &rate)| {
                            let factor = trace.and_then(|trace| trace.factors.get(index)).copied();
                            let name = match factor {
                                Some(factor) => format!("{scenario}.x{factor}"),
                                None => format!("{scenario}.r{rate}"),
                            };
                            let load = Some(Load::server(rate, factor, server.queue));
                            Level { scenario, batch_size, load, name }
                        });
                    levels.extend(levels_of);
                }
                (Scenario::Stress, _, Some(stress)) => {
                    let load = Some(Load::stress(stress));
                    levels.push(Level { scenario, batch_size, load, name });
                }
                _ => levels.push(Level { scenario, batch_size, load: None, name }),
            }
        }
    }
    levels
}
