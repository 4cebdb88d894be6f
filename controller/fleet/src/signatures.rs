//! Whether an agent signed the samples that it sent, with the key of its certificate.
//!
//! Pure. An agent announces a signature when it accepts a shard. Its batches are hashed as they come, and the signature
//! is verified when the shard is finished; one that doesn't hold ends the stream. A shard without one is valid.

use super::check;
use super::stream_protocol::Place;
use campaign::{AgentReport, BatchReport, ShardSignature};
use keys::PublicKey;
use model::ids::CampaignId;
use model::shard_digest::{FORM, SALT_BYTES, ShardDigest, signed_message};
use proto::wire::{self, from_agent::Message};
use std::collections::BTreeMap;
use std::sync::Arc;
use tonic::Status;

/// A signature that doesn't hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("the salt of attempt {attempt} has {bytes} bytes, expected {SALT_BYTES}")]
    Salt { attempt: u64, bytes: usize },
    #[error("attempt {attempt} is signed, but it was accepted without a salt")]
    Unannounced { attempt: u64 },
    #[error(
        "the signature of attempt {attempt} does not match its samples and the agent's certificate"
    )]
    Signature { attempt: u64 },
}

impl From<Violation> for Status {
    fn from(violation: Violation) -> Self {
        Self::invalid_argument(violation.to_string())
    }
}

/// The signatures of one stream.
#[derive(Debug)]
pub struct Signatures {
    campaign: CampaignId,
    certificate: Arc<[u8]>,
    /// None: neither on P-256 nor Ed25519.
    key: Option<PublicKey>,
    /// By attempt: those that will be signed.
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    digest: ShardDigest,
    salt: [u8; SALT_BYTES],
    batches: usize,
}

impl Signatures {
    /// Of an agent that connected with this certificate, in DER.
    pub fn new(campaign: CampaignId, certificate: Arc<[u8]>) -> Self {
        let key = PublicKey::from_certificate(&certificate).ok();
        Self { campaign, certificate, key, open: BTreeMap::new() }
    }

    /// Checks a message and follows what it adds to its attempt. `place` is what that attempt measures; the attempt was
    /// offered on this stream.
    pub fn report(
        &mut self,
        message: Message,
        place: Option<Place>,
    ) -> Result<AgentReport, Status> {
        let verified = match &message {
            Message::ShardAccepted(said) => {
                self.begin(said, place)?;
                None
            }
            Message::ShardFinished(said) => self.end(said)?,
            Message::ShardFailed(wire::ShardFailed { attempt, .. })
            | Message::ShardRefused(wire::ShardRefused { attempt, .. }) => {
                self.open.remove(attempt);
                None
            }
            _ => None,
        };
        let mut report = check::report(message)?;
        match &mut report {
            AgentReport::Batch(batch) => self.add(batch),
            AgentReport::Finished { signature, .. } => *signature = verified.map(Box::new),
            _ => {}
        }
        Ok(report)
    }

    fn begin(&mut self, said: &wire::ShardAccepted, place: Option<Place>) -> Result<(), Violation> {
        let attempt = said.attempt;
        let Some(Place { cell, run }) = place.filter(|_| !said.salt.is_empty()) else {
            return Ok(());
        };
        let salt = <[u8; SALT_BYTES]>::try_from(said.salt.as_slice())
            .map_err(|_| Violation::Salt { attempt, bytes: said.salt.len() })?;
        let digest = ShardDigest::new(self.campaign.as_str(), &cell, run, attempt);
        // A later salt begins anew, and the signature will not hold.
        self.open.insert(attempt, Open { digest, salt, batches: 0 });
        Ok(())
    }

    fn add(&mut self, report: &BatchReport) {
        let Some(Open { digest, salt, batches }) = self.open.get_mut(&report.attempt) else {
            return;
        };
        *batches += 1;
        digest.add_batch(salt, report.batch, &report.samples, report.window.as_deref());
    }

    fn end(&mut self, said: &wire::ShardFinished) -> Result<Option<ShardSignature>, Violation> {
        let attempt = said.attempt;
        let open = self.open.remove(&attempt);
        let Some(given) = said.signature.as_ref().filter(|given| given.form == FORM) else {
            return Ok(None);
        };
        let Open { digest, salt, batches } = open.ok_or(Violation::Unannounced { attempt })?;
        let digest = digest.finish();
        let is_its = |key: &PublicKey| key.verify(&signed_message(&digest), &given.signature);
        if !self.key.as_ref().is_some_and(is_its) {
            return Err(Violation::Signature { attempt });
        }
        let (certificate, signature) = (Arc::clone(&self.certificate), given.signature.clone());
        Ok(Some(ShardSignature { batches, certificate, salt, digest, signature }))
    }
}
