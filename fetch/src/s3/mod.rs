//! S3 and servers with its protocol: downloads, uploads and links.
//!
//! Credentials, region and endpoint come from AWS's standard chain: environment, profile, container, machine. Another
//! server (`AWS_ENDPOINT_URL`) is addressed with buckets in the path.

mod failure;
mod link;
mod upload;

pub use link::Reader;
pub use model::s3_address::Address;
pub use upload::{Presence, Upload};

use crate::aws;
use crate::cache::{Entry, VARIABLE, link};
use crate::retry::Failure;
use crate::transfer::{Body, Download, Opened};
use crate::{Error, Fetcher, Snapshot, Stored};
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use failure::{Action, failure};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

pub(crate) use aws_sdk_s3::Client;

const MOST_OBJECTS: usize = 10_000;
/// The metadata key of our uploads' hash.
const SHA256: &str = "sha256";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub key: String,
    /// The key below the listed prefix, or its last part.
    pub name: String,
    pub bytes: u64,
    pub etag: String,
}

impl Fetcher {
    pub(crate) async fn s3(&self, what: &str) -> Result<&Client, Error> {
        self.s3.get_or_try_init(|| Box::pin(self.connect_s3(what))).await
    }

    async fn connect_s3(&self, what: &str) -> Result<Client, Error> {
        let (config, _) = aws::load(what, None).await?;
        let is_own = self.settings.has_s3_endpoint || config.endpoint_url().is_some();
        let region = aws::region_of(&config, is_own, what)?;
        let config = aws_sdk_s3::config::Builder::from(&config);
        Ok(Client::from_conf(config.region(region).force_path_style(is_own).build()))
    }

    /// The objects below a prefix, ordered by key.
    pub async fn s3_listing(&self, folder: &Address) -> Result<Vec<Object>, Error> {
        let what = folder.to_string();
        let client = self.s3(&what).await?;
        let prefix = folder.as_folder().key;
        let (mut objects, mut next) = (Vec::new(), None);
        loop {
            let page = self
                .retry(&what, async || {
                    let request = client.list_objects_v2().bucket(&folder.bucket);
                    let request = request.prefix(&prefix).set_continuation_token(next.clone());
                    request
                        .send()
                        .await
                        .map_err(|error| failure(&error, folder, Action::List, || no_file(folder)))
                })
                .await?;
            for object in page.contents() {
                let (Some(key), Some(etag)) = (object.key(), object.e_tag()) else { continue };
                let name = key.strip_prefix(&prefix).unwrap_or(key);
                // Skips folder markers, and keys that aren't paths on this disk.
                let is_file = name.split('/').all(|part| !["", ".", ".."].contains(&part));
                if is_file && objects.len() < MOST_OBJECTS {
                    objects.push(Object {
                        key: key.to_owned(),
                        name: name.to_owned(),
                        bytes: object.size().and_then(|size| size.try_into().ok()).unwrap_or(0),
                        etag: etag.trim_matches('"').to_owned(),
                    });
                }
            }
            next = page.next_continuation_token().map(str::to_owned);
            if next.is_none() || objects.len() >= MOST_OBJECTS {
                return Ok(objects);
            }
        }
    }

    pub async fn s3_object(&self, address: &Address) -> Result<Object, Error> {
        Ok(self.s3_metadata(address).await?.0)
    }

    /// One object, and its SHA-256 if S3 or our metadata has it.
    pub(crate) async fn s3_metadata(
        &self,
        address: &Address,
    ) -> Result<(Object, Option<String>), Error> {
        let what = address.to_string();
        let client = self.s3(&what).await?;
        let head = self
            .retry(&what, async || {
                let request = client.head_object().bucket(&address.bucket).key(&address.key);
                request
                    .checksum_mode(ChecksumMode::Enabled)
                    .send()
                    .await
                    .map_err(|error| failure(&error, address, Action::Read, || no_file(address)))
            })
            .await;
        let head = match head {
            Err(error @ Error::NoFile { .. }) => {
                return Err(self.missing_object_or_bucket(error, address).await);
            }
            head => head?,
        };
        let is_whole = !matches!(head.checksum_type(), Some(ChecksumType::Composite));
        let checksum = head.checksum_sha256().filter(|_| is_whole);
        let checksum = checksum.and_then(|text| BASE64_STANDARD.decode(text).ok());
        let noted = head.metadata().and_then(|metadata| metadata.get(SHA256)).cloned();
        let sha256 = checksum.filter(|bytes| bytes.len() == 32).map(hex::encode);
        let object = Object {
            key: address.key.clone(),
            name: address.name().to_owned(),
            bytes: head.content_length().and_then(|size| size.try_into().ok()).unwrap_or(0),
            etag: head.e_tag().unwrap_or_default().trim_matches('"').to_owned(),
        };
        Ok((object, sha256.or(noted)))
    }

