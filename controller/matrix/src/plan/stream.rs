//! Chance by seed: one stream per purpose, so that a new use of chance doesn't move an old one.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// A stream of random numbers for one `purpose` and its `keys`, such as ("order", [round]). `ChaCha8` gives the
/// same numbers on every machine and in every release.
pub fn stream(seed: u64, purpose: &str, keys: &[u64]) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update((purpose.len() as u64).to_le_bytes());
    hash.update(purpose.as_bytes());
    for key in keys {
        hash.update(key.to_le_bytes());
    }
    ChaCha8Rng::from_seed(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn streams_of_two_purposes_differ_and_each_repeats() {
        let first = |purpose, keys: &[u64]| stream(7, purpose, keys).next_u64();
        assert_eq!(first("order", &[1]), first("order", &[1]));
        assert_ne!(first("order", &[1]), first("order", &[2]));
        assert_ne!(first("order", &[1]), first("batches", &[1]));
    }
}
