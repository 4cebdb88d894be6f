//! A webhook of any kind: the message as JSON, with a signature over its time and bytes and a key that tells repeats.

use super::message::Message;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use ops::secret::Secret;
use sha2::Sha256;

/// The version of the body's form.
pub const VERSION: u32 = 1;

#[derive(Debug)]
pub struct Target {
    pub url: Secret,
    /// Of the signature; without it messages go unsigned.
    pub key: Option<Secret>,
}

impl Target {
    /// `Fleetmark-Delivery`: the same for the same ending of the same campaign. `Fleetmark-Signature`:
    /// `t=<seconds since 1970>,v1=<HMAC-SHA256 of "<t>.<body>" as hexadecimal digits>`.
    pub fn headers(
        &self,
        message: &Message,
        body: &str,
        now: DateTime<Utc>,
    ) -> Vec<(&'static str, String)> {
        let mut headers = vec![("Fleetmark-Delivery", message.key())];
        headers.extend(
            self.key
                .as_ref()
                .map(|key| ("Fleetmark-Signature", signature(key, body, now.timestamp()))),
        );
        headers
    }
}

fn signature(key: &Secret, body: &str, seconds: i64) -> String {
    // HMAC takes keys of any length (RFC 2104), so this can't fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{seconds}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    format!("t={seconds},v1={}", hex::encode(digest))
}

/// The message with the version of the body's format.
pub fn body(message: &Message) -> String {
    let mut body = serde_json::json!({ "version": VERSION });
    if let (Some(body), Ok(serde_json::Value::Object(fields))) =
        (body.as_object_mut(), serde_json::to_value(message))
    {
        body.extend(fields);
    }
    body.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against `printf '1700000000.{}' | openssl dgst -sha256 -hmac key`.
    #[test]
    fn the_signature_is_hmac_sha256_over_time_and_body() {
        let key = Secret::new("key").unwrap();
        assert_eq!(
            signature(&key, "{}", 1_700_000_000),
            "t=1700000000,v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
        );
    }
}
