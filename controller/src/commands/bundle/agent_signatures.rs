//! Agents' signatures over their samples: what a bundle holds for them, and whether they hold.

use crate::commands::report::Source;
use anyhow::{Context, bail};
use bundle::{Content, archive};
use keys::PublicKey;
use model::sample::SampleKey;
use model::shard_digest::{Hash, ShardDigest, signed_message, text_hash};
use results::parquet::Names;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::{SampleRow, SignatureRow};

/// What a bundle says on its agents' signatures.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Attempts that count.
    pub(super) attempts: usize,
    /// Those of them that are signed, rightly or not.
    pub(super) signed: usize,
    /// Signatures that don't hold, a line for each.
    pub(super) wrong: Vec<String>,
}

/// The hashes that agents signed in place of texts, see [`archive::TEXT_HASHES`].
pub(super) async fn text_hashes(
    source: Source<'_>,
    names: Names<'_>,
    signatures: &[SignatureRow],
) -> anyhow::Result<Vec<u8>> {
    let mut hashes = Vec::new();
    if signatures.is_empty() {
        return Ok(hashes);
    }
    let signatures = by_attempt(signatures);
    let mut parts = source.samples(names).await?;
    for cell in 0..names.plan.cells.len() {
        while let Some(part) = parts.next(cell).await? {
            for row in part.rows.iter().filter(|row| row.is_counted) {
                let salt = signatures.get(&row.key.attempt).and_then(|its| its.salt);
                hashes.extend(salt.iter().flat_map(|salt| hash(row, names, salt)));
            }
        }
    }
    Ok(hashes)
}

fn by_attempt(signatures: &[SignatureRow]) -> HashMap<u64, &SignatureRow> {
    signatures.iter().map(|row| (row.attempt, row)).collect()
}

fn hash(row: &SampleRow, names: Names<'_>, salt: &[u8; 32]) -> Hash {
    let id = &names.dialogues[row.key.sample as usize].sample_id;
    text_hash(salt, id, row.sample.text.as_deref(), row.sample.output_ids.as_ref())
}

/// Computes the digest of each attempt from the samples of a bundle, and verifies its signature. With `authorities`, a
/// certificate must have been issued by one of them.
pub(super) async fn check(
    content: &Content,
    authorities: &[PublicKey],
) -> anyhow::Result<Findings> {
    let campaign = &content.campaign;
    let names = Names::of(campaign, &content.dialogues, &content.agents);
    let mut check = Check {
        content,
        names,
        authorities,
        signatures: by_attempt(&content.signatures),
        hashes: content.text_hashes.chunks_exact(archive::HASH_BYTES),
        open: BTreeMap::new(),
        seen: BTreeSet::new(),
        found: Findings::default(),
    };
    let mut parts = Source::Bundle(content).samples(names).await?;
    // In the order of cells, which was checked.
    let mut windows = content.load_windows.iter().peekable();
    for cell in 0..campaign.plan.cells.len() {
        while let Some(part) = parts.next(cell).await? {
            for row in part.rows.iter().filter(|row| row.is_counted) {
                check.sample(row)?;
            }
        }
        while let Some(row) = windows.next_if(|row| row.cell == cell) {
            let of = (row.run, row.attempt);
            if let Some(digest) = &mut check.open(cell, of, row.agent).digest {
                digest.add_window(row.number, &row.window);
            }
        }
        check.close(cell);
    }
    check.finish()
}

struct Check<'a> {
    content: &'a Content,
    names: Names<'a>,
    authorities: &'a [PublicKey],
    signatures: HashMap<u64, &'a SignatureRow>,
    hashes: std::slice::ChunksExact<'a, u8>,
    /// The attempts of a cell, by run and number.
    open: BTreeMap<(u32, u64), Attempt>,
    /// The signed attempts whose samples were found.
    seen: BTreeSet<u64>,
    found: Findings,
}

struct Attempt {
    /// None if it isn't signed.
    digest: Option<ShardDigest>,
    /// A sample is of another agent than the one that signed.
    is_of_another: bool,
    /// A text is not the one of its hash.
    has_other_text: bool,
}

