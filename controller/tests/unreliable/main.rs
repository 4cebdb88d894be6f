//! Whole campaigns on a network that delays, drops and parts, with agents and controllers that die and clocks that are
//! set back: simulated by seed, in virtual time, around the product's own desk and scheduler. Whatever happens, every
//! sample ends up counted once.
//!
//! `FLEETMARK_SEEDS=FROM..TO` plays other seeds than the short form's; a failure names its seed.

mod clock;
mod machines;
mod network;
mod world;

use std::ops::Range;
use world::{Tally, World};

/// So many seeds hold every kind of trouble, late samples too: the rarest.
const LONG_FORM: u64 = 1000;

fn seeds() -> Range<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test takes its seeds from the environment")]
    let given = std::env::var("FLEETMARK_SEEDS").ok();
    let given = given.as_deref().and_then(|range| {
        let (from, to) = range.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    given.unwrap_or(0..100)
}

#[test]
fn every_sample_is_counted_once_whatever_the_network_does() {
    let mut all = Tally::default();
    let seeds = seeds();
    let count = seeds.end.saturating_sub(seeds.start);
    for seed in seeds {
        all.add(&World::new(seed).play());
    }
    println!("{all:?}");
    // The trouble was there, or nothing was shown.
    assert!(all.late > 0 || count < LONG_FORM, "no sample came late: {all:?}");
    assert!(
        all.broken_connections > 0 && all.dead_agents > 0 && all.dead_controllers > 0,
        "{all:?}"
    );
    assert!(all.set_back > 0, "no clock was set back: {all:?}");
    assert!(all.expired_leases > 0, "no lease ran out: {all:?}");
}

#[test]
fn the_same_seed_plays_the_same_campaign() {
    assert_eq!(World::new(7).play(), World::new(7).play());
}
