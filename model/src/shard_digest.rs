//! The digest of an attempt's samples, which its agent signs.
//!
//! The agent computes it from what it measured, the controller from what it received, and `controller verify` from
//! what a bundle holds. So it is defined over values in one order and not over an encoding: Protobuf has no canonical
//! one. Numbers are 64-bit integers, big endian; texts follow their length; what may be absent follows a zero or a one.

use crate::histogram::Histogram;
use crate::ids::SampleId;
use crate::load::LoadWindow;
use crate::output_ids::OutputIds;
use crate::sample::{Drafts, HttpTiming, Sample};
use crate::text::without_zero_bytes;
use sha2::{Digest, Sha256};

/// The form of the digest. Another set of fields or another meaning of a word is another form: an older controller
/// doesn't check it.
pub const FORM: u32 = 1;

/// Random bytes of the agent for each attempt. Without them nobody can test by its hash whether a summary is a certain
/// text.
pub const SALT_BYTES: usize = 32;

/// SHA-256.
pub type Hash = [u8; 32];

/// The samples of an attempt, or its windows of a sustained load, in any order.
#[derive(Debug, Clone)]
pub struct ShardDigest {
    head: Encoder,
    entries: Vec<Hash>,
}

impl ShardDigest {
    /// An attempt at a shard of this cell and run.
    pub fn new(campaign: &str, cell: &str, run: u32, attempt: u64) -> Self {
        let mut head = Encoder::new("fleetmark shard 1");
        head.text(campaign);
        head.text(cell);
        head.number(run.into());
        head.number(attempt);
        Self { head, entries: Vec::new() }
    }

    /// Adds a sample of a batch. `text` is the [`text_hash`] of its summary and tokens.
    pub fn add_sample(&mut self, batch: u32, id: &SampleId, sample: &Sample, text: &Hash) {
        // What a failure says is for people, and controllers shorten it.
        let Sample {
            start_ns,
            ttft_ns,
            latency_ns,
            input_tokens,
            cut_tokens,
            output_tokens,
            unknown_tokens,
            reference_tokens,
            schedule_delay_ns,
            http,
            chunk_gaps,
            drafts,
            outcome,
            failure_detail: _,
            text: _,
            output_ids: _,
        } = sample;
        let mut entry = Encoder::new("fleetmark sample 1");
        entry.number(batch.into());
        entry.text(id.as_str());
        entry.number(*start_ns);
        entry.maybe(*ttft_ns);
        entry.number(*latency_ns);
        entry.maybe(*input_tokens);
        entry.number((*cut_tokens).into());
        entry.maybe(*output_tokens);
        entry.number((*unknown_tokens).into());
        entry.maybe(*reference_tokens);
        entry.maybe(*schedule_delay_ns);
        entry.number(http.is_some().into());
        if let Some(HttpTiming { total_ns, connect_ns, first_byte_ns, server_ns, is_reconnected }) =
            http
        {
            entry.number(*total_ns);
            entry.maybe(*connect_ns);
            entry.maybe(*first_byte_ns);
            entry.maybe(*server_ns);
            entry.number((*is_reconnected).into());
        }
        entry.number(chunk_gaps.is_some().into());
        if let Some(gaps) = chunk_gaps {
            entry.number(gaps.as_packed().len() as u64);
            entry.bytes(gaps.as_packed());
        }
        entry.text(outcome.as_str());
        entry.bytes(text);
        // Nothing without drafts, so that such samples keep their form.
        if let Some(Drafts { drafted, accepted }) = drafts {
            entry.text("drafts");
            entry.number((*drafted).into());
            entry.number((*accepted).into());
        }
        self.entries.push(entry.finish());
    }

    /// Adds what a batch brought: its samples, or the window of a sustained load.
    pub fn add_batch(
        &mut self,
        salt: &[u8; SALT_BYTES],
        batch: u32,
        samples: &[(SampleId, Sample)],
        window: Option<&LoadWindow>,
    ) {
        for (id, sample) in samples {
            let text = text_hash(salt, id, sample.text.as_deref(), sample.output_ids.as_ref());
            self.add_sample(batch, id, sample, &text);
        }
        if let Some(window) = window {
            self.add_window(batch, window);
        }
    }

    /// Adds a window of a sustained load, by its number in the run.
    pub fn add_window(&mut self, number: u32, window: &LoadWindow) {
        let LoadWindow {
            start_ns,
            end_ns,
            failed,
            not_sent,
            input_tokens,
            output_tokens,
            batches,
            latency,
            ttft,
            schedule_delay,
            chunk_gap,
            streamed_tokens,
            streamed,
        } = window;
        let mut entry = Encoder::new("fleetmark window 1");
        entry.number(number.into());
        for value in [start_ns, end_ns, failed, not_sent, input_tokens, output_tokens, batches] {
            entry.number(*value);
        }
        entry.number(*streamed_tokens);
        entry.number(*streamed);
        let histograms = [latency, ttft, schedule_delay, chunk_gap];
        for Histogram { counts, sum, sum_of_squares, min, max } in histograms {
            entry.number(counts.len() as u64);
            for (bucket, count) in counts {
                entry.number((*bucket).into());
                entry.number(*count);
            }
            entry.number(sum.to_bits());
            entry.number(sum_of_squares.to_bits());
            entry.number(*min);
            entry.number(*max);
        }
        self.entries.push(entry.finish());
    }

