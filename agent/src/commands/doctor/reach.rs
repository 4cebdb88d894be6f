//! Collects observations of the controller, certificates and model sources.

use super::Options;
use crate::controller_client::{Identity, TokenSource, check_controller};
use crate::doctor::{Certificate, Controller, Source};
use crate::model_source::{self, Kind};
use model::finding::Lifetime;
use ops::{error_chain, input_file};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;
use stopwatch::Stopwatch;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Connection attempts; the median is reported.
const DIALS: usize = 5;
const DIAL_WITHIN: Duration = Duration::from_secs(3);
const GREETING_WITHIN: Duration = Duration::from_secs(10);

pub(super) fn controller(url: &str, options: &Options) -> Controller {
    let connect = dial(url);
    let greeting = connect.is_ok().then(|| greeting(url, options));
    Controller { url: url.to_owned(), connect, greeting }
}

/// Connects several times without sending anything, so that the controller does not count an agent.
fn dial(url: &str) -> Result<Duration, String> {
    let stopwatch = Stopwatch::start();
    let (scheme, rest) = url.split_once("://").ok_or("expected http://HOST:PORT")?;
    let place = rest.split('/').next().unwrap_or(rest);
    let port = if scheme == "https" { ":443" } else { ":80" };
    let place = if place.contains(':') { place.to_owned() } else { format!("{place}{port}") };
    let mut addresses = place.to_socket_addrs().map_err(|error| error.to_string())?;
    let address = addresses.next().ok_or("the host name has no address")?;
    let mut times = Vec::new();
    for _ in 0..DIALS {
        let start = stopwatch.now_ns();
        TcpStream::connect_timeout(&address, DIAL_WITHIN).map_err(|error| error.to_string())?;
        times.push(stopwatch.now_ns() - start);
    }
    times.sort_unstable();
    Ok(Duration::from_nanos(times[times.len() / 2]))
}

/// Completes the TLS handshake and queries the health service. The agent does not join, so a token
/// is not checked.
fn greeting(url: &str, options: &Options) -> Result<(), String> {
    let identity = Identity {
        token: TokenSource::None,
        ca: options.ca.clone(),
        certificate: options.cert.clone().zip(options.key.clone()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let greeted = tokio::time::timeout(GREETING_WITHIN, check_controller(url, &identity)).await;
        greeted.map_err(|_| format!("no response within {} s", GREETING_WITHIN.as_secs()))?
    })
}

pub(super) fn certificates(options: &Options) -> Vec<Certificate> {
    let named = [("--ca", &options.ca), ("--cert", &options.cert)];
    let one = |(option, path): (&str, &Option<_>)| {
        let path: &std::path::PathBuf = path.as_ref()?;
        Some(Certificate {
            which: format!("{option} {}", path.display()),
            lifetime: lifetime(path),
        })
    };
    named.into_iter().filter_map(one).collect()
}

fn lifetime(path: &Path) -> Result<Lifetime, String> {
    let text = input_file::read(path).map_err(|error| error.to_string())?;
    let der = CertificateDer::from_pem_slice(&text).map_err(|error| error.to_string())?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| "not a certificate")?;
    let validity = parsed.validity();
    Ok(Lifetime {
        from_s: validity.not_before.timestamp(),
        until_s: validity.not_after.timestamp(),
    })
}

pub(super) fn sources(options: &Options) -> Vec<Source> {
    let named = [
        (Kind::Model, &options.model),
        (Kind::Adapter, &options.adapter),
        (Kind::Tokenizer, &options.tokenizer),
    ];
    let one = |(kind, name): (Kind, &Option<String>)| {
        let name = name.as_ref()?;
        let found = model_source::reach(name, kind).map_err(|error| error_chain::one_line(&error));
        Some(Source { what: kind.as_str(), name: name.clone(), found })
    };
    named.into_iter().filter_map(one).collect()
}
