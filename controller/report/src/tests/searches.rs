//! The report of a search for the highest rate that keeps the objective.

use super::*;
use stats::search::Resolution;
use stats::slo::Kept;

const SEARCH: &str = r#"
[factors]
scenarios = ["server"]
[protocol.server]
search = { lowest = 10, highest = 40, resolution = 0.8 }
[slo]
request_latency_ms = 5
ttft_ms = 3
percentile = 90
"#;

/// Up to 20 requests/s, all are good; above, a third has a late first token. The highest rate was not measured.
fn searched(runs: u32) -> Results {
    searched_for(runs, SEARCH)
}

fn searched_for(runs: u32, search: &str) -> Results {
    let tuned = "[[model]]\nname = \"tuned\"\nid = \"builtin:tiny\"\nbaseline = \"base\"\n";
    let matrix = MATRIX.replace("[factors]\nbatch_sizes = [1, 4]\n", search).replace(tuned, "");
    let mut world = World::of_matrix(&matrix, 100, "plain");
    let first: Vec<SampleRow> =
        world.samples.iter().filter(|row| row.key.run == 1).cloned().collect();
    let of_run = |run: u32| {
        first.iter().cloned().map(move |mut row| {
            row.key.run = run;
            row
        })
    };
    world.samples = (1..=runs).flat_map(of_run).collect();
    let plan = &world.campaign.plan;
    let rate = |cell: u32| plan.cells[cell as usize].load.unwrap().offered();
    world.samples.retain(|row| rate(row.key.cell) < 39.0);
    for SampleRow { key, sample, .. } in &mut world.samples {
        let is_late = rate(key.cell) > 20.0 && key.sample % 3 == 0;
        sample.start_ns = u64::from(key.sample) * 10_000_000;
        (sample.latency_ns, sample.ttft_ns) =
            (4_500_000, Some(if is_late { 4_000_000 } else { 2_000_000 }));
    }
    world.results()
}

#[test]
fn the_capacity_is_in_the_headline_with_its_interval_and_its_cost() {
    let results = searched(15);
    assert_eq!(results.capacities.len(), 2, "one model on two targets");
    for of in &results.capacities {
        let search = of.search.as_ref().unwrap();
        let (low, high) = (search.low.unwrap(), search.high.unwrap());
        assert!(low <= 20.0 && 20.0 < high && search.resolution == Resolution::Resolved);
        // 0.06 or 0.10 USD per hour.
        let usd = search.usd_per_1000_requests_low.unwrap() * high * 3.6;
        assert!((usd - 0.06).abs() < 1e-9 || (usd - 0.1).abs() < 1e-9, "{usd}");
        assert!(search.steps.iter().map(|step| step.requests).sum::<u64>() < 5000);
    }
    let text = document(&results).verdict.text();
    let begins = "one keeps p90 of latency ≤ 5.00 ms and ttft ≤ 3.00 ms up to a capacity of ";
    assert!(text.starts_with(begins), "{text}");
    assert!(text.contains(" requests/s (95% CI), at "), "{text}");
    let shown = document(&results);
    for page in [html::render(&shown), markdown::render(&shown)] {
        assert!(page.contains("ttft ≤ 3.00 ms breaks at"), "each limit is judged");
        assert!(page.contains("Within the limits") && page.contains("Latency against load"));
    }
}

#[test]
fn candidates_without_a_sample_are_no_cells_of_the_report() {
    let results = searched(15);
    let rates = |entry: &results::Entry| entry.load.unwrap().request_rate.unwrap();
    assert!(results.results.iter().all(|entry| rates(entry) < 39.0));
    for cell in results.results.iter().flat_map(|entry| &entry.cells) {
        let kept = cell.goodput.as_ref().unwrap().kept;
        let rate = cell.cell.split(".r").nth(1).unwrap().split('@').next().unwrap();
        let is_low = rate.parse::<f64>().unwrap() <= 20.0;
        assert!(kept != if is_low { Kept::Missed } else { Kept::Kept }, "{}: {kept:?}", cell.cell);
    }
}

#[test]
fn a_search_that_was_stopped_says_how_much_is_missing() {
    let results = searched(2);
    let Resolution::NotResolved { minutes: Some(minutes) } =
        results.capacities[0].search.as_ref().unwrap().resolution
    else {
        panic!("two runs resolve nothing")
    };
    assert!(minutes > 0.0);
    let text = document(&results).verdict.text();
    assert!(
        text.contains("not resolved: about") && text.contains("more minutes of load"),
        "{text}"
    );
}

#[test]
fn a_closed_loop_has_requests_in_flight_in_every_format() {
    let closed = SEARCH.replace("search = {", "search = { vary = \"concurrency\",");
    let results = searched_for(15, &closed);
    assert_eq!(results.capacities.len(), 2, "one model on two targets");
    for of in &results.capacities {
        let search = of.search.as_ref().unwrap();
        assert!(
            search.low.is_some_and(|low| low <= 20.0)
                && search.high.is_some_and(|high| high > 20.0)
        );
        assert_eq!((search.usd_per_1000_requests_low, of.request_rates.len()), (None, 0));
    }
    let shown = document(&results);
    let text = shown.verdict.text();
    assert!(text.contains(" requests in flight (95% CI)"), "{text}");
    assert!(html::render(&shown).contains("Latency at each number of requests in flight"));
    for page in [html::render(&shown), markdown::render(&shown)] {
        assert!(page.contains("In flight"), "{page}");
        assert!(page.contains("ttft ≤ 3.00 ms breaks at") && page.contains("Within the limits"));
        assert!(!page.contains("requests/s, where"));
    }
}
