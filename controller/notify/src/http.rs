//! Posts JSON to a webhook: time limits, tries, no redirects.

use super::Error;
use super::retry::{self, Answer, Next, Repeats};
use super::secret::Secret;
use backon::BackoffBuilder;
use ops::error_chain;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use std::net::IpAddr;
use std::time::Duration;

/// From the first byte sent to the last one of the answer.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// So much of an answer is shown.
const SHOWN: usize = 200;

#[derive(Debug)]
pub struct Client(reqwest::Client);

impl Client {
    pub fn new() -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .timeout(TIME_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("fleetmark/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(|error| Error::Client(error.without_url().to_string()))
    }

    /// Posts until it is delivered or [`retry::next`] gives up. Errors don't contain the address.
    pub async fn post(
        &self,
        url: &Secret,
        body: &str,
        headers: &[(&'static str, String)],
        repeats: Repeats,
    ) -> Result<(), String> {
        let mut pauses = retry::PAUSES.build();
        loop {
            let answer = self.once(url, body, headers).await;
            match retry::next(&mut pauses, &answer, repeats) {
                Next::Delivered => return Ok(()),
                Next::Retry(pause) => tokio::time::sleep(pause).await,
                Next::GiveUp(reason) => return Err(reason),
            }
        }
    }

    async fn once(&self, url: &Secret, body: &str, headers: &[(&'static str, String)]) -> Answer {
        let mut request = self.0.post(url.expose()).header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = match request.body(body.to_owned()).send().await {
            Ok(response) => response,
            Err(error) => {
                let is_unsent = error.is_connect() || error.is_builder();
                let reason = reason(&error.without_url());
                return if is_unsent { Answer::NotSent(reason) } else { Answer::NoAnswer(reason) };
            }
        };
        let code = response.status().as_u16();
        // Only seconds: no server of ours sends the date form, and it would need the wall clock.
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let body =
            if (200..300).contains(&code) { String::new() } else { beginning(response).await };
        Answer::Status { code, wait, body }
    }
}

/// The beginning of an answer, on one line. A server that never stops is not read to its end.
async fn beginning(mut response: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < SHOWN * 4 {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(SHOWN).collect::<String>().trim().to_owned()
}

fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() { "timed out".to_owned() } else { error_chain::root_cause(error) }
}

/// Whether an address may be called: `https`, or `http` on this machine. In the clear the address, which is the secret,
/// would be there for all to read.
pub fn may_be_called(url: &Secret) -> bool {
    let Ok(url) = reqwest::Url::parse(url.expose()) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse().is_ok_and(|host: IpAddr| host.is_loopback());
    match url.scheme() {
        "https" => !host.is_empty(),
        "http" => is_here,
        _ => false,
    }
}
