//! The three requests to the hub, and the meaning of its responses.

use super::address::{Repository, is_commit};
use crate::retry::Failure;
use crate::transfer::{Body, Opened};
use crate::{Error, Fetcher};
use ops::error_chain::root_cause;
use ops::secret::shown_url;
use reqwest::header::{HeaderMap, LOCATION, RANGE, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;
use std::time::Duration;

/// Redirects within the hub, as for a repository that was renamed.
const MOST_REDIRECTS: usize = 5;

#[derive(Debug, Deserialize)]
pub(super) struct Info {
    pub(super) sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Info {
    /// Its files, without names that would leave a folder.
    pub(super) fn files(self) -> Vec<String> {
        let is_inside =
            |name: &String| name.split('/').all(|part| !["", ".", ".."].contains(&part));
        self.siblings.into_iter().map(|sibling| sibling.rfilename).filter(is_inside).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) etag: String,
    pub(super) bytes: Option<u64>,
}

impl Metadata {
    /// The `ETag` of a large file is its SHA-256, that of a small one its Git object id.
    pub(super) fn sha256(&self) -> Option<String> {
        let is_sha256 = self.etag.len() == 64 && self.etag.bytes().all(|b| b.is_ascii_hexdigit());
        is_sha256.then(|| self.etag.to_ascii_lowercase())
    }

    fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let number = |name: &str| text(name)?.trim().parse().ok();
        let etag = text("x-linked-etag").or_else(|| text("etag"))?;
        let etag = etag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
        // It becomes a file's name.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let is_name = !etag.is_empty() && etag.len() <= 128 && etag.chars().all(is_plain);
        is_name.then(|| Self {
            etag,
            bytes: number("x-linked-size").or_else(|| number("content-length")),
        })
    }
}

pub(crate) fn http_client() -> Result<reqwest::Client, Error> {
    reqwest::Client::builder()
        .user_agent(concat!("fleetmark/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        // Between two chunks of a body, not for the whole.
        .read_timeout(Duration::from_mins(1))
        // Redirects are followed by hand: the redirecting response carries a large file's metadata, and the token must
        // not go to another host.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Error::System { reason: root_cause(&error) })
}

impl Fetcher {
    /// The commit of a revision, and its files.
    pub(super) async fn hub_info(&self, repository: &Repository) -> Result<Info, Error> {
        let what = repository.to_string();
        let mut url = self.hub_url(&["api", repository.kind.plural()], &repository.name)?;
        push(&mut url, ["revision", &repository.revision]);
        self.retry(&what, async || {
            let response = self.send(Method::GET, &url, None).await?;
            let response = self.accepted(response, &what, |code, has_code| match code {
                Some("RevisionNotFound") => Some(Error::NoRevision {
                    name: repository.name.clone(),
                    revision: repository.revision.clone(),
                }),
                _ if has_code => Some(self.no_repository(repository)),
                _ => None,
            })?;
            let info: Info = response.json().await.map_err(|error| {
                if error.is_decode() {
                    let reason = format!("invalid JSON from the hub ({})", root_cause(&error));
                    Failure::Final(Error::Answer { what: what.clone(), reason })
                } else {
                    Failure::transient(root_cause(&error))
                }
            })?;
            if is_commit(&info.sha) {
                Ok(info)
            } else {
                let reason = format!("invalid commit `{}` from the hub", info.sha);
                Err(Failure::Final(Error::Answer { what: what.clone(), reason }))
            }
        })
        .await
    }

    fn no_repository(&self, repository: &Repository) -> Error {
        Error::NoRepository {
            endpoint: self.shown_hub(),
            kind: repository.kind.as_str(),
            name: repository.name.clone(),
        }
    }

    pub(super) async fn hub_metadata(
        &self,
        repository: &Repository,
        commit: &str,
        file: &str,
    ) -> Result<Metadata, Error> {
        let what = format!("{}/{file}", repository.name);
        let url = self.file_url(repository, commit, file)?;
        self.retry(&what, async || {
            let mut url = url.clone();
            for _ in 0..MOST_REDIRECTS {
                let response = self.send(Method::HEAD, &url, None).await?;
                let metadata = Metadata::of(response.headers());
                if response.status().is_redirection() {
                    // Large files redirect to their storage; the redirecting response has their metadata.
                    if response.headers().contains_key("x-linked-etag")
                        && let Some(metadata) = metadata
                    {
                        return Ok(metadata);
                    }
                    url = self.redirected(&url, &response, &what)?;
                    continue;
                }
                let response = self.accepted(response, &what, |_, _| {
                    let place = format!("{}@{commit}", repository.name);
                    Some(Error::NoFile { place, file: file.to_owned() })
                })?;
                return Metadata::of(response.headers()).ok_or_else(|| {
                    let reason = "no usable ETag in the hub's response".to_owned();
                    Failure::Final(Error::Answer { what: what.clone(), reason })
                });
            }
            Err(Failure::Final(self.too_many_redirects(&what)))
        })
        .await
    }

    pub(super) async fn hub_open(
        &self,
        repository: &Repository,
        commit: &str,
        file: &str,
        from: u64,
    ) -> Result<Opened, Failure> {
        let what = format!("{}/{file}", repository.name);
        let mut url = self.file_url(repository, commit, file).map_err(Failure::Final)?;
        for _ in 0..MOST_REDIRECTS {
            let response = self.send(Method::GET, &url, Some(from)).await?;
            if response.status().is_redirection() {
                url = self.redirected(&url, &response, &what)?;
                continue;
            }
            let response = self.accepted(response, &what, |_, _| {
                let place = format!("{}@{commit}", repository.name);
                Some(Error::NoFile { place, file: file.to_owned() })
            })?;
            let from = if response.status() == StatusCode::PARTIAL_CONTENT { from } else { 0 };
            return Ok(Opened { from, body: Body::Http(response) });
        }
        Err(Failure::Final(self.too_many_redirects(&what)))
    }

    /// The hub's address without a password.
    fn shown_hub(&self) -> String {
        shown_url(self.settings.hub_endpoint.expose())
    }

    fn too_many_redirects(&self, what: &str) -> Error {
        let endpoint = self.shown_hub();
        let reason = format!("{endpoint} redirected more than {MOST_REDIRECTS} times");
        Error::Answer { what: what.to_owned(), reason }
    }

    fn file_url(&self, repository: &Repository, commit: &str, file: &str) -> Result<Url, Error> {
        let prefix: &[&str] = match repository.kind {
            super::Kind::Model => &[],
            super::Kind::Dataset => &["datasets"],
        };
        let mut url = self.hub_url(prefix, &repository.name)?;
        push(&mut url, ["resolve", commit]);
        push(&mut url, file.split('/'));
        Ok(url)
    }

    fn hub_url(&self, prefix: &[&str], name: &str) -> Result<Url, Error> {
        let endpoint = self.settings.hub_endpoint.expose();
        let mut url = Url::parse(endpoint).map_err(|_| Error::Setting {
            name: "HF_ENDPOINT",
            value: self.shown_hub(),
            expected: "a URL",
        })?;
        push(&mut url, prefix.iter().copied());
        push(&mut url, name.split('/'));
        Ok(url)
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        from: Option<u64>,
    ) -> Result<Response, Failure> {
        let mut request = self.http.request(method, url.clone());
        let is_hub = Url::parse(self.settings.hub_endpoint.expose())
            .is_ok_and(|endpoint| endpoint.origin() == url.origin());
        if let Some(token) = self.settings.hub_token.as_ref().filter(|_| is_hub) {
            request = request.bearer_auth(token.expose());
        }
        if let Some(from) = from.filter(|from| *from > 0) {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        request.send().await.map_err(|error| {
            let reason = root_cause(&error);
            let endpoint = self.shown_hub();
            let hint = if error.is_connect() {
                format!(
                    "can't reach {endpoint} ({reason}); HF_HUB_OFFLINE=1 uses cached files only"
                )
            } else {
                format!("no answer from {endpoint} ({reason})")
            };
            Failure::transient(hint)
        })
    }

    fn redirected(&self, url: &Url, response: &Response, what: &str) -> Result<Url, Failure> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let next = location.and_then(|location| url.join(location).ok());
        next.filter(|next| ["http", "https"].contains(&next.scheme()))
            .ok_or_else(|| Failure::Final(self.too_many_redirects(what)))
    }

    /// The response if it is a success, or its error; `missing` makes that of a 404 from the hub's own error code.
    fn accepted(
        &self,
        response: Response,
        what: &str,
        missing: impl Fn(Option<&str>, bool) -> Option<Error>,
    ) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let header =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let code = header("x-error-code");
        let unauthorized = || Error::Unauthorized {
            what: what.to_owned(),
            status: status.as_u16(),
            has_token: self.settings.hub_token.is_some(),
        };
        Err(match status.as_u16() {
            // The hub sends this for a missing repository, too, so that private ones stay hidden.
            401 if code == Some("RepoNotFound") => {
                Failure::Final(missing(code, true).unwrap_or_else(unauthorized))
            }
            401 | 403 => Failure::Final(unauthorized()),
            404 | 410 => Failure::Final(missing(code, true).unwrap_or_else(|| Error::Answer {
                what: what.to_owned(),
                reason: format!("the hub answered {status}"),
            })),
            408 | 429 | 500.. => Failure::Transient {
                reason: format!("the hub answered {status}"),
                retry_after: header(RETRY_AFTER.as_str())
                    .and_then(|seconds| seconds.trim().parse().ok())
                    .map(Duration::from_secs),
            },
            _ => {
                let message = header("x-error-message").unwrap_or_default();
                let reason = format!("the hub answered {status} {message}").trim_end().to_owned();
                Failure::Final(Error::Answer { what: what.to_owned(), reason })
            }
        })
    }
}

/// Appends segments to a URL's path, each percent-encoded.
fn push<'a>(url: &mut Url, parts: impl IntoIterator<Item = &'a str>) {
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(headers: &[(&'static str, &str)]) -> Option<Metadata> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Metadata::of(&map)
    }

    #[test]
    fn a_large_file_has_its_linked_etag() {
        let sha = "a".repeat(64);
        let linked = format!("\"{sha}\"");
        let found = metadata(&[
            ("etag", "\"cdn\""),
            ("content-length", "0"),
            ("x-linked-etag", &linked),
            ("x-linked-size", "990"),
        ])
        .unwrap();
        assert_eq!((found.sha256(), found.bytes), (Some(sha), Some(990)));
    }

    #[test]
    fn a_small_file_has_no_sha256() {
        let found =
            metadata(&[("etag", "W/\"0123456789abcdef0123456789abcdef01234567\"")]).unwrap();
        assert_eq!((found.sha256(), found.bytes), (None, None));
    }

    #[test]
    fn an_etag_that_would_leave_the_cache_is_ignored() {
        assert_eq!(metadata(&[("etag", "\"../../x\"")]), None);
        assert_eq!(metadata(&[]), None);
    }

    #[test]
    fn a_slash_in_a_revision_stays_one_part_of_the_path() {
        let mut url = Url::parse("http://127.0.0.1:1/mirror/").unwrap();
        push(&mut url, ["resolve", "refs/pr/1"]);
        assert_eq!(url.as_str(), "http://127.0.0.1:1/mirror/resolve/refs%2Fpr%2F1");
    }
}
