//! Controller URL -> whether SageMaker's instances can reach it. Pure.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// `https://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerUrl(String);

/// Why an instance can't reach the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("expected https://HOST:PORT, as printed by controller run")]
    Form,
    /// HTTP would transmit secrets and dialogues in plain text.
    #[error(
        "remote agents require https://: create certificates with controller certs init --host HOST, and \
         use controller run --listen 0.0.0.0:7437"
    )]
    Plain,
    #[error(
        "a loopback address is the instance itself: use a name or address of this machine that is in the \
         certificate (controller certs init --host)"
    )]
    Loopback,
    /// Such as `0.0.0.0`.
    #[error("not a reachable address: use a name or address of this machine")]
    Unspecified,
    #[error(
        "a private address is only reachable within its network: set --subnets and --security-groups"
    )]
    Private,
}

impl ControllerUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn host(&self) -> &str {
        let rest = self.0.strip_prefix("https://").unwrap_or(&self.0);
        host_of(rest).unwrap_or(rest)
    }

    /// Checks that a job outside of any VPC can reach it.
    pub fn check_public(&self) -> Result<(), Error> {
        let is_private = match self.host().trim_matches(['[', ']']).parse() {
            Ok(IpAddr::V4(address)) => address.is_private() || address.is_link_local(),
            Ok(IpAddr::V6(address)) => is_local(address),
            Err(_) => false,
        };
        if is_private { Err(Error::Private) } else { Ok(()) }
    }
}

fn is_local(address: Ipv6Addr) -> bool {
    address.is_unique_local() || address.is_unicast_link_local()
}

/// The host of `HOST:PORT` or `[HOST]:PORT`; the port is optional.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            (&authority[..end + 2], &rest[end + 1..])
        }
        None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
    };
    let is_port =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    (is_port && !host.is_empty() && host.chars().all(is_plain)).then_some(host)
}

impl FromStr for ControllerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (scheme, rest) = text.split_once("://").ok_or(Error::Form)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let host = host_of(authority).ok_or(Error::Form)?;
        match scheme {
            "https" => {}
            "http" => return Err(Error::Plain),
            _ => return Err(Error::Form),
        }
        let bare = host.trim_matches(['[', ']']);
        match bare.parse::<IpAddr>() {
            Ok(address) if address.is_loopback() => return Err(Error::Loopback),
            Ok(address) if address.is_unspecified() => return Err(Error::Unspecified),
            Err(_) if host.starts_with('[') => return Err(Error::Form),
            Err(_) if bare == "localhost" || bare.ends_with(".localhost") => {
                return Err(Error::Loopback);
            }
            Ok(_) | Err(_) => {}
        }
        Ok(Self(format!("https://{authority}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_that_an_instance_can_reach_are_accepted() {
        let read = |text: &str| text.parse::<ControllerUrl>();
        assert_eq!(read("https://bench.example.com:7437/").unwrap().host(), "bench.example.com");
        assert_eq!(read("https://[2001:db8::1]:7437").unwrap().host(), "[2001:db8::1]");
        assert_eq!(read("https://203.0.113.7").unwrap().as_str(), "https://203.0.113.7");
        for text in ["bench.example.com:7437", "https://", "https://:7437", "ftp://a:1"] {
            assert_eq!(read(text), Err(Error::Form), "{text}");
        }
        for text in ["https://a:x", "https://a/b:1", "https://user@a:1", "https://[nine]:1"] {
            assert_eq!(read(text), Err(Error::Form), "{text}");
        }
        assert_eq!(read("http://bench.example.com:7437"), Err(Error::Plain));
        for text in ["https://127.0.0.1:7437", "https://localhost:7437", "https://[::1]:7437"] {
            assert_eq!(read(text), Err(Error::Loopback), "{text}");
        }
        assert_eq!(read("https://0.0.0.0:7437"), Err(Error::Unspecified));
    }

    #[test]
    fn a_private_address_is_not_reachable_from_outside() {
        let check = |text: &str| text.parse::<ControllerUrl>().unwrap().check_public();
        for text in ["https://10.0.0.5:7437", "https://192.168.1.2:1", "https://[fd00::1]:1"] {
            assert_eq!(check(text), Err(Error::Private), "{text}");
        }
        for text in ["https://203.0.113.7:7437", "https://bench.internal:7437"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }
}
