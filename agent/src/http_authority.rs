//! Host, port and TLS of a URL.

use hyper::Uri;
use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAuthority {
    pub is_tls: bool,
    /// Without the brackets of IPv6 addresses.
    pub host: String,
    /// Defaults to the scheme's standard port.
    pub port: u16,
    pub has_standard_port: bool,
}

impl HttpAuthority {
    /// `None` unless the scheme is `http` or `https` and there is a host.
    pub fn of(uri: &Uri) -> Option<Self> {
        let (is_tls, standard) = match uri.scheme_str()? {
            "https" => (true, 443),
            "http" => (false, 80),
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(standard);
        Some(Self { is_tls, host, port, has_standard_port: port == standard })
    }

    /// Whether it is this machine, by its address or as `localhost`.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_from_its_address() {
        let of = |text: &str| {
            let authority = HttpAuthority::of(&text.parse().ok()?)?;
            Some((authority.is_tls, authority.host, authority.port, authority.has_standard_port))
        };
        assert_eq!(
            of("https://bench.example"),
            Some((true, "bench.example".to_owned(), 443, true))
        );
        assert_eq!(of("http://[::1]:7437/x"), Some((false, "::1".to_owned(), 7437, false)));
        assert_eq!(of("ftp://bench.example"), None);
        let is_loopback =
            |text: &str| HttpAuthority::of(&text.parse().unwrap()).unwrap().is_loopback();
        assert!(
            ["http://localhost", "http://127.1.2.3:1", "http://[::1]:1"]
                .into_iter()
                .all(is_loopback)
        );
        assert!(
            !["http://127.0.0.1.example", "http://10.0.0.1", "http://[fe80::1]"]
                .into_iter()
                .any(is_loopback)
        );
        assert_eq!(of("bench.example"), None);
    }
}