    /// A 404 without a body doesn't tell a missing object from a missing bucket.
    async fn missing_object_or_bucket(&self, error: Error, address: &Address) -> Error {
        let Ok(client) = self.s3(&address.to_string()).await else { return error };
        match client.head_bucket().bucket(&address.bucket).send().await {
            Err(bucket) if bucket.raw_response().is_some_and(|r| r.status().as_u16() == 404) => {
                Error::NoBucket { bucket: address.bucket.clone() }
            }
            _ => error,
        }
    }

    /// Fetches objects of a bucket into one folder.
    pub async fn s3_files(&self, bucket: &str, objects: &[Object]) -> Result<Snapshot, Error> {
        let identities: Vec<String> =
            objects.iter().map(|object| identity(bucket, object)).collect();
        let name = &hex::encode(Sha256::digest(identities.join("\n")))[..40];
        let root = self.cache.folder().join("s3");
        let folder = root.join("snapshots").join(name);
        let mut files = Vec::with_capacity(objects.len());
        for (object, identity) in objects.iter().zip(&identities) {
            let place = (root.join("blobs").join(identity), folder.join(&object.name));
            files.push(Box::pin(self.s3_file(bucket, object, place)).await?);
        }
        let kept: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
        self.evict(&kept).await?;
        Ok(Snapshot { folder, commit: None, files })
    }

    async fn s3_file(
        &self,
        bucket: &str,
        object: &Object,
        (blob, path): (PathBuf, PathBuf),
    ) -> Result<Stored, Error> {
        let address = Address { bucket: bucket.to_owned(), key: object.key.clone() };
        let shown = address.to_string();
        let stored = |entry: Entry| Stored {
            name: object.name.clone(),
            path: path.clone(),
            sha256: entry.sha256,
            bytes: entry.bytes,
        };
        if let Some(entry) = self.used_again(&path, &shown)? {
            return Ok(stored(entry));
        }
        let (_, sha256) = self.s3_metadata(&address).await?;
        let wanted = Download {
            name: shown.clone(),
            lock: blob.with_extension("lock"),
            target: blob,
            bytes: Some(object.bytes),
            sha256,
            variable: VARIABLE,
        };
        let client = self.s3(&shown).await?;
        let found = self
            .download(&wanted, async |from| {
                let mut request = client.get_object().bucket(bucket).key(&object.key);
                // A resumed download must not mix two versions.
                request = request.if_match(format!("\"{}\"", object.etag));
                if from > 0 {
                    request = request.range(format!("bytes={from}-"));
                }
                let answer = request.send().await.map_err(|error| {
                    failure(&error, &address, Action::Read, || no_file(&address))
                })?;
                let from = if answer.content_range().is_some() { from } else { 0 };
                Ok::<_, Failure>(Opened { from, body: Body::S3(answer.body) })
            })
            .await?;
        let up = "../".repeat(2 + object.name.matches('/').count());
        let blob = wanted.target.file_name().unwrap_or_default().to_string_lossy();
        link(Path::new(&format!("{up}blobs/{blob}")), &path)
            .map_err(|source| self.cache.error(source))?;
        let entry = Entry {
            path: path.clone(),
            blob: wanted.target.clone(),
            bytes: found.bytes,
            sha256: found.sha256,
            is_own: true,
        };
        self.cache.keep(&entry)?;
        Ok(stored(entry))
    }
}

/// A name for one version of one object.
fn identity(bucket: &str, object: &Object) -> String {
    let text = format!("{bucket}\n{}\n{}\n{}", object.key, object.etag, object.bytes);
    hex::encode(Sha256::digest(text))
}

fn no_file(address: &Address) -> Error {
    Error::NoFile { place: format!("s3://{}", address.bucket), file: address.key.clone() }
}