impl Check<'_> {
    fn open(&mut self, cell: usize, of: (u32, u64), agent: usize) -> &mut Attempt {
        let (run, number) = of;
        let signature = self.signatures.get(&number);
        let names = &self.names;
        let attempt = self.open.entry(of).or_insert_with(|| Attempt {
            digest: signature.map(|_| {
                let cell = names.plan.cells[cell].id.as_str();
                ShardDigest::new(names.campaign, cell, run, number)
            }),
            is_of_another: false,
            has_other_text: false,
        });
        attempt.is_of_another |= signature.is_some_and(|its| its.agent != agent);
        attempt
    }

    fn sample(&mut self, row: &SampleRow) -> anyhow::Result<()> {
        let SampleKey { cell, run, attempt, agent, batch, sample, .. } = row.key;
        let signature = self.signatures.get(&attempt).copied();
        let (of, names) = ((run, attempt), self.names);
        let next = if signature.is_some() { Some(self.next_hash()?) } else { None };
        let has_texts = self.content.texts.is_some();
        let open = self.open(cell as usize, of, agent as usize);
        if let Some(((digest, next), signature)) = open.digest.as_mut().zip(next).zip(signature) {
            digest.add_sample(
                batch,
                &names.dialogues[sample as usize].sample_id,
                &row.sample,
                &next,
            );
            let salt = signature.salt.filter(|_| has_texts);
            open.has_other_text |= salt.is_some_and(|salt| hash(row, names, &salt) != next);
        }
        Ok(())
    }

    fn next_hash(&mut self) -> anyhow::Result<Hash> {
        let next = self.hashes.next().and_then(|bytes| bytes.try_into().ok());
        next.with_context(|| {
            format!("{} has fewer hashes than signed samples", archive::TEXT_HASHES)
        })
    }

    /// Verifies the attempts of a cell, which are complete.
    fn close(&mut self, cell: usize) {
        for ((run, number), attempt) in std::mem::take(&mut self.open) {
            self.found.attempts += 1;
            let signature = self.signatures.get(&number).copied();
            let Some((signature, digest)) = signature.zip(attempt.digest) else { continue };
            self.found.signed += 1;
            self.seen.insert(number);
            let is_changed = attempt.is_of_another || digest.finish() != signature.digest;
            let problem = if is_changed {
                "its samples are not those that the agent signed"
            } else if attempt.has_other_text {
                "its texts are not those that the agent signed"
            } else if let Some(problem) = self.problem(signature) {
                problem
            } else {
                continue;
            };
            let cell = &self.names.plan.cells[cell].id;
            let agent = &self.content.agents[signature.agent].agent_id;
            let line = format!("attempt {number} of {cell}, run {run}, by {agent}: {problem}");
            self.found.wrong.push(line);
        }
    }

    /// What is wrong with the signature of a digest.
    fn problem(&self, signature: &SignatureRow) -> Option<&'static str> {
        let key = PublicKey::from_certificate(&signature.certificate);
        let message = signed_message(&signature.digest);
        let issued = |authority: &PublicKey| authority.has_issued_client(&signature.certificate);
        if !key.is_ok_and(|key| key.verify(&message, &signature.signature)) {
            Some("its signature does not match its certificate")
        } else if !self.authorities.is_empty() && !self.authorities.iter().any(issued) {
            Some("its certificate was not issued by the CA")
        } else {
            None
        }
    }

    fn finish(mut self) -> anyhow::Result<Findings> {
        if self.hashes.next().is_some() {
            bail!("{} has more hashes than signed samples", archive::TEXT_HASHES);
        }
        for signature in
            self.content.signatures.iter().filter(|its| !self.seen.contains(&its.attempt))
        {
            let (number, agent) =
                (signature.attempt, &self.content.agents[signature.agent].agent_id);
            let line = format!(
                "attempt {number} by {agent}: signed, but the bundle has none of its samples"
            );
            self.found.wrong.push(line);
        }
        Ok(self.found)
    }
}
