//! Client of the AWS Price List API: `GetProducts` with filters -> the matching products as JSON.
//!
//! An edge: signing, sending and paging. [`cost::aws`] parses the products. The API exists only in
//! us-east-1 and ap-south-1; requests are signed for us-east-1.

#![forbid(unsafe_code)]

use chrono::{DateTime, Utc};
use cost::aws::Service;
use fetch::aws::{self, Access, Unsigned};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    access: Access,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "can't reach the Price List API at {endpoint}: use another --endpoint, or import a bulk file"
    )]
    Unreachable {
        endpoint: String,
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "the Price List API rejected the request ({status}): {message}; the credentials need pricing:GetProducts"
    )]
    Refused { status: u16, message: String },
    #[error("can't parse the response of the Price List API")]
    Response(#[source] reqwest::Error),
    /// A bug.
    #[error("can't serialize the request")]
    Request(#[source] serde_json::Error),
    #[error(transparent)]
    Signing(#[from] fetch::Error),
    #[error("the Price List API returned more than {PAGES} pages: it ignores the filters")]
    Endless,
}

const SERVICE: aws::Service =
    aws::Service { id: "Pricing", signed_for: "pricing", host: "api.pricing" };
const SIGNED_FOR: &str = "us-east-1";
const TARGET: &str = "AWSPriceListService.GetProducts";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const TIMEOUT: Duration = Duration::from_secs(30);
/// A query matches one product, but the API may return some empty pages.
const PAGES: usize = 50;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetProducts<'a> {
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
struct Page {
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
    /// A client with the credentials of AWS's default chain.
    pub async fn new(endpoint: &str) -> Result<Self, Error> {
        let access = Access::find(SERVICE, Some(SIGNED_FOR)).await?.at(endpoint);
        let endpoint = access.endpoint().to_owned();
        let http = reqwest::Client::builder().timeout(TIMEOUT).build();
        let http = http.map_err(|source| Error::Unreachable { endpoint, source })?;
        Ok(Self { http, access })
    }

    /// The products of an instance type, each as JSON. `now` is the time of the signature.
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
            let request = GetProducts {
                service_code: service.offer(),
                filters: service.filters(target, region).into_iter().map(filter).collect(),
                format_version: "aws_v1",
                max_results: 100,
                next_token,
            };
            let page = self.send(&request, now).await?;
            products.extend(page.price_list);
            next_token = page.next_token.filter(|token| !token.is_empty());
            if next_token.is_none() {
                return Ok(products);
            }
        }
        Err(Error::Endless)
    }

    async fn send(&self, products: &GetProducts<'_>, now: DateTime<Utc>) -> Result<Page, Error> {
        let body = serde_json::to_vec(products).map_err(Error::Request)?;
        let uri = format!("{}/", self.access.endpoint());
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
        let unsigned = Unsigned { method: "POST", uri: &uri, headers: &headers, body: &body };
        let mut request = self.http.post(&uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let signature = self.access.sign(&unsigned, SystemTime::from(now)).await?;
        let redaction = aws::redaction(&signature);
        for (name, value) in signature {
            request = request.header(name, value);
        }
        let unreachable =
            |source| Error::Unreachable { endpoint: self.access.endpoint().to_owned(), source };
        let response = request.body(body).send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            let refusal: Refusal = response.json().await.unwrap_or_default();
            let message = redaction.redacted(&refusal.message);
            return Err(Error::Refused { status: status.as_u16(), message });
        }
        response.json().await.map_err(Error::Response)
    }
}
