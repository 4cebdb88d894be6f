//! Why a file can't be had, by what the caller can do.

use std::io;

/// Why a file can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an address of the hub or of S3.
    #[error("\"{given}\" is no address: expected {expected}")]
    Address {
        /// As given.
        given: String,
        /// The form that it should have.
        expected: &'static str,
    },
    /// A variable of the environment.
    #[error("{name}={value}: expected {expected}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What it says.
        value: String,
        /// What it should say.
        expected: &'static str,
    },
    /// Asked for while offline, and not here.
    #[error(
        "{what} is not in {cache}, and HF_HUB_OFFLINE is set: fetch it while online, or give its folder"
    )]
    Offline {
        /// A repository or a file of one.
        what: String,
        /// Where it was looked for.
        cache: String,
    },
    /// The hub doesn't know it.
    #[error(
        "the hub at {endpoint} has no {kind} {name}: check its name; for a private one set HF_TOKEN"
    )]
    NoRepository {
        /// Which hub.
        endpoint: String,
        /// `model` or `dataset`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// No such branch, tag or commit.
    #[error("{name} has no revision \"{revision}\": name one of its branches, tags or commits")]
    NoRevision {
        /// Which repository.
        name: String,
        /// As given.
        revision: String,
    },
    /// The hub wants to know who asks, and a token was not given or isn't good.
    #[error("{what}: the hub answers {status}: {}", if *has_token {
        "the token of HF_TOKEN may not read it: accept the model's terms on its page with the token's account, or set HF_TOKEN to another one"
    } else {
        "it is private or gated: accept its terms on its page, and set HF_TOKEN to a token of that account"
    })]
    Unauthorized {
        /// A repository or a file of one.
        what: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        has_token: bool,
    },
    /// The place has no such file.
    #[error("{place} has no {file}")]
    NoFile {
        /// A repository at a commit, or a bucket with a prefix.
        place: String,
        /// Its name.
        file: String,
    },
    /// The file isn't what its source says.
    #[error(
        "{file} is refused: its sha256 should be {expected} and is {found}: it was changed on its way; try again, or ask who serves it"
    )]
    Hash {
        /// Its name with its place.
        file: String,
        /// As the source, or the first download, says.
        expected: String,
        /// Of the bytes that came.
        found: String,
    },
    /// The file is longer than its source says.
    #[error("{file} is refused: it should have {expected} bytes, and more came")]
    TooLong {
        /// Its name with its place.
        file: String,
        /// As the source says.
        expected: u64,
    },
    /// Trouble that should have passed didn't.
    #[error("{what}: given up after {tries} tries: {reason}")]
    GaveUp {
        /// What was asked for.
        what: String,
        /// How often.
        tries: u32,
        /// What went wrong last.
        reason: String,
    },
    /// The source wants to be left alone for longer than anyone wants to wait.
    #[error("{what}: the server asks to wait {seconds} s: try again then{hint}")]
    TooBusy {
        /// What was asked for.
        what: String,
        /// As it says.
        seconds: u64,
        /// Another way out.
        hint: &'static str,
    },
    /// An answer that isn't one.
    #[error("{what}: {reason}")]
    Answer {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The cache can't be used.
    #[error("can't use the cache at {path}: set {variable} to a folder that can be written")]
    Cache {
        /// Which file.
        path: String,
        /// What moves it.
        variable: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Nobody said who asks AWS.
    #[error(
        "{what}: no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or give the machine a role"
    )]
    NoCredentials {
        /// What was asked for.
        what: String,
        /// Where they were looked for.
        source: Looked,
    },
    /// Nobody said where AWS is asked.
    #[error("{what}: no AWS region: set AWS_REGION to where it is")]
    NoRegion {
        /// What was asked for.
        what: String,
    },
    /// These credentials sign nothing.
    #[error("{what}: the request can't be signed with these credentials: {reason}")]
    Signing {
        /// What was asked for.
        what: String,
        /// In the signer's words.
        reason: String,
    },
    /// The bucket is elsewhere.
    #[error("{what}: the bucket is in {}: set AWS_REGION to it", region.as_deref().unwrap_or("another region"))]
    OtherRegion {
        /// What was asked for.
        what: String,
        /// Where, if S3 says.
        region: Option<String>,
    },
    /// No such bucket.
    #[error(
        "there is no bucket {bucket}: check its name, and that AWS_REGION and AWS_ENDPOINT_URL are its own"
    )]
    NoBucket {
        /// Its name.
        bucket: String,
    },
    /// S3 doesn't let these credentials.
    #[error("{what}: denied ({code}): these AWS credentials may not {action} it")]
    Denied {
        /// What was asked for.
        what: String,
        /// As S3 says.
        code: String,
        /// `read`, `list` or `write`.
        action: &'static str,
    },
    /// Another object is there already.
    #[error("{what} is there already: nothing is overwritten")]
    Exists {
        /// Its address.
        what: String,
    },
    /// A local file that should go to S3.
    #[error("can't read {path}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The system doesn't give what is needed.
    #[error("the system has no randomness, no threads or no TLS: {reason}")]
    System {
        /// In its words.
        reason: String,
    },
    /// The process is ending.
    #[error("stopped")]
    Stopped,
}

/// Where credentials were looked for, on one line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.lines().map(str::trim).collect::<Vec<_>>().join("; "))]
pub struct Looked(pub(crate) String);
