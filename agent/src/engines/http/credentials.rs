//! Authentication of requests: headers with secrets from the environment, or AWS request signing.

use super::Error;
use fetch::aws::{Access, Service, Unsigned};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use model::endpoint::{Endpoint, Place};
use ops::secret::Redaction;
use std::time::SystemTime;

const SAGEMAKER: Service =
    Service { id: "SageMaker Runtime", signed_for: "sagemaker", host: "runtime.sagemaker" };
const SECURITY_TOKEN: &str = "x-amz-security-token";

/// Header values are marked as sensitive, so that nothing prints them.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    headers: HeaderMap,
    access: Option<Access>,
    redaction: Redaction,
}

impl Credentials {
    pub(super) async fn find(
        place: Place<'_>,
        endpoint: &Endpoint,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let mut headers = HeaderMap::new();
        for (header, name) in &endpoint.headers {
            let missing = || Error::Variable { header: header.clone(), variable: name.clone() };
            let value = variable(name).filter(|value| !value.trim().is_empty());
            let value = value.and_then(|value| HeaderValue::from_str(value.trim()).ok());
            let mut value = value.ok_or_else(missing)?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(header).map_err(|_| missing())?, value);
        }
        let access = match place {
            Place::Url(_) => None,
            Place::SageMaker(_) => Some(Access::find(SAGEMAKER, endpoint.region.as_deref()).await?),
        };
        let values = headers.values().filter_map(|value: &HeaderValue| value.to_str().ok());
        let redaction = match place {
            Place::Url(address) => Redaction::default().with_query(address),
            Place::SageMaker(_) => Redaction::default(),
        };
        let redaction = values.fold(redaction, Redaction::with);
        Ok(Self { headers, access, redaction })
    }

    pub(super) fn address(&self, place: Place<'_>, endpoint: &Endpoint) -> String {
        match (place, &self.access) {
            (Place::SageMaker(name), Some(access)) => {
                let route = match endpoint.stream {
                    Some(_) => "invocations-response-stream",
                    None => "invocations",
                };
                format!("{}/endpoints/{name}/{route}", access.endpoint())
            }
            (Place::Url(address) | Place::SageMaker(address), _) => address.to_owned(),
        }
    }

    /// Redacts another secret of its requests as well.
    pub(super) fn hiding(self, secret: Option<&HeaderValue>) -> Self {
        let secret = secret.and_then(|secret| secret.to_str().ok());
        Self { redaction: secret.into_iter().fold(self.redaction, Redaction::with), ..self }
    }

    pub(super) fn are_of_aws(&self) -> bool {
        self.access.is_some()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.headers.keys().map(HeaderName::as_str)
    }

    pub(super) async fn headers(
        &self,
        uri: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<HeaderMap, fetch::Error> {
        let mut headers = self.headers.clone();
        let Some(access) = &self.access else { return Ok(headers) };
        let unsigned =
            Unsigned { method: "POST", uri, headers: &[("content-type", content_type)], body };
        for (name, value) in access.sign(&unsigned, now()).await? {
            let named = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            if let Some((name, mut value)) = named {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        Ok(headers)
    }

    /// Redacts the secrets of a request that was sent with the headers `sent`: some servers echo what they received.
    pub(super) fn redacted(&self, text: &str, sent: &HeaderMap) -> String {
        let signed = [AUTHORIZATION, HeaderName::from_static(SECURITY_TOKEN)];
        let signed = signed.iter().filter_map(|name| sent.get(name)?.to_str().ok());
        signed.fold(self.redaction.clone(), Redaction::with).redacted(text)
    }
}

fn now() -> SystemTime {
    ops::clock::Clock::System.now().into()
}
