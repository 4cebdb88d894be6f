//! Uploads: S3 checks each by its SHA-256, and never replaces another object.

use super::failure::{Action, failure};
use super::{Address, SHA256};
use crate::{Error, Fetcher};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Larger files are uploaded in parts of this size.
const PART_BYTES: usize = 16 << 20;

#[derive(Debug, Clone)]
pub struct Upload {
    pub address: Address,
    /// Such as `application/json`.
    pub content_type: &'static str,
    pub bytes: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    Absent,
    /// With this SHA-256.
    Hashed(String),
    Unhashed,
}

impl Fetcher {
    /// Creates an object; its SHA-256 is stored in its metadata.
    ///
    /// # Errors
    /// [`Error::Exists`] if another object has this key; otherwise S3's error, with the way out.
    pub async fn s3_upload(&self, upload: &Upload) -> Result<(), Error> {
        if upload.bytes.len() <= PART_BYTES {
            self.put(upload).await
        } else {
            self.put_in_parts(upload).await
        }
    }

    /// Whether the object exists, and its hash.
    pub async fn s3_presence(&self, address: &Address) -> Result<Presence, Error> {
        match self.s3_metadata(address).await {
            Ok((_, Some(sha256))) => Ok(Presence::Hashed(sha256)),
            Ok((_, None)) => Ok(Presence::Unhashed),
            Err(Error::NoFile { .. }) => Ok(Presence::Absent),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, upload: &Upload) -> Result<(), Error> {
        let Upload { address, content_type, bytes } = upload;
        let what = address.to_string();
        let client = self.s3(&what).await?;
        self.retry(&what, async || {
            client
                .put_object()
                .bucket(&address.bucket)
                .key(&address.key)
                .content_type(*content_type)
                .metadata(SHA256, hex::encode(Sha256::digest(bytes)))
                .checksum_sha256(checksum(bytes))
                .if_none_match("*")
                .body(ByteStream::from(bytes.clone()))
                .send()
                .await
                .map_err(|error| failure(&error, address, Action::Write, || no_bucket(address)))
        })
        .await?;
        Ok(())
    }

    async fn put_in_parts(&self, upload: &Upload) -> Result<(), Error> {
        let Upload { address, content_type, bytes } = upload;
        let what = address.to_string();
        let client = self.s3(&what).await?;
        // Checked first, since S3 would refuse only the last request.
        if self.s3_presence(address).await? != Presence::Absent {
            return Err(Error::Exists { what });
        }
        let begun = self
            .retry(&what, async || {
                client
                    .create_multipart_upload()
                    .bucket(&address.bucket)
                    .key(&address.key)
                    .content_type(*content_type)
                    .metadata(SHA256, hex::encode(Sha256::digest(bytes)))
                    .checksum_algorithm(ChecksumAlgorithm::Sha256)
                    .send()
                    .await
                    .map_err(|error| failure(&error, address, Action::Write, || no_bucket(address)))
            })
            .await?;
        let id = begun.upload_id().unwrap_or_default();
        let sent = Box::pin(self.send_parts(upload, id)).await;
        if sent.is_err() {
            // Uploaded parts are billed until they are removed. The first error is the one to report.
            let request = client.abort_multipart_upload().bucket(&address.bucket);
            drop(request.key(&address.key).upload_id(id).send().await);
        }
        sent
    }

    async fn send_parts(&self, upload: &Upload, id: &str) -> Result<(), Error> {
        let Upload { address, bytes, .. } = upload;
        let what = address.to_string();
        let client = self.s3(&what).await?;
        let mut parts = Vec::new();
        for (number, start) in (1_i32..).zip((0..bytes.len()).step_by(PART_BYTES)) {
            let part = bytes.slice(start..bytes.len().min(start + PART_BYTES));
            let checksum = checksum(&part);
            let sent = self
                .retry(&what, async || {
                    client
                        .upload_part()
                        .bucket(&address.bucket)
                        .key(&address.key)
                        .upload_id(id)
                        .part_number(number)
                        .checksum_sha256(&checksum)
                        .body(ByteStream::from(part.clone()))
                        .send()
                        .await
                        .map_err(|error| {
                            failure(&error, address, Action::Write, || no_bucket(address))
                        })
                })
                .await?;
            let done = CompletedPart::builder().part_number(number).checksum_sha256(checksum);
            parts.push(done.set_e_tag(sent.e_tag().map(str::to_owned)).build());
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        self.retry(&what, async || {
            client
                .complete_multipart_upload()
                .bucket(&address.bucket)
                .key(&address.key)
                .upload_id(id)
                .if_none_match("*")
                .multipart_upload(parts.clone())
                .send()
                .await
                .map_err(|error| failure(&error, address, Action::Write, || no_bucket(address)))
        })
        .await?;
        Ok(())
    }
}

fn checksum(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

fn no_bucket(address: &Address) -> Error {
    Error::NoBucket { bucket: address.bucket.clone() }
}
