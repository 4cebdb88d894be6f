//! A search over the requests in flight of a closed loop.

use super::*;
use crate::plan::Plan;

const SLO: &str = "[slo]\nttft_ms = 200";

fn with(server: &str) -> Result<Matrix, Error> {
    check(&format!(
        "{SMALL}[factors]\nscenarios = [\"server\"]\n[protocol]\nserver = {{ {server} }}\n{SLO}\n"
    ))
}

fn users(plan: &Plan) -> Vec<u32> {
    let load = |cell: &plan::Cell| cell.load.filter(|load| load.request_rate.is_none()).unwrap();
    plan.cells.iter().map(|cell| load(cell).concurrency).collect()
}

#[test]
fn candidates_are_whole_numbers_and_no_two_are_further_apart_than_the_resolution_allows() {
    let found =
        with("search = { vary = \"concurrency\", lowest = 1, highest = 64, resolution = 0.4 }");
    let found = found.unwrap();
    let plan = Plan::make(&found, 8).unwrap();
    let users = users(&plan);
    assert_eq!(users[..10], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert!((62..=64).contains(users.last().unwrap()), "{users:?}");
    for pair in users.windows(2) {
        let step = f64::from(pair[1]) / f64::from(pair[0]);
        assert!(pair[1] == pair[0] + 1 || step < 1.4_f64.powf(0.5), "{users:?}");
    }
    assert!(plan.cells[3].id.to_string().contains(".server.c4@"), "{}", plan.cells[3].id);
    assert_eq!(plan.searches(&found), [(0..users.len()).collect::<Vec<_>>()]);
    assert_eq!((plan.in_flight(&found, 3), plan.runs.len()), (4, users.len() * 30));
}

#[test]
fn a_closed_loop_has_whole_numbers_and_no_arrivals() {
    for (server, problem) in [
        ("vary = \"concurrency\", lowest = 1.5, highest = 16", "lowest: expected a whole number"),
        ("vary = \"concurrency\", lowest = 0.5, highest = 16", "lowest: expected a whole number"),
        (
            "vary = \"concurrency\", lowest = 1000, highest = 200000",
            "highest: expected a whole number of requests in flight, 1 to 100000",
        ),
        ("vary = \"users\", lowest = 1, highest = 16", "expected one of request_rate, concurrency"),
    ] {
        let error = with(&format!("search = {{ {server} }}")).unwrap_err().to_string();
        assert!(error.contains(problem), "{server}: {error}");
    }
    for key in [
        "arrivals = \"constant\"",
        "rate_profile = [{ at = \"0s\", factor = 1 }]",
        "max_batch_delay_ms = 5",
        "max_queue = 5",
        "max_in_flight = 5",
    ] {
        let search = "search = { vary = \"concurrency\", lowest = 1, highest = 16 }";
        let error = with(&format!("{key}, {search}")).unwrap_err().to_string();
        assert!(error.contains("has no effect in closed loop: set search.vary"), "{key}: {error}");
    }
}

#[test]
fn agents_of_an_endpoint_share_the_requests_in_flight_evenly() {
    let text = |highest: u32| {
        agents_together::TEXT
            .replace(
                "scenarios = [\"offline\", \"single_stream\", \"server\", \"stress\"]",
                "scenarios = [\"server\"]",
            )
            .replace(
                "request_rates = [40]",
                &format!("search = {{ vary = \"concurrency\", lowest = 2, highest = {highest} }}"),
            )
            .replace("stress = { duration = \"10s\", window = \"1s\", concurrency = 4 }\n", "")
            + "[slo]\nrequest_latency_ms = 200"
    };
    let matrix = check(&text(50)).unwrap();
    let plan = Plan::make(&matrix, 32).unwrap();
    let users = users(&plan);
    assert_eq!((users[..4].to_vec(), *users.last().unwrap()), (vec![4, 8, 12, 16], 48));
    // Each of the four agents has a quarter of the four in flight.
    assert_eq!(plan.in_flight(&matrix, 0), 4);
    let error = check(&text(7)).unwrap_err().to_string();
    assert!(error.contains("search.highest must be at least 8, found 7"), "{error}");
}

#[test]
fn a_run_with_too_few_requests_for_its_users_is_warned_of() {
    let found = with("search = { vary = \"concurrency\", lowest = 1, highest = 256 }").unwrap();
    let warned = |samples: usize| {
        let plan = Plan::make(&found, samples).unwrap();
        let estimate = plan::estimate::Estimate::assumed(&plan, &found);
        plan::warnings(&plan, &found, &[], &estimate).join("\n")
    };
    assert!(warned(1000).contains("set dataset.samples to 1"), "{}", warned(1000));
    assert!(!warned(1400).contains("too few"), "{}", warned(1400));
}
