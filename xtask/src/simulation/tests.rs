//! The simulation with 100 trials: coverage and error rates are as documented, and one seed gives one table.

use super::{Share, stress, tables};

/// Whether a share of at least `promised` is still credible.
fn is_credible(share: Share, promised: f64) -> bool {
    let missed = Share { hits: share.of - share.hits, of: share.of };
    let slack = 3.0 * (promised * (1.0 - promised) / f64::from(share.of)).sqrt();
    missed.share().unwrap_or(1.0) <= 1.0 - promised + slack
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "takes minutes: cargo test --release --workspace --bin xtask"
)]
fn intervals_cover_equal_targets_are_equal_and_slowdowns_are_found() {
    let found = tables(100, 1);
    for row in &found.coverage {
        for share in
            [row.mean, row.mean_of_others, row.p50, row.p95, row.throughput, row.cost, row.ratio]
        {
            assert!(share.of > 75 && is_credible(share, 0.95), "{row:#?}");
        }
        assert!(row.false_different.share() < Some(0.13), "{row:#?}");
    }
    for row in found.power.iter().filter(|row| row.run_spread < 0.0031) {
        assert!(is_credible(row.paired, 0.9), "{row:#?}");
        assert!(row.unpaired.share() < Some(0.5));
    }
    for row in &found.family {
        assert!(row.found.of > 200 && is_credible(row.found, 0.9), "{row:#?}");
        assert!(row.false_different.hits <= 4, "{row:#?}");
    }
    for row in &found.search {
        assert!(is_credible(row.holds, 0.95), "{row:#?}");
        assert!(2.0 * row.requests < row.grid_requests, "{row:#?}");
    }
    for row in &found.naive {
        assert!(row.coverage.share() < row.coverage_instead.share(), "{row:#?}");
    }
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "takes minutes: cargo test --release --workspace --bin xtask"
)]
fn one_seed_gives_one_table() {
    let first = tables(3, 7);
    assert_eq!(first, tables(3, 7));
    assert!(first.to_string().contains("| skewed | 0.5% |"));
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "takes minutes: cargo test --release --workspace --bin xtask"
)]
fn sustained_runs_rarely_alarm_and_leaks_are_found() {
    let tables = stress::run(30, 1);
    for row in &tables.memory {
        assert!(row.false_alarms.share() < Some(0.2), "{row:#?}");
        assert!(is_credible(row.found, 0.9), "{row:#?}");
    }
    for row in &tables.load {
        assert!(row.false_alarms.share() < Some(0.3), "{row:#?}");
    }
    // A leak or drift of the reported detection limit is found, in that run and in others.
    let pooled = |shares: &[Share]| {
        let sum = |of: fn(&Share) -> u32| shares.iter().map(of).sum();
        Share { hits: sum(|share| share.hits), of: sum(|share| share.of) }
    };
    let (memory, load) = (&tables.memory, &tables.load);
    for promised in [
        memory.iter().map(|row| row.found_at_minimum).collect::<Vec<_>>(),
        memory.iter().map(|row| row.found_in_another).collect(),
        load.iter().map(|row| row.found_at_minimum).collect(),
        load.iter().map(|row| row.found_in_another).collect(),
    ] {
        let found = pooled(&promised);
        assert!(found.of > 200 && is_credible(found, 0.9), "{found:?} of {promised:?}");
    }
    assert!(tables.to_string().contains("| sawtooth, caches that fill | 24.00 |"));
}
