//! Why a file can't be fetched or uploaded, with the way out.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid address `{given}`: expected {expected}")]
    Address { given: String, expected: &'static str },
    #[error(transparent)]
    S3Address(#[from] model::s3_address::Error),
    #[error("invalid {name}={value}: expected {expected}")]
    Setting { name: &'static str, value: String, expected: &'static str },
    /// Requested while offline, and not in the cache.
    #[error(
        "{what} is not in {cache}, and HF_HUB_OFFLINE is set: fetch it while online, or give its folder"
    )]
    Offline { what: String, cache: String },
    #[error(
        "the hub at {endpoint} has no {kind} {name}: check its name; for a private one set HF_TOKEN"
    )]
    NoRepository {
        endpoint: String,
        /// `model` or `dataset`.
        kind: &'static str,
        name: String,
    },
    #[error("{name} has no revision `{revision}`: name one of its branches, tags or commits")]
    NoRevision { name: String, revision: String },
    /// The hub answered 401 or 403.
    #[error("{what}: the hub answered {status}: {}", if *has_token {
        "the account of HF_TOKEN may not read it: accept the model's terms on its page with that account, or set HF_TOKEN to another token"
    } else {
        "it is private or gated: accept its terms on its page, and set HF_TOKEN to a token of that account"
    })]
    Unauthorized { what: String, status: u16, has_token: bool },
    #[error("{place} has no {file}")]
    NoFile {
        /// A repository at a commit, or a bucket.
        place: String,
        file: String,
    },
    /// The file's hash differs from its source's, or from that of the first download.
    #[error(
        "{file} is rejected: expected SHA-256 {expected}, found {found}: it was changed in transit; try again, or ask the owner of the server"
    )]
    Hash { file: String, expected: String, found: String },
    #[error("{file} is rejected: expected {expected} bytes, and more arrived")]
    TooLong { file: String, expected: u64 },
    #[error("{what}: gave up after {attempts} attempts: {reason}")]
    GaveUp { what: String, attempts: u32, reason: String },
    /// `Retry-After` is longer than anyone would wait.
    #[error("{what}: the server asks to wait {seconds} s: try again then{hint}")]
    TooBusy { what: String, seconds: u64, hint: &'static str },
    #[error("{what}: {reason}")]
    Answer { what: String, reason: String },
    #[error("can't use the cache at {path}: set {variable} to a writable folder")]
    Cache { path: String, variable: &'static str, source: io::Error },
    #[error(
        "{what}: no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or give the machine a role"
    )]
    NoCredentials { what: String, source: CredentialsError },
    #[error("{what}: no AWS region: set AWS_REGION")]
    NoRegion { what: String },
    #[error("{what}: can't sign the request with these credentials: {reason}")]
    Signing { what: String, reason: String },
    #[error("{what}: the bucket is in {}: set AWS_REGION to it", region.as_deref().unwrap_or("another region"))]
    OtherRegion { what: String, region: Option<String> },
    #[error("no bucket {bucket}: check its name, AWS_REGION and AWS_ENDPOINT_URL")]
    NoBucket { bucket: String },
    #[error("{what}: denied ({code}): these AWS credentials may not {action} it")]
    Denied {
        what: String,
        /// S3's error code.
        code: String,
        /// `read`, `list` or `write`.
        action: &'static str,
    },
    /// Another object has this key.
    #[error("{what} exists already, and nothing is overwritten")]
    Exists { what: String },
    #[error("can't read {path}")]
    Unreadable { path: String, source: io::Error },
    #[error("can't start a thread or set up TLS: {reason}")]
    System { reason: String },
    #[error("stopped")]
    Stopped,
}

/// What the AWS credentials chain reports, on one line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.lines().map(str::trim).collect::<Vec<_>>().join("; "))]
pub struct CredentialsError(pub(crate) String);
