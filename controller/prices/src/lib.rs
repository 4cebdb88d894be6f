//! AWS's Price List API over HTTPS: `GetProducts` with filters -> the products that match.
//!
//! An edge. It signs, sends and pages; what a product says of a price is read in [`cost::aws`].
//! The API's only regions are us-east-1 and ap-south-1, and requests are signed for the endpoint's own.

#![forbid(unsafe_code)]

use chrono::{DateTime, Utc};
use cost::aws::Service;
use fetch::aws::{self, Access, Unsigned};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// Where the API is, and how it is asked.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    access: Access,
}

/// The API gave no products.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be reached.
    #[error(
        "can't reach the Price List API at {endpoint}: use another --endpoint, or import a bulk file"
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
        "the Price List API rejected the request ({status}): {message}; the credentials need pricing:GetProducts"
    )]
    Refused {
        /// Of HTTP.
        status: u16,
        /// As it said.
        message: String,
    },
    /// It said what can't be read.
    #[error("can't parse the response of the Price List API")]
    Answer(#[source] reqwest::Error),
    /// A bug: a question that isn't JSON.
    #[error("can't serialize the request")]
    Question(#[source] serde_json::Error),
    /// The request couldn't be signed.
    #[error(transparent)]
    Signing(#[from] fetch::Error),
    /// More pages than any one instance type can have.
    #[error("the Price List API returned more than {PAGES} pages: it ignores the filters")]
    Endless,
}

const SERVICE: aws::Service =
    aws::Service { id: "Pricing", signed_for: "pricing", host: "api.pricing" };
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
    /// A client of the API at `endpoint`, for whoever the standard chain says asks.
    ///
    /// # Errors
    /// [`Error::Signing`] without credentials, [`Error::Unreachable`] where the system has no TLS.
    pub async fn new(endpoint: &str) -> Result<Self, Error> {
        let access = Access::find(SERVICE, Some(SIGNED_FOR)).await?.at(endpoint);
        let endpoint = access.endpoint().to_owned();
        let http = reqwest::Client::builder().timeout(PATIENCE).build();
        let http = http.map_err(|source| Error::Unreachable { endpoint, source })?;
        Ok(Self { http, access })
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
        let body = serde_json::to_vec(asked).map_err(Error::Question)?;
        let uri = format!("{}/", self.access.endpoint());
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
        let unsigned = Unsigned { method: "POST", uri: &uri, headers: &headers, body: &body };
        let mut request = self.http.post(&uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in self.access.sign(&unsigned, SystemTime::from(now)).await? {
            request = request.header(name, value);
        }
        let unreachable =
            |source| Error::Unreachable { endpoint: self.access.endpoint().to_owned(), source };
        let response = request.body(body).send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            let refusal: Refusal = response.json().await.unwrap_or_default();
            return Err(Error::Refused { status: status.as_u16(), message: refusal.message });
        }
        response.json().await.map_err(Error::Answer)
    }
}
