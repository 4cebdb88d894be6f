//! Posts JSON to a webhook: time limits, tries, no redirects.

use super::Error;
use super::receipt::{self, Receiver};
use super::retry::{self, Answer, Next, Repeats};
use backon::BackoffBuilder;
use ops::error_chain;
use ops::secret::{Redaction, Secret};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use std::net::IpAddr;
use std::time::Duration;

/// From the first byte sent to the last one of the answer.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// So much of an answer is read: far more than any receiver sends.
const MOST_BYTES: usize = 16 << 10;

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

    /// Posts until it is delivered or [`retry::next`] gives up. Errors contain no part of the address, which the server
    /// may echo.
    pub async fn post(
        &self,
        url: &Secret,
        body: &str,
        headers: &[(&'static str, String)],
        to: Receiver,
    ) -> Result<(), String> {
        let repeats = if to == Receiver::Any { Repeats::Deduplicated } else { Repeats::Visible };
        let redaction = Redaction::default().with_url(url.expose());
        let mut pauses = retry::PAUSES.build();
        loop {
            let answer = self.once(url, body, headers, to, &redaction).await;
            match retry::next(&mut pauses, &answer, repeats) {
                Next::Delivered => return Ok(()),
                Next::Retry(pause) => tokio::time::sleep(pause).await,
                Next::GiveUp(reason) => return Err(reason),
            }
        }
    }

    async fn once(
        &self,
        url: &Secret,
        body: &str,
        headers: &[(&'static str, String)],
        to: Receiver,
        redaction: &Redaction,
    ) -> Answer {
        // Only what others wrote: our own words may be parts of the address.
        let reason = |error: reqwest::Error| redaction.redacted(&reason(&error.without_url()));
        let mut request = self.0.post(url.expose()).header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = match request.body(body.to_owned()).send().await {
            Ok(response) => response,
            Err(error) => {
                let is_unsent = error.is_connect() || error.is_builder();
                let reason = reason(error);
                return if is_unsent { Answer::NotSent(reason) } else { Answer::NoAnswer(reason) };
            }
        };
        let code = response.status().as_u16();
        // Only seconds: no server of ours sends the date form, and it would need the wall clock.
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        // Before anything is cut, so that no part of a secret is left.
        let body = beginning(response).await.map(|body| redaction.redacted(&body));
        match (body, (200..300).contains(&code)) {
            (Ok(body), true) => {
                let taken = Answer::Status { code, wait: None, body: String::new() };
                to.refusal(code, &body).unwrap_or(taken)
            }
            // Without its body nobody knows whether the message was taken.
            (Err(error), true) => Answer::NoAnswer(reason(error)),
            (body, false) => {
                Answer::Status { code, wait, body: receipt::one_line(&body.unwrap_or_default()) }
            }
        }
    }
}

/// The beginning of an answer. A server that never stops is not read to its end.
async fn beginning(mut response: reqwest::Response) -> Result<String, reqwest::Error> {
    let mut bytes = Vec::new();
    while bytes.len() < MOST_BYTES {
        match response.chunk().await? {
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    /// Answers one request with a status line and a body. Returns its address.
    fn answering(status: &'static str, body: &'static str) -> Secret {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/hook", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
            (&stream).write_all(answer.as_bytes()).unwrap();
        });
        Secret::new(&address).unwrap()
    }

    async fn post(status: &'static str, body: &'static str, to: Receiver) -> Result<(), String> {
        Client::new().unwrap().post(&answering(status, body), "{}", &[], to).await
    }

    #[tokio::test]
    async fn the_body_of_a_success_decides() {
        assert_eq!(post("200 OK", "ok", Receiver::Slack).await, Ok(()));
        assert_eq!(post("202 Accepted", "", Receiver::Teams).await, Ok(()));
        assert_eq!(post("200 OK", "thanks", Receiver::Any).await, Ok(()));
        for to in [Receiver::Slack, Receiver::Teams, Receiver::Any] {
            let failed = post("200 OK", "<html>Sign in</html>", to).await.unwrap_err();
            assert!(failed.contains("web page"), "{failed}");
        }
        let failed = post("200 OK", "no_team", Receiver::Slack).await.unwrap_err();
        assert!(failed.ends_with("did not confirm the message: no_team"), "{failed}");
        let failed = post("400 Bad Request", "bad", Receiver::Any).await.unwrap_err();
        assert_eq!(failed, "the server answered 400: bad");
    }
}
