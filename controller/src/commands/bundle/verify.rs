//! `controller verify`: a bundle -> whether its signature and hashes hold, and figures that don't follow from it.

use super::agent_signatures::{self, Findings};
use crate::cli;
use crate::commands::bundle::day;
use crate::commands::bundle_file;
use crate::commands::report::{Made, Pricing, Source, made};
use anyhow::{Context, bail};
use bundle::{Bundle, Compared, Content, Difference, archive, compare};
use keys::PublicKey;
use ops::program::Exit;
use ops::{terminal, text_file};
use results::{SCHEMA_VERSION, json};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// So many differences are listed one by one.
const MOST_LISTED: usize = 50;

pub(in crate::commands) async fn run(options: &cli::Verify) -> anyhow::Result<Exit> {
    let trusted = Trusted::read(options)?;
    let mut authorities = Vec::new();
    for path in &options.agent_ca {
        authorities.extend(read(path, PublicKey::from_certificates_pem)?);
    }
    let bundle = match bundle_file::open(&options.bundle)? {
        Ok(bundle) => bundle,
        Err(error) => return failed(&anyhow::Error::new(error)),
    };
    let compared = match recompute(&bundle.content).await {
        Ok(compared) => compared,
        Err(error) => return failed(&error),
    };
    let signed = match agent_signatures::check(&bundle.content, &authorities).await {
        Ok(signed) => signed,
        Err(error) => return failed(&error),
    };
    let signature = trusted.judge(bundle.signed_by.as_ref());
    let agents = Agents { signed, cas: &options.agent_ca };
    let verdict = Verdict::of(&signature, &compared, &agents);
    let mut lines = summary(&bundle, &signature, &compared, &agents);
    lines.push(verdict.text().to_owned());
    terminal::result(&lines.join("\n"))?;
    Ok(verdict.exit())
}

/// The agents' signatures, and the CAs whose certificates were required.
struct Agents<'a> {
    signed: Findings,
    cas: &'a [PathBuf],
}

impl Agents<'_> {
    fn line(&self) -> String {
        let Findings { attempts, signed, wrong } = &self.signed;
        if *signed == 0 && wrong.is_empty() {
            return format!("none of {attempts} attempts is signed by its agent");
        }
        let (are, fail) =
            if wrong.len() == 1 { ("signature", "does") } else { ("signatures", "do") };
        let holds = if !wrong.is_empty() {
            format!("{} {are} {fail} not hold", wrong.len())
        } else if self.cas.is_empty() {
            "all verify, issuers not checked".to_owned()
        } else {
            let cas: Vec<String> = self.cas.iter().map(|path| path.display().to_string()).collect();
            format!("all verify, issued by {}", terminal::value(cas.join(", ")))
        };
        format!("{signed} of {attempts} attempts signed by their agents' certificates; {holds}")
    }
}

/// What `verify` found, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    OtherFigures,
    OtherSamples,
    OtherKey,
    Unchecked,
    Unsigned,
    UnsignedAttempts,
    Verified,
}

impl Verdict {
    fn of(signature: &Signature, compared: &Recomputed, agents: &Agents<'_>) -> Self {
        let Findings { attempts, signed, wrong } = &agents.signed;
        match signature {
            _ if !compared.figures.differences.is_empty() => Self::OtherFigures,
            _ if !wrong.is_empty() => Self::OtherSamples,
            Signature::Refused(_) => Self::OtherKey,
            Signature::Unchecked(_) => Self::Unchecked,
            Signature::None => Self::Unsigned,
            Signature::Trusted(_) if !agents.cas.is_empty() && signed < attempts => {
                Self::UnsignedAttempts
            }
            Signature::Trusted(_) => Self::Verified,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::OtherFigures => "not verified: figures don't follow from the samples",
            Self::OtherSamples => "not verified: an agent's signature does not hold",
            Self::OtherKey => "not verified: no signature by a trusted key",
            Self::Unchecked => "undecided: name the trusted key with --public-key or --certificate",
            Self::Unsigned => "undecided: the bundle is not signed",
            Self::UnsignedAttempts => "undecided: not all attempts are signed by their agents",
            Self::Verified => "verified",
        }
    }

