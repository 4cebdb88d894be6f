//! Signatures of shards over real connections with certificates on both sides.

use super::hostile::{Certificates, FINE, Served, joined, offer, samples, serve, serve_over};
use campaign::{AgentReport, ShardSignature};
use fleet::ConnectionLimits;
use fleet::identity::authority::{AGENT, Authority, CA, Validity, certificate_file, key_file};
use fleet::identity::tls::Tls;
use keys::{PublicKey, SigningKey};
use model::ids::SampleId;
use model::sample::Sample;
use model::shard_digest::{FORM, Hash, ShardDigest, signed_message, text_hash};
use ops::clock::Clock;
use proto::wire::{self, from_agent::Message};
use std::sync::Arc;
use tempfile::TempDir;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

const SALT: [u8; 32] = [5; 32];

/// New certificates of a controller and of agents, and a controller that uses them.
struct Fleet {
    folder: TempDir,
    served: Served,
}

fn text(
    folder: &TempDir,
    file: fn(&std::path::Path, &str) -> std::path::PathBuf,
    name: &str,
) -> String {
    std::fs::read_to_string(file(folder.path(), name)).expect(FINE)
}

async fn fleet() -> Fleet {
    let folder = TempDir::new().expect(FINE);
    let validity = Validity { now: Clock::System.now(), days: 1 };
    let authority = Authority::make(folder.path(), validity.now).expect(FINE);
    authority.controller(&[], validity).expect(FINE);
    for name in [AGENT, "other"] {
        authority.agent(name, validity).expect(FINE);
    }
    let certificate = text(&folder, certificate_file, AGENT);
    let agent = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(text(&folder, certificate_file, CA)))
        .identity(Identity::from_pem(certificate, text(&folder, key_file, AGENT)));
    let controller = Arc::new(Tls::read(folder.path()).expect(FINE));
    let tls = Some(Certificates { controller, agent });
    let served = serve_over(ConnectionLimits::new(1024), tls).await;
    Fleet { folder, served }
}

fn messages() -> [wire::Samples; 2] {
    [samples(1, 4), samples(2, 5)]
}

/// Of the samples that the offer asks for.
fn digest() -> Hash {
    let offer = offer();
    let mut digest = ShardDigest::new("c", &offer.cell, offer.run, offer.attempt);
    for message in messages() {
        for sample in message.samples {
            let (id, sample): (SampleId, Sample) = sample.try_into().expect(FINE);
            let text = text_hash(&SALT, &id, sample.text.as_deref(), sample.output_ids.as_ref());
            digest.add_sample(message.batch, &id, &sample, &text);
        }
    }
    digest.finish()
}

/// Signs the digest of the samples with the key of this name.
fn sign(folder: &TempDir, name: &str) -> wire::ShardSignature {
    let key = SigningKey::from_pem(&text(folder, key_file, name)).expect(FINE);
    let signature = key.sign(&signed_message(&digest())).expect(FINE);
    wire::ShardSignature { form: FORM, signature }
}

/// Finishes a shard with this salt and signature; what arrived of it, or why it was refused.
async fn finish(
    served: &mut Served,
    salt: &[u8],
    sent: [wire::Samples; 2],
    signature: Option<wire::ShardSignature>,
) -> Result<Option<ShardSignature>, String> {
    let (client, _outbox) = joined(served, "agent").await;
    let salt = salt.to_vec();
    client.say(Message::ShardAccepted(wire::ShardAccepted { shard: 3, attempt: 7, salt })).await;
    for message in sent {
        client.say(Message::Samples(message)).await;
    }
    let finished = wire::ShardFinished { shard: 3, attempt: 7, signature, ..Default::default() };
    client.say(Message::ShardFinished(finished)).await;
    loop {
        match served.events.recv().await.expect(FINE).report {
            AgentReport::Finished { signature, .. } => return Ok(signature.map(|its| *its)),
            AgentReport::Gone => return Err(client.refusal().await.message().to_owned()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_signature_by_the_certificate_of_the_connection_arrives_with_its_certificate() {
    let Fleet { folder, mut served } = fleet().await;
    let signed = sign(&folder, AGENT);
    let found = finish(&mut served, &SALT, messages(), Some(signed)).await;
    let found = found.expect("it is accepted").expect("it arrives");
    assert_eq!((found.batches, found.salt, found.digest), (2, SALT, digest()));
    let certificate = text(&folder, certificate_file, AGENT);
    let key = PublicKey::from_certificate_pem(certificate.as_bytes()).expect(FINE);
    assert_eq!(PublicKey::from_certificate(&found.certificate).expect(FINE), key);
    assert!(key.verify(&signed_message(&digest()), &found.signature));
}

#[tokio::test]
async fn a_wrong_signature_ends_the_stream_and_is_not_stored() {
    const WRONG: &str =
        "the signature of attempt 7 does not match its samples and the agent's certificate";
    let refused = async |salt: &[u8], sent, change: fn(&mut wire::ShardSignature), by| {
        let Fleet { folder, mut served } = fleet().await;
        let mut signature = sign(&folder, by);
        change(&mut signature);
        finish(&mut served, salt, sent, Some(signature)).await.expect_err("it is refused")
    };
    assert_eq!(refused(&SALT, messages(), |_| {}, "other").await, WRONG);
    assert_eq!(refused(&SALT, messages(), |it| it.signature[9] ^= 1, AGENT).await, WRONG);
    assert_eq!(refused(&SALT, messages(), |it| it.signature.clear(), AGENT).await, WRONG);
    assert_eq!(refused(&[6; 32], messages(), |_| {}, AGENT).await, WRONG);
    let mut changed = messages();
    changed[1].samples[0].latency_ns += 1;
    assert_eq!(refused(&SALT, changed, |_| {}, AGENT).await, WRONG);
    let salt = refused(&[6; 31], messages(), |_| {}, AGENT).await;
    assert_eq!(salt, "the salt of attempt 7 has 31 bytes, expected 32");
    let unannounced = refused(&[], messages(), |_| {}, AGENT).await;
    assert!(unannounced.contains("it was accepted without a salt"), "{unannounced}");
}

#[tokio::test]
async fn agents_without_a_signature_or_with_one_of_a_later_form_finish_their_shards() {
    let Fleet { folder, mut served } = fleet().await;
    assert_eq!(finish(&mut served, &[], messages(), None).await, Ok(None));
    let Fleet { folder: later, mut served } = fleet().await;
    let signature = wire::ShardSignature { form: FORM + 1, ..sign(&later, AGENT) };
    assert_eq!(finish(&mut served, &SALT, messages(), Some(signature)).await, Ok(None));
    // Without a certificate on the connection, as behind a proxy that ends TLS.
    let mut plain = serve().await;
    let signature = Some(sign(&folder, AGENT));
    assert_eq!(finish(&mut plain, &SALT, messages(), signature).await, Ok(None));
}
