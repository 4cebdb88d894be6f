//! The three questions that are asked of the hub, and what its answers mean.

use super::address::{Repository, is_commit};
use crate::patience::Trouble;
use crate::transfer::{Body, Opened, root_cause};
use crate::{Error, Fetcher};
use reqwest::header::{HeaderMap, LOCATION, RANGE, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;
use std::time::Duration;

/// Redirects within the hub, as for a repository that was renamed.
const MOST_REDIRECTS: usize = 5;

/// What the hub says of a repository at a revision.
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
    /// Its files. Names that would leave a folder are passed over: nobody asks for them.
    pub(super) fn files(self) -> Vec<String> {
        let is_inside =
            |name: &String| name.split('/').all(|part| !["", ".", ".."].contains(&part));
        self.siblings.into_iter().map(|sibling| sibling.rfilename).filter(is_inside).collect()
    }
}

/// What the hub says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    /// Names its content.
    pub(super) etag: String,
    pub(super) bytes: Option<u64>,
}

impl About {
    /// Large files are named by their sha256, small ones by git's object id.
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
        // Between two pieces of an answer, not for the whole of it.
        .read_timeout(Duration::from_mins(1))
        // Redirects are followed by hand: what the hub says of a large file stands in the answer that redirects,
        // and the token is the hub's alone.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Error::System { reason: root_cause(&error) })
}

impl Fetcher {
    /// The commit that a revision stands for, and the files of it.
    pub(super) async fn hub_info(&self, repository: &Repository) -> Result<Info, Error> {
        let what = repository.to_string();
        let mut url = self.hub_url(&["api", repository.kind.plural()], &repository.name)?;
        push(&mut url, ["revision", &repository.revision]);
        self.persist(&what, async || {
            let response = self.ask(Method::GET, &url, None).await?;
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
                    let reason = format!("the hub's answer is none ({})", root_cause(&error));
                    Trouble::Final(Error::Answer { what: what.clone(), reason })
                } else {
                    Trouble::passing(root_cause(&error))
                }
            })?;
            if is_commit(&info.sha) {
                Ok(info)
            } else {
                let reason = format!("the hub says that its commit is \"{}\"", info.sha);
                Err(Trouble::Final(Error::Answer { what: what.clone(), reason }))
            }
        })
        .await
    }

    fn no_repository(&self, repository: &Repository) -> Error {
        Error::NoRepository {
            endpoint: self.settings.hub_endpoint.clone(),
            kind: repository.kind.as_str(),
            name: repository.name.clone(),
        }
    }

    /// What names a file's content, and its length.
    pub(super) async fn hub_about(
        &self,
        repository: &Repository,
        commit: &str,
        file: &str,
    ) -> Result<About, Error> {
        let what = format!("{}/{file}", repository.name);
        let url = self.file_url(repository, commit, file)?;
        self.persist(&what, async || {
            let mut url = url.clone();
            for _ in 0..MOST_REDIRECTS {
                let response = self.ask(Method::HEAD, &url, None).await?;
                let about = About::of(response.headers());
                if response.status().is_redirection() {
                    // Large files redirect to where they lie; the answer that does so says what they are.
                    if response.headers().contains_key("x-linked-etag")
                        && let Some(about) = about
                    {
                        return Ok(about);
                    }
                    url = self.redirected(&url, &response, &what)?;
                    continue;
                }
                let response = self.accepted(response, &what, |_, _| {
                    let place = format!("{}@{commit}", repository.name);
                    Some(Error::NoFile { place, file: file.to_owned() })
                })?;
                return About::of(response.headers()).ok_or_else(|| {
                    let reason = "the hub doesn't say what names its content (ETag)".to_owned();
                    Trouble::Final(Error::Answer { what: what.clone(), reason })
                });
            }
            Err(Trouble::Final(self.too_many_redirects(&what)))
        })
        .await
    }

    /// A file's bytes from an offset on.
    pub(super) async fn hub_open(
        &self,
        repository: &Repository,
        commit: &str,
        file: &str,
        from: u64,
    ) -> Result<Opened, Trouble> {
        let what = format!("{}/{file}", repository.name);
        let mut url = self.file_url(repository, commit, file).map_err(Trouble::Final)?;
        for _ in 0..MOST_REDIRECTS {
            let response = self.ask(Method::GET, &url, Some(from)).await?;
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
        Err(Trouble::Final(self.too_many_redirects(&what)))
    }

    fn too_many_redirects(&self, what: &str) -> Error {
        let endpoint = &self.settings.hub_endpoint;
        let reason = format!("{endpoint} redirects in circles");
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
        let endpoint = &self.settings.hub_endpoint;
        let mut url = Url::parse(endpoint).map_err(|_| Error::Setting {
            name: "HF_ENDPOINT",
            value: endpoint.clone(),
            expected: "a URL",
        })?;
        push(&mut url, prefix.iter().copied());
        push(&mut url, name.split('/'));
        Ok(url)
    }

    async fn ask(&self, method: Method, url: &Url, from: Option<u64>) -> Result<Response, Trouble> {
        let mut request = self.http.request(method, url.clone());
        let is_hub = Url::parse(&self.settings.hub_endpoint)
            .is_ok_and(|endpoint| endpoint.origin() == url.origin());
        if let Some(token) = self.settings.hub_token.as_ref().filter(|_| is_hub) {
            request = request.bearer_auth(&token.0);
        }
        if let Some(from) = from.filter(|from| *from > 0) {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        request.send().await.map_err(|error| {
            let reason = root_cause(&error);
            let endpoint = &self.settings.hub_endpoint;
            let hint = if error.is_connect() {
                format!("can't reach {endpoint} ({reason}); HF_HUB_OFFLINE=1 takes what was fetched before")
            } else {
                format!("{endpoint} doesn't answer ({reason})")
            };
            Trouble::passing(hint)
        })
    }

    fn redirected(&self, url: &Url, response: &Response, what: &str) -> Result<Url, Trouble> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let next = location.and_then(|location| url.join(location).ok());
        next.filter(|next| ["http", "https"].contains(&next.scheme()))
            .ok_or_else(|| Trouble::Final(self.too_many_redirects(what)))
    }

    /// A good answer, or what a bad one means. `missing` says what a 404 is; it is told the hub's own code for it.
    fn accepted(
        &self,
        response: Response,
        what: &str,
        missing: impl Fn(Option<&str>, bool) -> Option<Error>,
    ) -> Result<Response, Trouble> {
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
            // The hub answers so where a repository isn't there, too, so that nobody learns of private ones.
            401 if code == Some("RepoNotFound") => {
                Trouble::Final(missing(code, true).unwrap_or_else(unauthorized))
            }
            401 | 403 => Trouble::Final(unauthorized()),
            404 | 410 => Trouble::Final(missing(code, true).unwrap_or_else(|| Error::Answer {
                what: what.to_owned(),
                reason: format!("the hub answers {status}"),
            })),
            408 | 429 | 500.. => Trouble::Passing {
                reason: format!("the hub answers {status}"),
                after: header(RETRY_AFTER.as_str())
                    .and_then(|seconds| seconds.trim().parse().ok())
                    .map(Duration::from_secs),
            },
            _ => {
                let said = header("x-error-message").unwrap_or_default();
                let reason = format!("the hub answers {status} {said}").trim_end().to_owned();
                Trouble::Final(Error::Answer { what: what.to_owned(), reason })
            }
        })
    }
}

