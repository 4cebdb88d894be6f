//! Keys that sign and verify: Ed25519, or ECDSA on P-256 with SHA-256, as the controller's certificates have.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use rcgen::{KeyPair, PublicKeyData, SigningKey as _};
use sha2::{Digest, Sha256};
use std::fmt;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ED25519};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("expected an Ed25519 or P-256 key, PEM with PKCS #8 (`BEGIN PRIVATE KEY`)")]
    Private(#[source] rcgen::Error),
    #[error("expected PEM with `BEGIN {label}`")]
    Pem { label: &'static str },
    #[error("its key is neither Ed25519 nor on P-256")]
    Algorithm,
    #[error("failed to sign")]
    Sign(#[source] rcgen::Error),
}

/// A private key.
pub struct SigningKey(KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// Reads PKCS #8 as PEM.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let key = KeyPair::from_pem(text).map_err(Error::Private)?;
        PublicKey::from_spki(&key.subject_public_key_info())?;
        Ok(Self(key))
    }

    pub fn public(&self) -> PublicKey {
        PublicKey::from_spki(&self.0.subject_public_key_info())
            .expect("the algorithm was checked when the key was read")
    }

    /// `BEGIN PUBLIC KEY`.
    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign(message).map_err(Error::Sign)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Ed25519,
    EcdsaP256,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    /// As the algorithm takes it.
    raw: Vec<u8>,
    /// Of the DER of its `SubjectPublicKeyInfo`.
    sha256: [u8; 32],
}

impl PublicKey {
    /// Reads `BEGIN PUBLIC KEY`.
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        Self::from_spki(&der(text, "PUBLIC KEY")?)
    }

    /// The key of a `BEGIN CERTIFICATE`. Its issuer and its validity are not checked.
    pub fn from_certificate_pem(text: &[u8]) -> Result<Self, Error> {
        const LABEL: &str = "CERTIFICATE";
        let der = der(text, LABEL)?;
        let (_, certificate) =
            x509_parser::parse_x509_certificate(&der).map_err(|_| Error::Pem { label: LABEL })?;
        Self::from_spki(certificate.public_key().raw)
    }

    fn from_spki(der: &[u8]) -> Result<Self, Error> {
        let (rest, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| Error::Algorithm)?;
        let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        let algorithm = if info.algorithm.algorithm == OID_SIG_ED25519 {
            Algorithm::Ed25519
        } else if info.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
            && curve == Some(OID_EC_P256)
        {
            Algorithm::EcdsaP256
        } else {
            return Err(Error::Algorithm);
        };
        if !rest.is_empty() {
            return Err(Error::Algorithm);
        }
        let raw = info.subject_public_key.data.into_owned();
        Ok(Self { algorithm, raw, sha256: Sha256::digest(der).into() })
    }

    /// `SHA256:` and the hash of the key in base64, in the form of OpenSSH.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(self.sha256))
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self.algorithm {
            Algorithm::Ed25519 => {
                UnparsedPublicKey::new(&ED25519, &self.raw).verify(message, signature)
            }
            Algorithm::EcdsaP256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.raw)
                .verify(message, signature),
        };
        verified.is_ok()
    }
}

/// The first block of a PEM text that has this label.
fn der(text: &[u8], label: &'static str) -> Result<Vec<u8>, Error> {
    let mut blocks = Pem::iter_from_buffer(text).filter_map(Result::ok);
    let block = blocks.find(|block| block.label == label).ok_or(Error::Pem { label })?;
    Ok(block.contents)
}
