//! Signs the samples of finished shards with the key of this agent's certificate.

use crate::runner::Measured;
use model::shard_digest::{FORM, SALT_BYTES, ShardDigest, signed_message};
use proto::wire;
use rand::{TryRng, rngs::SysRng};
use rustls::SignatureScheme;
use rustls::sign::SigningKey;
use std::sync::Arc;

/// Those that the controller verifies. Certificates of `controller certs` are on P-256.
const SCHEMES: [SignatureScheme; 2] =
    [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519];

/// The signatures of one connection, which measures one shard at a time.
#[derive(Debug)]
pub(super) struct ShardSigner {
    key: Arc<dyn SigningKey>,
    campaign: String,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    attempt: u64,
    salt: [u8; SALT_BYTES],
    digest: ShardDigest,
}

impl ShardSigner {
    /// `None` for a key of another kind than those that are verified.
    pub(super) fn new(key: Arc<dyn SigningKey>) -> Option<Self> {
        key.choose_scheme(&SCHEMES)?;
        Some(Self { key, campaign: String::new(), open: None })
    }

    pub(super) fn welcome(&mut self, welcome: &wire::Welcome) {
        self.campaign.clone_from(&welcome.campaign);
    }

    /// Begins an attempt; gives its salt, which is empty if there is no randomness for one.
    pub(super) fn begin(&mut self, offer: &wire::ShardOffer) -> Vec<u8> {
        let mut salt = [0; SALT_BYTES];
        self.open = None;
        if SysRng.try_fill_bytes(&mut salt).is_err() {
            return Vec::new();
        }
        let digest = ShardDigest::new(&self.campaign, &offer.cell, offer.run, offer.attempt);
        self.open = Some(Open { attempt: offer.attempt, salt, digest });
        salt.to_vec()
    }

    pub(super) fn add(&mut self, measured: &Measured) {
        let Some(open) = self.open.as_mut().filter(|open| open.attempt == measured.attempt) else {
            return;
        };
        let Measured { batch, samples, window, .. } = measured;
        open.digest.add_batch(&open.salt, *batch, samples, window.as_ref());
    }

    /// Signs what was added to an attempt.
    pub(super) fn sign(&mut self, attempt: u64) -> Option<wire::ShardSignature> {
        let open = self.open.take_if(|open| open.attempt == attempt)?;
        let message = signed_message(&open.digest.finish());
        let signature = self.key.choose_scheme(&SCHEMES)?.sign(&message).ok()?;
        Some(wire::ShardSignature { form: FORM, signature })
    }
}
