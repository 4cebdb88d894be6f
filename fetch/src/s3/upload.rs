//! Files of this disk to objects: whole, checked by S3, and never over another object.

use super::answers::{Action, trouble};
use super::{Address, SHA256};
use crate::{Error, Fetcher};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Larger files go in parts of this size.
const PART_BYTES: usize = 16 << 20;

/// Bytes that should become an object.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Where to.
    pub address: Address,
    /// What they are, such as `application/json`.
    pub content_type: &'static str,
    /// All of them.
    pub bytes: Bytes,
}

/// Whether an object is there, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// None is.
    Absent,
    /// One with this sha256.
    Hashed(String),
    /// One whose sha256 nobody wrote down.
    Unhashed,
}

impl Fetcher {
    /// Makes an object; the sha256 of its bytes goes with it.
    ///
    /// # Errors
    /// [`Error::Exists`] where another object is there already; otherwise what S3 says, and the way out.
    pub async fn s3_upload(&self, upload: &Upload) -> Result<(), Error> {
        if upload.bytes.len() <= PART_BYTES {
            self.put(upload).await
        } else {
            self.put_in_parts(upload).await
        }
    }

    /// What is there already.
    ///
    /// # Errors
    /// [`Error`], naming the object and the way out.
    pub async fn s3_presence(&self, address: &Address) -> Result<Presence, Error> {
        match self.s3_about(address).await {
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
        self.persist(&what, async || {
            client
                .put_object()
                .bucket(&address.bucket)
                .key(&address.key)
                .content_type(*content_type)
                .metadata(SHA256, crate::hexadecimal(&Sha256::digest(bytes)))
                .checksum_sha256(checksum(bytes))
                .if_none_match("*")
                .body(ByteStream::from(bytes.clone()))
                .send()
                .await
                .map_err(|error| trouble(&error, address, Action::Write, || no_bucket(address)))
        })
        .await?;
        Ok(())
    }

    async fn put_in_parts(&self, upload: &Upload) -> Result<(), Error> {
        let Upload { address, content_type, bytes } = upload;
        let what = address.to_string();
        let client = self.s3(&what).await?;
        // Asked before anything is sent: the last request is the one that would be refused.
        if self.s3_presence(address).await? != Presence::Absent {
            return Err(Error::Exists { what });
        }
        let begun = self
            .persist(&what, async || {
                client
                    .create_multipart_upload()
                    .bucket(&address.bucket)
                    .key(&address.key)
                    .content_type(*content_type)
                    .metadata(SHA256, crate::hexadecimal(&Sha256::digest(bytes)))
                    .checksum_algorithm(ChecksumAlgorithm::Sha256)
                    .send()
                    .await
                    .map_err(|error| trouble(&error, address, Action::Write, || no_bucket(address)))
            })
            .await?;
        let id = begun.upload_id().unwrap_or_default();
        let sent = Box::pin(self.send_parts(upload, id)).await;
        if sent.is_err() {
            // What was sent costs until it is taken back; the error that led here is the one to tell.
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
                .persist(&what, async || {
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
                            trouble(&error, address, Action::Write, || no_bucket(address))
                        })
                })
                .await?;
            let done = CompletedPart::builder().part_number(number).checksum_sha256(checksum);
            parts.push(done.set_e_tag(sent.e_tag().map(str::to_owned)).build());
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        self.persist(&what, async || {
            client
                .complete_multipart_upload()
                .bucket(&address.bucket)
                .key(&address.key)
                .upload_id(id)
                .if_none_match("*")
                .multipart_upload(parts.clone())
                .send()
                .await
                .map_err(|error| trouble(&error, address, Action::Write, || no_bucket(address)))
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
