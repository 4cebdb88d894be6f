//! Secrets: hidden from `Debug`, and redacted in what other programs answer, because some echo what they received.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::fmt;

/// A shorter text isn't redacted: it can't be told from the text around it.
const SHORTEST: usize = 4;
/// Stands for a secret.
const REDACTED: &str = "…";

/// A password, a token, a key, or an address that lets its holder write. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text without white space around it; `None` if nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The plain value, only for sending it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Finds secrets in a text, whole or in their parts, as they are or in the forms in which they are sent.
#[derive(Clone, Default)]
pub struct Redaction {
    /// Longest first.
    parts: Vec<String>,
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redaction(…)")
    }
}

impl Redaction {
    /// Adds a password, a key, or the value of a header. `Bearer TOKEN` may be echoed as TOKEN, and credentials in base64
    /// as what they encode; a password may be echoed in base64.
    #[must_use]
    pub fn with(mut self, secret: &str) -> Self {
        let last = secret.rsplit(' ').next().unwrap_or(secret);
        if let Some(decoded) = decoded(last) {
            self.add_split(&decoded, &[':']);
        }
        self.add(BASE64_STANDARD.encode(secret));
        self.add(last.to_owned());
        self.add(secret.to_owned());
        self
    }

    /// Adds an address that is a secret: user, password, the segments of its path, and its query.
    #[must_use]
    pub fn with_url(mut self, url: &str) -> Self {
        self.add(url.to_owned());
        let (before, _) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
        let rest = before.split_once("://").map_or(before, |(_, rest)| rest);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if let Some((user, _)) = authority.rsplit_once('@') {
            self.add_split(user, &[':']);
        }
        self.add_split(path, &['/']);
        self.with_query(url)
    }

    /// Adds what follows the path of an address.
    #[must_use]
    pub fn with_query(mut self, url: &str) -> Self {
        if let Some((_, query)) = url.split_once(['?', '#']) {
            for pair in query.split(['&', ';', '#']) {
                self.add_split(pair.split_once('=').map_or(pair, |(_, value)| value), &[]);
            }
        }
        self
    }

    /// The text without the secrets. A text that was cut may end within one: its start is redacted as well.
    pub fn redacted(&self, text: &str) -> String {
        let mut text = self.parts.iter().fold(text.to_owned(), |text, part| {
            if text.contains(part.as_str()) { text.replace(part, REDACTED) } else { text }
        });
        let is_start = |part: &String, length: usize| {
            part.get(..length).is_some_and(|start| text.ends_with(start))
        };
        let cut = self
            .parts
            .iter()
            .filter_map(|part| (SHORTEST..part.len()).rev().find(|length| is_start(part, *length)));
        if let Some(longest) = cut.max() {
            text.truncate(text.len() - longest);
            text.push_str(REDACTED);
        }
        text
    }

    /// Adds a part of an address, the pieces of it, and what they mean without percent-encoding.
    fn add_split(&mut self, text: &str, separators: &[char]) {
        for piece in text.split(separators).chain([text]) {
            self.add(without_percents(piece));
            self.add(piece.to_owned());
        }
    }

    fn add(&mut self, part: String) {
        if part.trim().len() >= SHORTEST && !self.parts.contains(&part) {
            let place = self.parts.partition_point(|other| other.len() >= part.len());
            self.parts.insert(place, part);
        }
    }
}

/// An address as it may be shown: without user, password, query and fragment.
pub fn shown_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The text in base64.
fn decoded(text: &str) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(text).ok()?).ok()
}

fn without_percents(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let byte = digits
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = &after[if byte.is_some() { 2 } else { 0 }..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nowhere() {
        let secret = Secret::new(" hidden\n").unwrap();
        assert_eq!(secret.expose(), "hidden");
        let redaction = Redaction::default().with("hidden");
        assert_eq!(format!("{secret:?} {redaction:?}"), "Secret(…) Redaction(…)");
        assert_eq!(Secret::new(" \n"), None);
    }

    #[test]
    fn the_value_of_a_header_is_found_in_its_forms() {
        let redaction =
            Redaction::default().with("Bearer s3cret-token").with("Basic dXNlcjpwYXNzd29yZA==");
        let echoed =
            "Bearer s3cret-token, s3cret-token; dXNlcjpwYXNzd29yZA== user:password, password";
        assert_eq!(redaction.redacted(echoed), "…, …; … …, …");
        let password = Redaction::default().with("hunter22");
        assert_eq!(password.redacted("hunter22 or aHVudGVyMjI= in base64"), "… or … in base64");
    }

    #[test]
    fn an_address_is_found_whole_and_in_parts() {
        let url = "https://me:pass%20word@hooks.example/services/T000/B000/XXXX%2Fyyyy?token=abcdef&x=1#frag";
        let redaction = Redaction::default().with_url(url);
        for echoed in [
            url,
            "T000",
            "no hook B000",
            "{\"path\":\"\\/services\\/T000\\/B000\\/XXXX%2Fyyyy\"}",
            "XXXX/yyyy",
            "token=abcdef",
            "pass word",
            "pass%20word",
        ] {
            let redacted = redaction.redacted(echoed);
            for part in ["T000", "B000", "XXXX", "yyyy", "abcdef", "word"] {
                assert!(!redacted.contains(part), "{redacted}");
            }
        }
        assert_eq!(redaction.redacted("x is 1 at hooks.example"), "x is 1 at hooks.example");
    }

    #[test]
    fn only_the_query_of_an_endpoint_is_secret() {
        let redaction = Redaction::default().with_query("https://host/generate?key=of-the-address");
        assert_eq!(redaction.redacted("POST /generate?key=of-the-address"), "POST /generate?key=…");
    }

    #[test]
    fn a_cut_text_ends_before_the_secret() {
        let redaction = Redaction::default().with("s3cret-token");
        assert_eq!(redaction.redacted("who is s3cret-to"), "who is …");
        assert_eq!(redaction.redacted("who is s3c"), "who is s3c");
    }

    #[test]
    fn a_short_text_is_no_secret() {
        assert_eq!(Redaction::default().with("1").redacted("1 of 100"), "1 of 100");
    }

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        assert_eq!(shown_url("https://me:pw@host:1/path?key=x#y"), "https://host:1/path");
        assert_eq!(shown_url("http://host"), "http://host");
        assert_eq!(shown_url("hub.local?x"), "hub.local");
    }
}