    /// The digest of all that was added.
    pub fn finish(self) -> Hash {
        let Self { mut head, mut entries } = self;
        entries.sort_unstable();
        head.number(entries.len() as u64);
        entries.iter().for_each(|entry| head.bytes(entry));
        head.finish()
    }
}

/// The hash of a summary and its tokens, which stands for them where they are not shown.
pub fn text_hash(
    salt: &[u8; SALT_BYTES],
    id: &SampleId,
    text: Option<&str>,
    output_ids: Option<&OutputIds>,
) -> Hash {
    let mut hash = Encoder::new("fleetmark text 1");
    hash.bytes(salt);
    hash.text(id.as_str());
    hash.number(text.is_some().into());
    if let Some(text) = text {
        // As it is stored.
        hash.text(&without_zero_bytes(text));
    }
    hash.number(output_ids.is_some().into());
    if let Some(ids) = output_ids {
        hash.number(ids.as_packed().len() as u64);
        hash.bytes(ids.as_packed());
    }
    hash.finish()
}

/// The message that is signed. The key is that of a TLS connection: what TLS signs begins with blanks (RFC 8446, 4.4.3),
/// so neither signature can stand for the other.
pub fn signed_message(digest: &Hash) -> Vec<u8> {
    [b"fleetmark shard 1\n".as_slice(), digest].concat()
}

#[derive(Debug, Clone)]
struct Encoder(Sha256);

