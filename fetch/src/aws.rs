//! Credentials, region, endpoint and signatures for AWS services other than S3.
//!
//! They come from AWS's standard chain: environment, profile, container, machine. Requests are signed with Signature
//! Version 4 and sent by the caller.

use crate::Error;
use crate::error::CredentialsError;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Credentials, ProvideCredentials, Region, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_types::service_config::ServiceConfigKey;
use ops::error_chain::root_cause;
use ops::secret::Redaction;
use std::fmt;
use std::time::SystemTime;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// AWS's service id: that of `AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME` is `SageMaker Runtime`.
    pub id: &'static str,
    /// The service name in signatures.
    pub signed_for: &'static str,
    /// The labels of the host name before the region.
    pub host: &'static str,
}

#[derive(Clone)]
pub struct Access {
    service: Service,
    credentials: SharedCredentialsProvider,
    region: String,
    endpoint: String,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("service", &self.service.id)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    pub method: &'a str,
    pub uri: &'a str,
    /// The headers to sign; `host` is always signed.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// AWS's standard chain, with credentials that could be resolved.
pub(crate) async fn load(
    what: &str,
    region: Option<&str>,
) -> Result<(SdkConfig, SharedCredentialsProvider), Error> {
    // Retries are ours, see `retry`.
    let mut loader =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).retry_config(RetryConfig::disabled());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let config = Box::pin(loader.load()).await;
    let error = |reason: String| Error::NoCredentials {
        what: what.to_owned(),
        source: CredentialsError(reason),
    };
    let provider = config.credentials_provider();
    let provider = provider.ok_or_else(|| error("no provider is configured".to_owned()))?;
    provider.provide_credentials().await.map_err(|failed| error(root_cause(&failed)))?;
    Ok((config, provider))
}

/// The region for signatures. Servers other than AWS have no regions, so any will do.
pub(crate) fn region_of(
    config: &SdkConfig,
    has_own_endpoint: bool,
    what: &str,
) -> Result<Region, Error> {
    match config.region() {
        Some(region) => Ok(region.clone()),
        None if has_own_endpoint => Ok(Region::from_static("us-east-1")),
        None => Err(Error::NoRegion { what: what.to_owned() }),
    }
}

impl Access {
    /// Reads the standard chain; `region` overrides it. Credentials are resolved at once, so that their absence is reported
    /// early.
    pub async fn find(service: Service, region: Option<&str>) -> Result<Self, Error> {
        let (config, credentials) = load(service.id, region).await?;
        let env = "AWS_ENDPOINT_URL";
        let key =
            ServiceConfigKey::builder().service_id(service.id).env(env).profile("endpoint_url");
        let own = config.service_config().zip(key.build().ok());
        let own = own.and_then(|(chain, key)| chain.load_config(key));
        let own = own.or_else(|| config.endpoint_url().map(str::to_owned));
        let region = region_of(&config, own.is_some(), service.id)?.to_string();
        let endpoint = own.map_or_else(
            || standard_endpoint(service, &region),
            |own| own.trim_end_matches('/').to_owned(),
        );
        Ok(Self { service, credentials, region, endpoint })
    }

    #[must_use]
    pub fn at(self, endpoint: &str) -> Self {
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), ..self }
    }

    /// Without a trailing slash.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    /// The additional headers that sign a request at the time `now`. Expired credentials are renewed.
    pub async fn sign(
        &self,
        request: &Unsigned<'_>,
        now: SystemTime,
    ) -> Result<Vec<(String, String)>, Error> {
        let credentials = self.credentials.provide_credentials().await.map_err(|error| {
            let source = CredentialsError(root_cause(&error));
            Error::NoCredentials { what: self.service.id.to_owned(), source }
        })?;
        signature(&credentials, self.service, &self.region, request, now)
    }
}

/// Finds the secrets of a signed request, which AWS echoes in the reasons of its refusals.
pub fn redaction(signature: &[(String, String)]) -> Redaction {
    let is_secret = |name: &str| ["authorization", "x-amz-security-token"].contains(&name);
    let secrets = signature.iter().filter(|(name, _)| is_secret(&name.to_ascii_lowercase()));
    secrets.fold(Redaction::default(), |redaction, (_, value)| redaction.with(value))
}

fn standard_endpoint(service: Service, region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{}.{region}.{domain}", service.host)
}

fn signature(
    credentials: &Credentials,
    service: Service,
    region: &str,
    request: &Unsigned<'_>,
    now: SystemTime,
) -> Result<Vec<(String, String)>, Error> {
    let failed = |error: &dyn fmt::Display| Error::Signing {
        what: service.id.to_owned(),
        reason: error.to_string(),
    };
    let identity = credentials.clone().into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service.signed_for)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(&error))?
        .into();
    let Unsigned { method, uri, headers, body } = *request;
    let headers = headers.iter().copied();
    let signable = SignableRequest::new(method, uri, headers, SignableBody::Bytes(body))
        .map_err(|error| failed(&error))?;
    let (signed, _) = sign(signable, &params).map_err(|error| failed(&error))?.into_parts();
    Ok(signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SERVICE: Service = Service { id: "Example", signed_for: "service", host: "example" };

    /// `post-vanilla` of the test suite that AWS publishes for Signature Version 4.
    #[test]
    fn a_request_is_signed_as_aws_does_it() {
        let credentials = Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            None,
            None,
            "test",
        );
        let now = SystemTime::UNIX_EPOCH + Duration::from_mins(24_015_636);
        let request = Unsigned {
            method: "POST",
            uri: "https://example.amazonaws.com/",
            headers: &[],
            body: b"",
        };
        let headers = signature(&credentials, SERVICE, "us-east-1", &request, now).unwrap();
        let value =
            |name: &str| headers.iter().find(|(known, _)| known == name).unwrap().1.as_str();
        assert_eq!(value("x-amz-date"), "20150830T123600Z");
        assert_eq!(
            value("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
    }

    #[test]
    fn a_refusal_that_repeats_the_request_shows_no_credentials() {
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let token = Some("IQoJb3JpZ2luX2VjEXAMPLETOKEN".to_owned());
        let credentials = Credentials::new("AKIDEXAMPLE", key, token, None, "test");
        let request = Unsigned { method: "POST", uri: "https://x/", headers: &[], body: b"" };
        let now = SystemTime::UNIX_EPOCH;
        let signed = signature(&credentials, SERVICE, "us-east-1", &request, now).unwrap();
        let value = |name: &str| signed.iter().find(|(known, _)| known == name).unwrap().1.as_str();
        let echo = format!(
            "The Canonical String should have been\n'POST\nx-amz-security-token:{}\n' not {}",
            value("x-amz-security-token"),
            value("authorization")
        );
        let redacted = redaction(&signed).redacted(&echo);
        assert_eq!(
            redacted,
            "The Canonical String should have been\n'POST\nx-amz-security-token:…\n' not …"
        );
    }

    #[test]
    fn endpoints_follow_the_region() {
        let endpoint = |region| standard_endpoint(SERVICE, region);
        assert_eq!(endpoint("eu-west-1"), "https://example.eu-west-1.amazonaws.com");
        assert_eq!(endpoint("cn-north-1"), "https://example.cn-north-1.amazonaws.com.cn");
    }
}
