//! `controller certs`: creates and renews certificates.

use crate::cli::{self, CertsCommand};
use fleet::identity::authority::{AGENT, Authority, CA, Validity, certificate_file, key_file};
use ops::{clock::Clock, terminal};
use std::path::Path;

pub(super) fn run(options: &cli::Certs) -> anyhow::Result<()> {
    let now = Clock::System.now();
    match &options.command {
        CertsCommand::Init { place, hosts } => {
            let validity = Validity { now, days: place.days };
            let authority = Authority::make(&place.dir, now)?;
            let hosts = authority.controller(hosts, validity)?;
            authority.agent(AGENT, validity)?;
            terminal::result(&controllers(&place.dir, &hosts, place.days))?;
            terminal::result(&agents(&place.dir, AGENT, place.days))?;
        }
        CertsCommand::Controller { place, hosts } => {
            let validity = Validity { now, days: place.days };
            let hosts = Authority::read(&place.dir)?.controller(hosts, validity)?;
            terminal::result(&controllers(&place.dir, &hosts, place.days))?;
        }
        CertsCommand::Agent { name, place } => {
            Authority::read(&place.dir)?.agent(name, Validity { now, days: place.days })?;
            terminal::result(&agents(&place.dir, name, place.days))?;
        }
    }
    Ok(())
}

fn controllers(folder: &Path, hosts: &[String], days: u32) -> String {
    format!(
        "controller: {} for {}, valid for {days} days\n  controller run MATRIX --listen 0.0.0.0:7437 --certs {}",
        certificate_file(folder, "controller").display(),
        hosts.join(", "),
        folder.display()
    )
}

fn agents(folder: &Path, name: &str, days: u32) -> String {
    let [ca, certificate] = [CA, name].map(|name| certificate_file(folder, name));
    let key = key_file(folder, name);
    let (ca, certificate, key) = (ca.display(), certificate.display(), key.display());
    format!(
        "agent {name}: valid for {days} days; copy these three files to its instance, but not {}\n  \
         agent join --controller https://HOST:7437 --ca {ca} --cert {certificate} --key {key}",
        key_file(folder, CA).display()
    )
}
