//! `kill -9` of controller and agents at random times: every campaign completes with the samples of an undisturbed one.
//!
//! `FLEETMARK_SEEDS=FROM..TO` runs other seeds than the first four; a failure names its seed.

use scenarios::kills;
use std::ops::Range;

fn seeds() -> Range<u64> {
    #[expect(clippy::disallowed_methods, reason = "seeds come from the environment")]
    let given = std::env::var("FLEETMARK_SEEDS").ok();
    let given = given.as_deref().and_then(|range| {
        let (from, to) = range.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    given.unwrap_or(0..4)
}

#[test]
fn campaigns_survive_random_kills() {
    let planned = kills::undisturbed();
    // Two targets, two cells each, two runs, 40 dialogues.
    assert_eq!(planned.len(), 2 * 2 * 2 * 40);
    let mut all = kills::Killed::default();
    for seed in seeds() {
        println!("seed {seed}");
        let (counted, killed) = kills::disturbed(seed);
        assert_eq!(counted, planned, "seed {seed}");
        println!("seed {seed}: complete after {killed:?}");
        all.controllers += killed.controllers;
        all.locals += killed.locals;
        all.remotes += killed.remotes;
    }
    println!("{all:?}");
    assert!(all.controllers > 0 && all.locals > 0 && all.remotes > 0, "{all:?}");
}
