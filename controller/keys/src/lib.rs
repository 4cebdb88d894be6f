//! Keys that sign and verify: Ed25519, or ECDSA on P-256 with SHA-256, as the certificates of `controller certs` have.
//!
//! Pure: PEM, DER and messages in, signatures and answers out.

#![forbid(unsafe_code)]

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use rcgen::{KeyPair, PublicKeyData, SigningKey as _};
use sha2::{Digest, Sha256};
use std::fmt;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ED25519};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};
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

    /// ECDSA as DER, Ed25519 as its 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
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

    /// The key of the first `BEGIN CERTIFICATE`. Its issuer and its validity are not checked.
    pub fn from_certificate_pem(text: &[u8]) -> Result<Self, Error> {
        Self::from_certificate(&der(text, CERTIFICATE)?)
    }

    /// The keys of every `BEGIN CERTIFICATE`, at least one.
    pub fn from_certificates_pem(text: &[u8]) -> Result<Vec<Self>, Error> {
        let keys = blocks(text, CERTIFICATE).map(|der| Self::from_certificate(&der));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(Error::Pem { label: CERTIFICATE }) } else { Ok(keys) }
    }

    /// The key of a certificate in DER. Its issuer and its validity are not checked.
    pub fn from_certificate(der: &[u8]) -> Result<Self, Error> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| Error::Pem { label: CERTIFICATE })?;
        if !rest.is_empty() {
            return Err(Error::Pem { label: CERTIFICATE });
        }
        Self::from_spki(certificate.public_key().raw)
    }

    /// Whether this key signed a client's certificate in DER. The certificate's validity is not checked: what it
    /// signed outlasts it.
    pub fn has_issued_client(&self, der: &[u8]) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
        let is_client = match certificate.extended_key_usage() {
            Ok(usage) => usage.is_none_or(|usage| usage.value.client_auth || usage.value.any),
            Err(_) => false,
        };
        let signed = certificate.tbs_certificate.as_ref();
        is_client && self.verify(signed, &certificate.signature_value.data)
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

    /// Whether the key made this signature, in the form of [`SigningKey::sign`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
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

const CERTIFICATE: &str = "CERTIFICATE";

/// The blocks of a PEM text that have this label, as DER.
fn blocks(text: &[u8], label: &'static str) -> impl Iterator<Item = Vec<u8>> {
    let blocks = Pem::iter_from_buffer(text).filter_map(Result::ok);
    blocks.filter(move |block| block.label == label).map(|block| block.contents)
}

fn der(text: &[u8], label: &'static str) -> Result<Vec<u8>, Error> {
    blocks(text, label).next().ok_or(Error::Pem { label })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer};

    fn authority() -> (KeyPair, CertificateParams) {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (KeyPair::generate().unwrap(), params)
    }

    #[test]
    fn a_certificate_is_of_the_authority_that_signed_it_and_only_if_it_is_for_clients() {
        let (key, params) = authority();
        let ca = params.self_signed(&key).unwrap().pem();
        let own = PublicKey::from_certificate_pem(ca.as_bytes()).unwrap();
        let (other_key, params) = authority();
        let other_ca = params.self_signed(&other_key).unwrap().pem();
        let other = PublicKey::from_certificate_pem(other_ca.as_bytes()).unwrap();
        let issuer = Issuer::new(params, key);
        let certificate = |usage| {
            let mut params = CertificateParams::default();
            params.extended_key_usages = vec![usage];
            params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap()
        };
        let client = certificate(ExtendedKeyUsagePurpose::ClientAuth);
        assert!(own.has_issued_client(client.der()));
        assert!(!other.has_issued_client(client.der()));
        assert!(!own.has_issued_client(certificate(ExtendedKeyUsagePurpose::ServerAuth).der()));
        assert!(!own.has_issued_client(b"none"));
        let mut changed = client.der().to_vec();
        let middle = changed.len() / 3;
        changed[middle] ^= 1;
        assert!(!own.has_issued_client(&changed));

        let both = format!("{ca}{other_ca}");
        assert_eq!(PublicKey::from_certificates_pem(both.as_bytes()).unwrap(), [own, other]);
        assert!(PublicKey::from_certificates_pem(b"none").is_err());
    }
}
