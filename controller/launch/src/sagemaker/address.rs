//! Whether SageMaker's instances can reach a controller under the address that it was given.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// How agents of other machines dial a controller: `https://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerUrl(String);

/// Why nobody on an instance can dial it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not `https://HOST:PORT`.
    #[error("expected https://HOST:PORT, as controller run prints it")]
    Form,
    /// Secrets and dialogues would travel in the open.
    #[error(
        "agents of other machines dial https:// only: make certificates with controller certs init --host HOST, \
         and listen with controller run --listen 0.0.0.0:7437"
    )]
    Plain,
    /// The instance itself.
    #[error(
        "this is loopback, on an instance the instance itself: give a name or address by which it reaches this \
         machine, and one that the certificate has (controller certs init --host)"
    )]
    Loopback,
    /// `0.0.0.0` is listened on, not dialled.
    #[error("nobody can dial this address: give a name or address of this machine")]
    Unspecified,
    /// An address of a private network, dialled from outside of it.
    #[error(
        "this address is of a private network, which jobs reach only from within: give --subnets and --security-groups"
    )]
    Private,
}

impl ControllerUrl {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host, without a port.
    fn host(&self) -> &str {
        let rest = self.0.strip_prefix("https://").unwrap_or(&self.0);
        host_of(rest).unwrap_or(rest)
    }

    /// Whether it can be dialled by a job outside of any VPC.
    ///
    /// # Errors
    /// [`Error::Private`].
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

/// The host of `HOST:PORT`, `[HOST]:PORT` or either without a port; null where it is none.
fn host_of(place: &str) -> Option<&str> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            (&place[..end + 2], &rest[end + 1..])
        }
        None => place.find(':').map_or((place, ""), |at| place.split_at(at)),
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
        let place = rest.strip_suffix('/').unwrap_or(rest);
        let host = host_of(place).ok_or(Error::Form)?;
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
        Ok(Self(format!("https://{place}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_instance_can_dial_is_taken() {
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
    fn a_private_address_is_dialled_from_within_its_network() {
        let check = |text: &str| text.parse::<ControllerUrl>().unwrap().check_public();
        for text in ["https://10.0.0.5:7437", "https://192.168.1.2:1", "https://[fd00::1]:1"] {
            assert_eq!(check(text), Err(Error::Private), "{text}");
        }
        for text in ["https://203.0.113.7:7437", "https://bench.internal:7437"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }
}
