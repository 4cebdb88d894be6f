//! Several agents at one endpoint.

use super::*;

pub(super) const TEXT: &str = r#"
name = "together"
[dataset]
source = "builtin:dialogues"
[[model]]
name = "hosted"
id = "https://h/v1"
[model.endpoint]
input_tokens = "/0/i"
output_tokens = "/0/o"
[factors]
scenarios = ["offline", "single_stream", "server", "stress"]
batch_sizes = [8]
[protocol]
runs = 1
order = "written"
server = { request_rates = [40] }
stress = { duration = "10s", window = "1s", concurrency = 4 }
[[target]]
name = "behind"
agents = 4
usd_per_hour = 1.0
"#;

#[test]
fn agents_of_an_endpoint_share_each_run() {
    let matrix = check(TEXT).unwrap();
    assert_eq!(matrix.machines(&matrix.targets[0]), 1);
    let plan = Plan::make(&matrix, 32).unwrap();
    let batches = |shard: &plan::Shard| [shard.batches.start, shard.batches.end];
    let shards = |run: &plan::Run| -> Vec<[u32; 2]> {
        plan.shards[run.shards.clone()].iter().map(batches).collect()
    };
    let of = |scenario| {
        let run = plan.runs.iter().find(|run| plan.cells[run.cell].scenario == scenario).unwrap();
        (plan.cells[run.cell].agents, shards(run))
    };
    // Batches of 2 for each of four agents.
    assert_eq!(of(Scenario::Offline), (4, vec![[0, 4], [4, 8], [8, 12], [12, 16]]));
    assert_eq!(of(Scenario::SingleStream), (1, vec![[0, 32]]));
    assert_eq!(of(Scenario::Server), (4, vec![[0, 8], [8, 16], [16, 24], [24, 32]]));
    assert_eq!(of(Scenario::Stress), (4, vec![[0, 10], [10, 20], [20, 30], [30, 40]]));
    let stress = plan.cells.iter().find_map(plan::Cell::sustained).unwrap();
    assert_eq!([0, 9, 10, 39].map(|batch| stress.window(batch)), [0, 9, 0, 9]);
}

#[test]
fn a_load_that_agents_cannot_share_is_refused() {
    for (from, to, expected) in [
        ("batch_sizes = [8]", "batch_sizes = [8, 6]", "must be multiples of 4, found 6"),
        ("concurrency = 4", "concurrency = 3", "concurrency must be at least 4, found 3"),
    ] {
        let error = check(&TEXT.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
