//! AWS's Price List API over HTTPS: `GetProducts` with filters -> the products that match.
//!
//! An edge. It signs, sends and pages; what a product says of a price is read in [`crate::cost::aws`].
//! The API's only regions are us-east-1 and ap-south-1, and requests are signed for the endpoint's own.

use crate::cost::aws::Service;
use aws_sdk_s3::config::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// Where the API is, and how it is asked.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: String,
    credentials: Credentials,
}

/// The API gave no products.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be reached.
    #[error(
        "the Price List API at {endpoint} can't be reached: give another --endpoint, or import a bulk file"
    )]
    Unreachable {
        /// Where it should be.
        endpoint: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It said no.
    #[error(
        "the Price List API refused ({status}): {message}; the credentials need pricing:GetProducts"
    )]
    Refused {
        /// Of HTTP.
        status: u16,
        /// As it said.
        message: String,
    },
    /// It said what can't be read.
    #[error("the Price List API's answer can't be read")]
    Answer(#[source] reqwest::Error),
    /// The request couldn't be signed.
    #[error("the request can't be signed with these credentials: {0}")]
    Signing(String),
    /// More pages than any one instance type can have.
    #[error("the Price List API goes on after {PAGES} pages: it is not filtering")]
    Endless,
}

const SIGNED_FOR: &str = "us-east-1";
const TARGET: &str = "AWSPriceListService.GetProducts";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const PATIENCE: Duration = Duration::from_secs(30);
/// One product is asked for; a handful of pages may be empty under way.
const PAGES: usize = 50;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Asked<'a> {
    service_code: &'a str,
    filters: Vec<Filter>,
    format_version: &'a str,
    max_results: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    r#type: &'static str,
    field: &'static str,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    price_list: Vec<String>,
    next_token: Option<String>,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default, alias = "Message")]
    message: String,
}

impl Client {
    /// A client of the API at `endpoint`.
    ///
    /// # Errors
    /// [`Error::Unreachable`] where the system has no TLS.
    pub fn new(endpoint: &str, credentials: Credentials) -> Result<Self, Error> {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder().timeout(PATIENCE).build();
        let http =
            http.map_err(|source| Error::Unreachable { endpoint: endpoint.clone(), source })?;
        Ok(Self { http, endpoint, credentials })
    }

    /// The products of one instance type, each as JSON. `now` stamps the signature.
    ///
    /// # Errors
    /// [`Error`], saying whether to try another endpoint or other credentials.
    pub async fn products(
        &self,
        service: Service,
        target: &str,
        region: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<String>, Error> {
        let filter = |(field, value)| Filter { r#type: "TERM_MATCH", field, value };
        let (mut products, mut next_token) = (Vec::new(), None);
        for _ in 0..PAGES {
            let asked = Asked {
                service_code: service.offer(),
                filters: service.filters(target, region).into_iter().map(filter).collect(),
                format_version: "aws_v1",
                max_results: 100,
                next_token,
            };
            let answer = self.ask(&asked, now).await?;
            products.extend(answer.price_list);
            next_token = answer.next_token.filter(|token| !token.is_empty());
            if next_token.is_none() {
                return Ok(products);
            }
        }
        Err(Error::Endless)
    }

    async fn ask(&self, asked: &Asked<'_>, now: DateTime<Utc>) -> Result<Answer, Error> {
        let body = serde_json::to_vec(asked).map_err(|error| Error::Signing(error.to_string()))?;
        let uri = format!("{}/", self.endpoint);
        let mut request = self
            .http
            .post(&uri)
            .header("content-type", CONTENT_TYPE)
            .header("x-amz-target", TARGET);
        for (name, value) in self.signature(&uri, &body, now)? {
            request = request.header(name, value);
        }
        let unreachable = |source| Error::Unreachable { endpoint: self.endpoint.clone(), source };
        let response = request.body(body).send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            let refusal: Refusal = response.json().await.unwrap_or_default();
            return Err(Error::Refused { status: status.as_u16(), message: refusal.message });
        }
        response.json().await.map_err(Error::Answer)
    }

    /// The headers of AWS's Signature Version 4.
    fn signature(
        &self,
        uri: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, String)>, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Signing(error.to_string());
        let identity = self.credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(SIGNED_FOR)
            .name("pricing")
            .time(SystemTime::from(now))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
        let signable =
            SignableRequest::new("POST", uri, headers.into_iter(), SignableBody::Bytes(body))
                .map_err(|error| failed(&error))?;
        let (signed, _) = sign(signable, &params).map_err(|error| failed(&error))?.into_parts();
        Ok(signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}
