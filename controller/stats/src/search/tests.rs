use super::*;

/// 10% apart, from 1 to about 40 requests/s.
fn search() -> Search {
    Search {
        loads: (0..40).map(|step| 1.1_f64.powi(step)).collect(),
        pace: Pace::Offered,
        // Four gaps.
        resolution: 1.1_f64.powi(4) - 1.0,
        max_runs: 30,
        needed: vec![0.95],
    }
}

/// Shares of a run in which each block has this share of good requests.
fn run(share: f64) -> RunShares {
    let good = if share > 0.99 { 200 } else { 100 };
    RunShares {
        blocks: vec![vec![share]; 8],
        requests: 200,
        good,
        per_second: None,
        end: RunEnd::Whole,
    }
}

/// Measures whatever the search asks for.
fn measure(search: &Search, share: impl Fn(f64) -> f64) -> Progress {
    let mut runs = BTreeMap::new();
    loop {
        let progress = search.follow(&runs);
        let Next::Measure { load, run: number } = progress.next else { return progress };
        assert!(runs.insert((load, number), run(share(search.loads[load]))).is_none());
    }
}

fn holds(progress: &Progress, capacity: f64) -> bool {
    let Standing { low, high, .. } = progress.standing;
    low.is_some_and(|low| low <= capacity) && high.is_some_and(|high| capacity < high)
}

#[test]
fn the_interval_closes_around_the_capacity() {
    for capacity in [1.5, 3.0, 7.77, 20.0] {
        let progress = measure(&search(), |rate| if rate <= capacity { 1.0 } else { 0.6 });
        assert!(holds(&progress, capacity), "{capacity}: {progress:?}");
        assert_eq!(progress.standing.resolution, Resolution::Resolved);
        let (low, high) = (progress.standing.low.unwrap(), progress.standing.high.unwrap());
        assert!(high / low < 1.1_f64.powi(4) + 1e-9, "{low} to {high}");
        // Twelve runs of perfect blocks show that a rate is kept.
        assert!(progress.steps.len() < 40, "{}", progress.steps.len());
        // Nothing far above the capacity is offered.
        let highest = progress.steps.iter().map(|step| step.load).fold(0.0, f64::max);
        assert!(highest <= 2.0 * capacity, "{highest} requests/s of {capacity}");
    }
}

#[test]
fn a_capacity_outside_the_candidates_is_resolved_as_well() {
    let never = measure(&search(), |_| 0.3).standing;
    assert_eq!((never.low, never.high), (None, Some(1.0)));
    assert_eq!(never.resolution, Resolution::Resolved);
    let always = measure(&search(), |_| 1.0).standing;
    assert_eq!((always.low, always.high), (search().loads.last().copied(), None));
    assert_eq!(always.resolution, Resolution::Resolved);
}

#[test]
fn runs_that_are_used_up_leave_the_capacity_open_with_a_time() {
    let few = Search { max_runs: 2, ..search() };
    let progress = measure(&few, |rate| if rate <= 5.0 { 1.0 } else { 0.9 });
    let Resolution::NotResolved { minutes: Some(minutes) } = progress.standing.resolution else {
        panic!("{progress:?}")
    };
    assert!((0.1..60.0).contains(&minutes), "{minutes}");
    assert!(progress.steps.iter().all(|step| step.run <= 2));
}

#[test]
fn a_search_without_runs_left_where_it_matters_ends() {
    let few = Search { max_runs: 3, ..search() };
    // Just below what is needed: more runs at the lowest rate would decide, and others can't.
    let progress = measure(&few, |_| 0.94);
    assert_eq!(progress.steps.len(), 3, "{progress:?}");
    assert!(progress.steps.iter().all(|step| step.load < 1.01));
    assert!(matches!(progress.standing.resolution, Resolution::NotResolved { .. }));
}

#[test]
fn the_same_runs_lead_to_the_same_step_and_missing_ones_are_asked_for() {
    let search = search();
    let mut runs = BTreeMap::new();
    assert_eq!(search.follow(&runs).next, Next::Measure { load: 0, run: 1 });
    // A part of a run is no run.
    runs.insert((0, 1), RunShares { end: RunEnd::Partial, ..run(1.0) });
    assert_eq!(search.follow(&runs).next, Next::Measure { load: 0, run: 1 });
    runs.insert((0, 1), run(1.0));
    // A run that the search didn't ask for changes nothing.
    runs.insert((30, 1), run(0.0));
    let progress = search.follow(&runs);
    assert_eq!((progress.steps.len(), progress.next), (1, Next::Measure { load: 7, run: 1 }));
    assert_eq!(progress, search.follow(&runs));
}

#[test]
fn every_objective_must_be_kept() {
    let both = Search { needed: vec![0.95, 0.9], ..search() };
    let shares = |rate: f64| {
        let good = if rate <= 10.0 { 1.0 } else { 0.5 };
        let answered = if rate <= 4.0 { 1.0 } else { 0.5 };
        RunShares { blocks: vec![vec![good, answered]; 8], ..run(good) }
    };
    let mut runs = BTreeMap::new();
    let progress = loop {
        let progress = both.follow(&runs);
        let Next::Measure { load, run } = progress.next else { break progress };
        runs.insert((load, run), shares(both.loads[load]));
    };
    assert!(holds(&progress, 4.0), "{progress:?}");
}

#[test]
fn a_server_that_is_better_under_load_is_contradictory_and_ends() {
    // Missed at the lowest rate and kept above it.
    let progress = measure(&search(), |rate| if rate < 1.05 { 0.2 } else { 1.0 });
    assert_eq!((progress.standing.low, progress.next), (None, Next::End));
}

/// Whole numbers of requests in flight, where neighbors are further apart than the resolution below five.
fn closed(loads: &[u32]) -> Search {
    let loads = loads.iter().copied().map(f64::from).collect();
    Search { loads, pace: Pace::Measured, resolution: 0.2, ..search() }
}

#[test]
fn neighbors_are_narrow_enough_and_no_interval_is_wider_than_the_resolution() {
    let all: Vec<u32> = (1..=40).collect();
    for capacity in [1.0, 2.0, 3.0, 8.0, 17.0, 30.0] {
        let progress = measure(&closed(&all), |load| if load <= capacity { 1.0 } else { 0.6 });
        assert!(holds(&progress, capacity), "{capacity}: {progress:?}");
        assert_eq!(progress.standing.resolution, Resolution::Resolved);
        let (low, high) = (progress.standing.low.unwrap(), progress.standing.high.unwrap());
        assert!(high - low < 1.5 || high <= 1.2 * low * ROUNDING, "{low} to {high}");
        let highest = progress.steps.iter().map(|step| step.load).fold(0.0, f64::max);
        assert!(highest <= 2.0 * capacity, "{highest} in flight of {capacity}");
    }
}

#[test]
fn the_time_that_is_missing_follows_from_the_measured_throughput() {
    let minutes = |per_second: Option<f64>| {
        let run = RunShares { per_second, ..run(1.0) };
        let progress = closed(&[4, 8]).follow(&BTreeMap::from([((0, 1), run)]));
        let Resolution::NotResolved { minutes } = progress.standing.resolution else {
            panic!("one run resolves nothing")
        };
        minutes
    };
    assert_eq!(minutes(None), None);
    let (slow, fast) = (minutes(Some(2.0)).unwrap(), minutes(Some(20.0)).unwrap());
    assert!((slow / fast - 10.0).abs() < 1e-9, "{slow} and {fast}");
}
