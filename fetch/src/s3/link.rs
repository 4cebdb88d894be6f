//! Links to objects for a browser.

use super::Address;
use crate::{Error, Fetcher};
use aws_sdk_s3::presigning::PresigningConfig;
use ops::error_chain::root_cause;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// People with access to the bucket.
    Authorized,
    /// Anyone with the link, for this long: at most seven days, and no longer than the signing credentials are valid.
    Anyone(Duration),
}

impl Fetcher {
    /// An object's link: its page in AWS's console, its URL on another server, or a presigned URL.
    pub async fn s3_link(&self, address: &Address, reader: Reader) -> Result<String, Error> {
        let what = address.to_string();
        let client = self.s3(&what).await?;
        let system = |reason: String| Error::Answer { what: what.clone(), reason };
        let time = match reader {
            Reader::Authorized => Duration::from_mins(1),
            Reader::Anyone(time) => time,
        };
        let time = PresigningConfig::expires_in(time).map_err(|error| system(error.to_string()))?;
        let request = client.get_object().bucket(&address.bucket).key(&address.key);
        let signed = Box::pin(request.presigned(time)).await;
        let signed = signed.map_err(|error| system(root_cause(&error)))?.uri().to_owned();
        if let Reader::Anyone(_) = reader {
            return Ok(signed);
        }
        let region = client.config().region().map_or("us-east-1", |region| region.as_ref());
        Ok(page(&signed, address, region))
    }
}

/// The page of an object for people with access, from its presigned URL.
fn page(signed: &str, address: &Address, region: &str) -> String {
    let object = signed.split('?').next().unwrap_or(signed);
    let host = object.split('/').nth(2).unwrap_or_default();
    if !host.ends_with(".amazonaws.com") {
        return object.to_owned();
    }
    let pairs = [("region", region), ("prefix", address.key.as_str())];
    let console = format!("https://console.aws.amazon.com/s3/object/{}", address.bucket);
    reqwest::Url::parse_with_params(&console, pairs).map_or(console, String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_has_a_console_and_other_servers_have_plain_urls() {
        let address: Address = "s3://bucket/runs/a b/report.html".parse().unwrap();
        let at_aws =
            "https://bucket.s3.eu-west-1.amazonaws.com/runs/a%20b/report.html?X-Amz-Signature=0";
        assert_eq!(
            page(at_aws, &address, "eu-west-1"),
            "https://console.aws.amazon.com/s3/object/bucket?region=eu-west-1&prefix=runs%2Fa+b%2Freport.html"
        );
        let elsewhere = "http://127.0.0.1:9000/bucket/runs/a%20b/report.html?X-Amz-Signature=0";
        let object = "http://127.0.0.1:9000/bucket/runs/a%20b/report.html";
        assert_eq!(page(elsewhere, &address, "us-east-1"), object);
    }
}