impl Encoder {
    fn new(kind: &str) -> Self {
        let mut encoder = Self(Sha256::new());
        encoder.text(kind);
        encoder
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    fn maybe(&mut self, number: Option<impl Into<u64>>) {
        self.number(number.is_some().into());
        if let Some(number) = number {
            self.number(number.into());
        }
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn finish(self) -> Hash {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;
    use crate::sample::{Finish, Outcome};
    use std::collections::BTreeSet;
    use std::fmt::Write;

    const SALT: [u8; SALT_BYTES] = [7; SALT_BYTES];

    fn id(name: &str) -> SampleId {
        name.try_into().unwrap()
    }

    fn http() -> HttpTiming {
        HttpTiming {
            total_ns: 80,
            connect_ns: Some(5),
            first_byte_ns: Some(6),
            server_ns: Some(7),
            is_reconnected: false,
        }
    }

    fn sample() -> Sample {
        Sample {
            start_ns: 10,
            ttft_ns: Some(5),
            latency_ns: 90,
            input_tokens: Some(3),
            cut_tokens: 0,
            output_tokens: Some(2),
            unknown_tokens: 0,
            reference_tokens: Some(4),
            schedule_delay_ns: Some(1),
            http: Some(http()),
            chunk_gaps: Some(vec![20_000, 0].into()),
            drafts: None,
            outcome: Outcome::Ok(Finish::Eos),
            failure_detail: None,
            text: Some("so".to_owned()),
            output_ids: Some(OutputIds::pack(&[300, 1])),
        }
    }

    fn of(samples: &[(u32, &str, Sample)]) -> Hash {
        let mut digest = ShardDigest::new("c", "cell", 1, 2);
        for (batch, name, sample) in samples {
            let text = sample.text.as_deref();
            let hash = text_hash(&SALT, &id(name), text, sample.output_ids.as_ref());
            digest.add_sample(*batch, &id(name), sample, &hash);
        }
        digest.finish()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut digits, byte| {
            write!(digits, "{byte:02x}").unwrap();
            digits
        })
    }

    /// Older agents and bundles keep this form: a change of this value is a new [`FORM`].
    #[test]
    fn the_digest_of_form_1_stays_as_it_is() {
        let digest =
            of(&[(0, "a", sample()), (1, "b", Sample::failed(1, 2, Kind::Input, "x".into()))]);
        assert_eq!((FORM, hex(&digest).as_str()), (1, PINNED));
    }

    /// Computed by another program.
    const PINNED: &str = "9290d87b81fd335955fb41efa8595450ce93022c5095b401bb7b2e013bec2b37";

    #[test]
    fn each_field_of_a_sample_changes_the_digest() {
        type Change = fn(&mut Sample);
        let changes: &[Change] = &[
            |it| it.start_ns = 11,
            |it| it.ttft_ns = Some(6),
            |it| it.ttft_ns = None,
            |it| it.latency_ns = 91,
            |it| it.input_tokens = Some(4),
            |it| it.input_tokens = None,
            |it| it.cut_tokens = 1,
            |it| it.output_tokens = Some(3),
            |it| it.output_tokens = None,
            |it| it.unknown_tokens = 1,
            |it| it.reference_tokens = Some(5),
            |it| it.reference_tokens = None,
            |it| it.schedule_delay_ns = Some(2),
            |it| it.schedule_delay_ns = None,
            |it| it.http = None,
            |it| it.http = Some(HttpTiming { total_ns: 81, ..http() }),
            |it| it.http = Some(HttpTiming { connect_ns: None, ..http() }),
            |it| it.http = Some(HttpTiming { first_byte_ns: Some(5), ..http() }),
            |it| it.http = Some(HttpTiming { server_ns: Some(8), ..http() }),
            |it| it.http = Some(HttpTiming { is_reconnected: true, ..http() }),
            |it| it.chunk_gaps = None,
            |it| it.chunk_gaps = Some(vec![20_000].into()),
            |it| it.chunk_gaps = Some(vec![20_001, 0].into()),
            |it| it.drafts = Some(Drafts::default()),
            |it| it.drafts = Some(Drafts { drafted: 1, accepted: 0 }),
            |it| it.drafts = Some(Drafts { drafted: 1, accepted: 1 }),
            |it| it.outcome = Outcome::Ok(Finish::Length),
            |it| it.outcome = Outcome::Failed(Kind::Input),
            |it| it.text = Some("or".to_owned()),
            |it| it.text = None,
            |it| it.output_ids = Some(OutputIds::pack(&[300, 2])),
            |it| it.output_ids = None,
        ];
        let digests = changes.iter().map(|change| {
            let mut changed = sample();
            change(&mut changed);
            of(&[(0, "a", changed)])
        });
        let mut all: BTreeSet<Hash> = digests.collect();
        all.insert(of(&[(0, "a", sample())]));
        all.insert(of(&[(1, "a", sample())]));
        all.insert(of(&[(0, "b", sample())]));
        all.insert(of(&[(0, "a", sample()), (0, "a", sample())]));
        all.insert(of(&[]));
        assert_eq!(all.len(), changes.len() + 5);
    }

    #[test]
    fn each_name_of_an_attempt_changes_the_digest() {
        let of =
            |campaign, cell, run, attempt| ShardDigest::new(campaign, cell, run, attempt).finish();
        let all = [
            of("c", "cell", 1, 2),
            of("d", "cell", 1, 2),
            of("c", "cel", 1, 2),
            of("cc", "ell", 1, 2),
            of("c", "cell", 2, 2),
            of("c", "cell", 1, 3),
        ];
        assert_eq!(BTreeSet::from(all).len(), all.len());
    }

    #[test]
    fn each_number_of_a_window_changes_the_digest() {
        type Change = fn(&mut LoadWindow);
        let changes: &[Change] = &[
            |_| {},
            |it| it.start_ns = 1,
            |it| it.end_ns = 1,
            |it| it.failed = 1,
            |it| it.not_sent = 1,
            |it| it.input_tokens = 1,
            |it| it.output_tokens = 1,
            |it| it.batches = 1,
            |it| it.latency.add(5),
            |it| it.ttft.add(5),
            |it| it.schedule_delay.add(5),
            |it| it.chunk_gap.add(5),
            |it| it.streamed_tokens = 1,
            |it| it.streamed = 1,
            |it| it.latency.sum = 0.5,
            |it| it.latency.sum_of_squares = 0.5,
            |it| it.latency.min = 1,
            |it| it.latency.max = 1,
        ];
        let mut digests: BTreeSet<Hash> = (changes.iter())
            .map(|change| {
                let mut window = LoadWindow::default();
                change(&mut window);
                let mut digest = ShardDigest::new("c", "cell", 1, 2);
                digest.add_window(0, &window);
                digest.finish()
            })
            .collect();
        let mut digest = ShardDigest::new("c", "cell", 1, 2);
        digest.add_window(1, &LoadWindow::default());
        digests.insert(digest.finish());
        assert_eq!(digests.len(), changes.len() + 1);
    }

    #[test]
    fn the_order_of_samples_does_not_matter_and_a_detail_is_not_covered() {
        let other = Sample { latency_ns: 95, ..sample() };
        let forth = of(&[(0, "a", sample()), (1, "b", other.clone())]);
        assert_eq!(forth, of(&[(1, "b", other), (0, "a", sample())]));
        let failed = |detail: &str| Sample::failed(1, 2, Kind::Input, detail.to_owned());
        assert_eq!(of(&[(0, "a", failed("x"))]), of(&[(0, "a", failed("y"))]));
    }

    #[test]
    fn a_text_is_hashed_with_its_salt_and_as_it_is_stored() {
        let of = |salt, name, text| text_hash(&[salt; SALT_BYTES], &id(name), Some(text), None);
        assert_ne!(of(1, "a", "so"), of(2, "a", "so"));
        assert_ne!(of(1, "a", "so"), of(1, "b", "so"));
        assert_eq!(of(1, "a", "s\0o"), of(1, "a", "s\u{fffd}o"));
    }
}
