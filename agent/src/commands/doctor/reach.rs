//! What `agent doctor` sees of what an agent must reach.

use super::Options;
use crate::controller_client::{Identity, TokenSource, greet};
use crate::doctor::{Certificate, Controller, Source};
use crate::model_source::{self, Kind};
use model::finding::Lifetime;
use ops::clock::Clock;
use ops::error_chain;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;
use stopwatch::Stopwatch;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How often the controller is dialled.
const DIALS: usize = 5;
/// How long a dial may take.
const DIAL_WITHIN: Duration = Duration::from_secs(3);
/// How long its greeting may take.
const GREETING_WITHIN: Duration = Duration::from_secs(10);

/// Seconds since 1970, by which certificates are valid.
pub(super) fn now_s() -> i64 {
    Clock::System.now().timestamp()
}

pub(super) fn controller(url: &str, options: &Options) -> Controller {
    let connect = dial(url);
    let greeting = connect.is_ok().then(|| greeting(url, options));
    Controller { url: url.to_owned(), connect, greeting }
}

/// Connects a few times; nothing is said, so that no controller takes this for an agent.
fn dial(url: &str) -> Result<Duration, String> {
    let stopwatch = Stopwatch::start();
    let (scheme, rest) = url.split_once("://").ok_or("give it as http://HOST:PORT")?;
    let place = rest.split('/').next().unwrap_or(rest);
    let port = if scheme == "https" { ":443" } else { ":80" };
    let place = if place.contains(':') { place.to_owned() } else { format!("{place}{port}") };
    let mut addresses = place.to_socket_addrs().map_err(|error| error.to_string())?;
    let address = addresses.next().ok_or("its name has no address")?;
    let mut times = Vec::new();
    for _ in 0..DIALS {
        let start = stopwatch.now_ns();
        TcpStream::connect_timeout(&address, DIAL_WITHIN).map_err(|error| error.to_string())?;
        times.push(stopwatch.now_ns() - start);
    }
    times.sort_unstable();
    Ok(Duration::from_nanos(times[times.len() / 2]))
}

/// Shakes hands and asks whether it serves the fleet. Nobody joins, so a token isn't tried.
fn greeting(url: &str, options: &Options) -> Result<(), String> {
    let identity = Identity {
        token: TokenSource::None,
        ca: options.ca.clone(),
        certificate: options.cert.clone().zip(options.key.clone()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let greeted = tokio::time::timeout(GREETING_WITHIN, greet(url, &identity)).await;
        greeted.map_err(|_| format!("no greeting within {} s", GREETING_WITHIN.as_secs()))?
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
    let der = CertificateDer::from_pem_file(path).map_err(|error| error.to_string())?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| "it is no certificate")?;
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
