//! How requests come in the cells that have a load.

use crate::{Batching, Gaps, Matrix, Queue, Stress, Target};
use model::load::Scenario;
use serde::{Deserialize, Serialize};

/// How requests come, and what becomes of those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Open loop: requests per second of one agent; null in closed loop.
    pub request_rate: Option<f64>,
    /// Closed loop: requests that are under way at any time.
    pub concurrency: u32,
    /// What becomes of them in open loop.
    pub queue: Queue,
    /// Set where requests come again and again for a time.
    pub sustained: Option<Sustained>,
}

/// Windows of a sustained load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sustained {
    /// How long a window is.
    pub window_ns: u64,
    /// How many make a run.
    pub windows: u32,
}

impl Load {
    fn server(request_rate: f64, queue: Queue) -> Self {
        Self { request_rate: Some(request_rate), concurrency: 0, queue, sustained: None }
    }

    fn stress(stress: &Stress) -> Self {
        let Stress { concurrency, request_rate, queue, window, .. } = *stress;
        let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        let sustained = Some(Sustained { window_ns, windows: stress.windows() });
        Self { request_rate, concurrency, queue, sustained }
    }

    /// Whether requests enter while others are decoded.
    pub fn is_continuous(&self) -> bool {
        self.queue.batching == Batching::Continuous
    }

    /// Whether gaps are constant.
    pub fn is_constant(&self) -> bool {
        self.queue.gaps == Gaps::Constant
    }
}

/// A scenario with its batch size and its load; the name tells loads of one scenario apart.
pub(super) struct Level {
    pub(super) scenario: Scenario,
    pub(super) batch_size: u32,
    pub(super) load: Option<Load>,
    pub(super) name: String,
}

/// Every combination of scenario, batch size and load. `single_stream` is one request at a time, whatever the batch
/// sizes are; elsewhere under a load a batch size is the most that are decoded together.
pub(super) fn levels(matrix: &Matrix, target: &Target) -> Vec<Level> {
    let mut levels = Vec::new();
    for &scenario in &matrix.scenarios {
        let one = &[1][..];
        let sizes =
            if scenario == Scenario::SingleStream { one } else { target.batch_sizes.as_slice() };
        for &batch_size in sizes {
            let name = scenario.to_string();
            match (scenario, &matrix.loads.server, &matrix.loads.stress) {
                (Scenario::Server, Some(server), _) => {
                    levels.extend(server.request_rates.iter().map(|&rate| Level {
                        scenario,
                        batch_size,
                        load: Some(Load::server(rate, server.queue)),
                        name: format!("{scenario}.r{rate}"),
                    }));
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
