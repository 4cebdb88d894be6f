//! Any bytes as a bundle, as `controller verify` reads it. The first byte chooses between the bytes as they are and a
//! bundle of this program in which they replace one file; somebody who makes a bundle states its right hashes as well.
//! What can be read is read to its end: samples, telemetry, certificates.

use bundle::archive::{self, ATTESTATION, Entry};
use bundle::{Bundle, Content, Envelope, Statement};
use bytes::Bytes;
use keys::PublicKey;
use results::parquet::Names;
use results::parquet::stored::{self, StoredSamples};
use serde::Serialize;
use std::sync::LazyLock;

/// The files of a signed bundle with signatures of an agent, and its statement.
static HONEST: LazyLock<(Vec<Entry>, Statement)> = LazyLock::new(|| {
    let bytes = Bytes::from_static(&include_bytes!("../../../../fuzz/corpus/bundle/honest")[1..]);
    let statement = Bundle::read(&bytes).expect("it can be read").statement;
    let entries = archive::read(&bytes).expect("it can be read");
    let is_signed = |entry: &Entry| [ATTESTATION, archive::PUBLIC_KEY].contains(&entry.name);
    (entries.into_iter().filter(|entry| !is_signed(entry)).collect(), statement)
});

pub(crate) fn check(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let rest = Bytes::copy_from_slice(rest);
    let bytes = match usize::from(*choice).checked_sub(1) {
        None => rest,
        Some(number) => with(number % HONEST.0.len(), rest),
    };
    if let Ok(Bundle { content, .. }) = Bundle::read(&bytes) {
        read(&content);
    }
}

/// The honest bundle with other bytes in this file, unsigned.
fn with(number: usize, bytes: Bytes) -> Bytes {
    let (entries, honest) = &*HONEST;
    let mut entries = entries.clone();
    entries[number].bytes = bytes;
    let statement = Statement::new(&entries, honest.predicate.clone());
    let envelope = Envelope::new(&canonical(&statement), None).expect("nothing is signed");
    entries.insert(0, Entry { name: ATTESTATION, bytes: canonical(&envelope).into() });
    archive::write(&entries, Vec::new()).expect("it is in memory").into()
}

fn canonical(value: &impl Serialize) -> Vec<u8> {
    let mut value = serde_json::to_value(value).expect("it has text keys");
    value.sort_all_objects();
    serde_json::to_vec(&value).expect("it is JSON")
}

fn read(content: &Content) {
    let campaign = &content.campaign;
    let names = Names::of(campaign, &content.dialogues, &content.agents);
    let runs = campaign.matrix.most_runs();
    let (samples, texts) = (content.samples.clone(), content.texts.clone());
    if let Ok(mut samples) = StoredSamples::open(names, runs, samples, texts) {
        while matches!(samples.next_if(|_| true), Ok(Some(_))) {}
    }
    if let Some(telemetry) = content.telemetry.clone() {
        drop(stored::windows(names, runs, telemetry, |_| {}));
    }
    for signature in &content.signatures {
        if let Ok(key) = PublicKey::from_certificate(&signature.certificate) {
            key.verify(&signature.digest, &signature.signature);
            key.has_issued_client(&signature.certificate);
        }
    }
}