    fn exit(self) -> Exit {
        match self {
            Self::OtherFigures | Self::OtherSamples | Self::OtherKey => Exit::Failed,
            Self::Unchecked | Self::Unsigned | Self::UnsignedAttempts => Exit::Undecided,
            Self::Verified => Exit::Ok,
        }
    }
}

/// Reports what ends the verification.
fn failed(error: &anyhow::Error) -> anyhow::Result<Exit> {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    terminal::result(&format!("not verified: {}", terminal::value(causes.join(": "))))?;
    Ok(Exit::Failed)
}

/// The keys of the command line, with the files that they are from.
struct Trusted(Vec<(String, PublicKey)>);

/// A signature against the trusted keys.
enum Signature {
    /// By the key of this file.
    Trusted(String),
    /// By this key, and none is trusted.
    Unchecked(String),
    /// There is none, and none was asked for.
    None,
    /// There is none by a trusted key.
    Refused(String),
}

impl Trusted {
    fn read(options: &cli::Verify) -> anyhow::Result<Self> {
        let mut keys = Vec::new();
        for path in &options.public_key {
            keys.push((path.display().to_string(), read(path, PublicKey::from_pem)?));
        }
        for path in &options.certificate {
            let key = read(path, PublicKey::from_certificate_pem)?;
            keys.push((path.display().to_string(), key));
        }
        Ok(Self(keys))
    }

    fn judge(&self, signed_by: Option<&PublicKey>) -> Signature {
        let trusts_none = self.0.is_empty();
        let Some(key) = signed_by else {
            let refused = Signature::Refused("none, and a trusted one was required".to_owned());
            return if trusts_none { Signature::None } else { refused };
        };
        match self.0.iter().find(|(_, trusted)| trusted == key) {
            Some((file, _)) => Signature::Trusted(file.clone()),
            None if trusts_none => Signature::Unchecked(key.fingerprint()),
            None => Signature::Refused(format!("of {}, which is not trusted", key.fingerprint())),
        }
    }
}

fn read<T>(path: &Path, parse: fn(&[u8]) -> Result<T, keys::Error>) -> anyhow::Result<T> {
    let shown = path.display();
    let text =
        text_file::read_to_string(path).with_context(|| format!("can't read the key {shown}"))?;
    parse(text.as_bytes()).with_context(|| format!("can't use the key {shown}"))
}

/// What follows from the samples.
struct Recomputed {
    figures: Compared,
    /// Paths of figures that rest on texts, which the bundle doesn't hold.
    not_recomputed: Vec<String>,
}

/// Recomputes the results of a bundle and compares them value by value.
async fn recompute(content: &Content) -> anyhow::Result<Recomputed> {
    let stated: Value =
        serde_json::from_slice(&content.results).context("results.json is not JSON")?;
    let version = stated.get("schema_version").and_then(Value::as_u64);
    if version != Some(SCHEMA_VERSION.into()) {
        let found = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        bail!("results.json has schema version {found}, and this release writes {SCHEMA_VERSION}");
    }
    let rows = (
        (archive::SAMPLES.to_owned(), std::io::sink()),
        (archive::TELEMETRY.to_owned(), std::io::sink()),
    );
    let pricing = Pricing { book: None, day: Some(day(&content.campaign)) };
    let Made { mut results, other_scores, .. } =
        made(Source::Bundle(content), rows, pricing).await?;
    // Another release may write the same rows in other bytes. What is stated must be the hash of the file.
    let files = [
        (&mut results.campaign.samples_file, Some(&content.samples)),
        (&mut results.campaign.telemetry_file, content.telemetry.as_ref()),
    ];
    for (file, bytes) in files {
        if let Some((file, bytes)) = file.as_mut().zip(bytes) {
            file.sha256 = hex::encode(Sha256::digest(bytes));
        }
    }
    // Through text, as it is written.
    let mut recomputed: Value =
        serde_json::from_str(&json::render(&results)).context("results are not JSON")?;
    let not_recomputed = match content.texts {
        Some(_) => Vec::new(),
        None => adopt_texts(&stated, &mut recomputed),
    };
    let mut figures = compare(&stated, &recomputed);
    figures.differences.extend(other_scores);
    Ok(Recomputed { figures, not_recomputed })
}

