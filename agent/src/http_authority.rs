//! Where a server is, by its address.

use hyper::Uri;

/// How and where to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Over TLS.
    pub is_tls: bool,
    /// A name, or an address without the brackets that those of IPv6 have in URLs.
    pub host: String,
    /// The scheme's standard one where none is given.
    pub port: u16,
    /// Whether it is the scheme's standard one.
    pub has_standard_port: bool,
}

impl Origin {
    /// Null for what is neither `http` nor `https`, and where no host is given.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_from_its_address() {
        let of = |text: &str| {
            let origin = Origin::of(&text.parse().ok()?)?;
            Some((origin.is_tls, origin.host, origin.port, origin.has_standard_port))
        };
        assert_eq!(
            of("https://bench.example"),
            Some((true, "bench.example".to_owned(), 443, true))
        );
        assert_eq!(of("http://[::1]:7437/x"), Some((false, "::1".to_owned(), 7437, false)));
        assert_eq!(of("ftp://bench.example"), None);
        assert_eq!(of("bench.example"), None);
    }
}