/// Adds parts to a URL's path, each encoded as one.
fn push<'a>(url: &mut Url, parts: impl IntoIterator<Item = &'a str>) {
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(headers: &[(&'static str, &str)]) -> Option<About> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        About::of(&map)
    }

    #[test]
    fn a_large_file_is_named_by_its_linked_headers() {
        let sha = "a".repeat(64);
        let linked = format!("\"{sha}\"");
        let found = about(&[
            ("etag", "\"cdn\""),
            ("content-length", "0"),
            ("x-linked-etag", &linked),
            ("x-linked-size", "990"),
        ])
        .unwrap();
        assert_eq!((found.sha256(), found.bytes), (Some(sha), Some(990)));
    }

    #[test]
    fn a_small_file_is_named_by_its_object_id_which_is_no_sha256() {
        let found = about(&[("etag", "W/\"0123456789abcdef0123456789abcdef01234567\"")]).unwrap();
        assert_eq!((found.sha256(), found.bytes), (None, None));
    }

    #[test]
    fn an_etag_that_would_leave_the_cache_is_none() {
        assert_eq!(about(&[("etag", "\"../../x\"")]), None);
        assert_eq!(about(&[]), None);
    }

    #[test]
    fn a_slash_in_a_revision_stays_one_part_of_the_path() {
        let mut url = Url::parse("http://127.0.0.1:1/mirror/").unwrap();
        push(&mut url, ["resolve", "refs/pr/1"]);
        assert_eq!(url.as_str(), "http://127.0.0.1:1/mirror/resolve/refs%2Fpr%2F1");
    }
}
