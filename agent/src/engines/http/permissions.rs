//! What an agent's operator lets endpoints have. A matrix comes from the controller: it may name any variable of this
//! machine's environment and any address.

use super::Error;
use crate::http_authority::HttpAuthority;
use hyper::Uri;
use model::endpoint::{Endpoint, Place};
use ops::secret::shown_url;
use std::collections::BTreeSet;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    /// The environment variables that may be sent as headers.
    pub variables: BTreeSet<String>,
    /// Whether dialogues and headers may be sent as plain text over a network.
    pub allows_plain_http: bool,
}

impl Permissions {
    /// Checks an endpoint before any variable is read. The AWS credentials of a `SageMaker` endpoint sign requests to an
    /// address of this machine's own configuration, and are never sent themselves.
    pub(super) fn check(&self, place: Place<'_>, endpoint: &Endpoint) -> Result<(), Error> {
        let named: BTreeSet<&String> = endpoint.headers.values().collect();
        let refused = named.into_iter().filter(|name| !self.variables.contains(*name));
        let refused: Vec<String> = refused.cloned().collect();
        if !refused.is_empty() {
            return Err(Error::Forbidden { variables: refused });
        }
        let Place::Url(address) = place else { return Ok(()) };
        let authority_of =
            |address: &str| address.parse::<Uri>().ok().and_then(|uri| HttpAuthority::of(&uri));
        let authority = authority_of(address);
        if let Some(metrics) = &endpoint.metrics_url {
            let host = authority_of(metrics).map(|authority| authority.host);
            if host.is_none() || host != authority.as_ref().map(|authority| authority.host.clone())
            {
                return Err(Error::MetricsHost { address: shown_url(metrics) });
            }
        }
        match authority {
            Some(authority)
                if !authority.is_tls && !authority.is_loopback() && !self.allows_plain_http =>
            {
                Err(Error::PlainHttp { address: shown_url(address) })
            }
            _ => Ok(()),
        }
    }
}