/// Takes over what only texts can show; returns its paths.
fn adopt_texts(stated: &Value, recomputed: &mut Value) -> Vec<String> {
    let mut adopted = Vec::new();
    let mut adopt = |pointer: &str, path: String| {
        let (stated, recomputed) = (stated.pointer(pointer), recomputed.pointer_mut(pointer));
        if let Some((stated, recomputed)) = stated.zip(recomputed)
            && stated != recomputed
        {
            recomputed.clone_from(stated);
            adopted.push(path);
        }
    };
    adopt("/sample_texts", "sample_texts".to_owned());
    let comparisons = stated.get("comparisons").and_then(Value::as_array).map_or(0, Vec::len);
    for index in 0..comparisons {
        adopt(
            &format!("/comparisons/{index}/agreement"),
            format!("comparisons[{index}].agreement"),
        );
    }
    adopted
}

fn summary(
    bundle: &Bundle,
    signature: &Signature,
    recomputed: &Recomputed,
    agents: &Agents<'_>,
) -> Vec<String> {
    let Bundle { statement, content, .. } = bundle;
    let predicate = &statement.predicate;
    let versions = &predicate.versions;
    let Recomputed { figures: Compared { values, differences }, not_recomputed } = recomputed;
    let mut lines = vec![
        format!(
            "campaign   {}, {}: {} counted samples, {} cells",
            predicate.campaign,
            content.campaign.state,
            predicate.counts.counted_samples,
            predicate.counts.cells
        ),
        format!(
            "versions   controller {}, agents {}; bundled by {}",
            terminal::value(&versions.controller),
            terminal::value(versions.agents.join(", ")),
            terminal::value(&versions.bundled_by)
        ),
        match signature {
            Signature::Trusted(file) => {
                format!("signature  valid, by the key of {}", terminal::value(file))
            }
            Signature::Unchecked(key) => {
                format!("signature  valid for key {key}, not checked against a trusted key")
            }
            Signature::None => "signature  none: anybody may have written this bundle".to_owned(),
            Signature::Refused(why) => format!("signature  {why}"),
        },
        format!("files      {}, each with its stated hash", statement.subject.len()),
        format!("agents     {}", agents.line()),
        format!(
            "figures    {values} values recomputed by controller {}, {} differ",
            env!("FLEETMARK_VERSION"),
            differences.len()
        ),
    ];
    if !not_recomputed.is_empty() {
        let paths = not_recomputed.join(", ");
        lines.push(format!("           not recomputed without texts: {paths}"));
    }
    let wrong = agents.signed.wrong.iter();
    listed(&mut lines, wrong.map(|wrong| terminal::value(format!("  {wrong}"))));
    listed(&mut lines, differences.iter().map(line));
    lines
}

/// Adds the first of these lines, and how many more there are.
fn listed(lines: &mut Vec<String>, of: impl ExactSizeIterator<Item = String>) {
    let more = of.len().saturating_sub(MOST_LISTED);
    lines.extend(of.take(MOST_LISTED));
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
}

fn line(Difference { path, stated, recomputed }: &Difference) -> String {
    let shown = |value: &Option<Value>| {
        value.as_ref().map_or_else(|| "absent".to_owned(), Value::to_string)
    };
    let (stated, recomputed) = (shown(stated), shown(recomputed));
    terminal::value(format!("  {path}: stated {stated}, recomputed {recomputed}"))
}
