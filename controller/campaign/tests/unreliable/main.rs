//! Whole campaigns on a network that delays, drops and partitions, with agents and controllers that crash and clocks that
//! are set back: simulated by seed, in virtual time, around the product's own `CampaignState`. Whatever happens, every
//! sample ends up counted exactly once.
//!
//! `FLEETMARK_SEEDS=FROM..TO` selects other seeds than the default 100; a failure names its seed.

mod clock;
mod machines;
mod network;
mod tally;
mod world;

use std::ops::Range;
use tally::Tally;
use world::World;

/// This many seeds contain every kind of fault, including the rarest, late samples.
const ALL_FAULTS: u64 = 1000;

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
        all.add(&World::new(seed).run());
    }
    println!("{all:?}");
    // Without faults the test proves nothing.
    assert!(all.late > 0 || count < ALL_FAULTS, "no sample was late: {all:?}");
    assert!(
        all.broken_connections > 0 && all.dead_agents > 0 && all.dead_controllers > 0,
        "{all:?}"
    );
    assert!(all.signed > 0, "no attempt was signed: {all:?}");
    assert!(all.set_back > 0, "no clock was set back: {all:?}");
    assert!(all.expired_leases > 0, "no lease expired: {all:?}");
    assert!(all.stalled > 0, "no agent hung: {all:?}");
    assert!(all.starts > 0, "no agents started together: {all:?}");
}

#[test]
fn a_panic_of_an_agent_is_named_and_its_shard_is_measured_by_another() {
    let mut all = Tally::default();
    for seed in seeds() {
        let tally = World::new(seed).with_panics().run();
        assert!(tally.named_panics <= tally.panics, "seed {seed}: {tally:?}");
        all.add(&tally);
    }
    println!("{all:?}");
    // The report of a panic is lost where the connection breaks at the same time.
    assert!(all.panics > 0 && all.named_panics * 2 > all.panics, "{all:?}");
}

#[test]
fn the_same_seed_simulates_the_same_campaign() {
    assert_eq!(World::new(7).run(), World::new(7).run());
}
