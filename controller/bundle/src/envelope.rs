//! The DSSE envelope: a payload, its type and a signature over both.
//!
//! <https://github.com/secure-systems-lab/dsse/blob/master/envelope.md>

use super::Error;
use base64::{Engine, engine::general_purpose::STANDARD};
use keys::{PublicKey, SigningKey};
use serde::{Deserialize, Serialize};

pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Base64.
    payload: String,
    payload_type: String,
    /// None, or one.
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    /// The fingerprint of the key.
    keyid: String,
    /// Base64.
    sig: String,
}

impl Envelope {
    /// Signs a payload, or leaves it unsigned without a key.
    pub fn new(payload: &[u8], key: Option<&SigningKey>) -> Result<Self, Error> {
        let sign = |key: &SigningKey| {
            let sig = STANDARD.encode(key.sign(&authenticated(PAYLOAD_TYPE, payload))?);
            Ok(Signature { keyid: key.public().fingerprint(), sig })
        };
        Ok(Self {
            payload: STANDARD.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: key.into_iter().map(sign).collect::<Result<_, Error>>()?,
        })
    }

    /// The payload, after the check of the signature with `key`; without a key it must have none.
    pub fn open(&self, key: Option<&PublicKey>) -> Result<Vec<u8>, Error> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(Error::PayloadType { found: self.payload_type.clone() });
        }
        let payload = STANDARD.decode(&self.payload).map_err(|_| Error::Base64)?;
        match (&self.signatures[..], key) {
            ([], None) => {}
            ([signature], Some(key)) => {
                let sig = STANDARD.decode(&signature.sig).map_err(|_| Error::Base64)?;
                let message = authenticated(&self.payload_type, &payload);
                if signature.keyid != key.fingerprint() || !key.verify(&message, &sig) {
                    return Err(Error::Signature { key: key.fingerprint() });
                }
            }
            _ => return Err(Error::Signatures),
        }
        Ok(payload)
    }
}

/// What is signed: DSSE's pre-authentication encoding.
fn authenticated(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_bytes_are_those_of_the_specification() {
        let signed = authenticated("http://example.com/HelloWorld", b"hello world");
        assert_eq!(signed, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
