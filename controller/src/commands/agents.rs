//! `controller agents`: tokens and revocations of agents.

use crate::cli::{self, AgentsCommand};
use anyhow::{Context, bail};
use fleet::identity::{
    GivenToken, Hash, RevokedCertificates, Roster, Token, authority::check_name,
};
use ops::{clock::Clock, terminal};
use std::{io::ErrorKind, path::Path, time::Duration};
use store::{CredentialKind, CredentialRow, Store, Which};

pub(super) async fn run(options: &cli::Agents) -> anyhow::Result<()> {
    let now = Clock::System.now();
    match &options.command {
        AgentsCommand::Add { name, output, data_dir } => {
            check_name(name)?;
            let file = output.clone().unwrap_or_else(|| format!("{name}.token").into());
            let store = super::store(data_dir).await?;
            let token = Token::make().context("failed to read random bytes")?;
            match token.create(&file) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    bail!("{} already exists: choose another file with --output", file.display())
                }
                created => created.with_context(|| format!("can't write {}", file.display()))?,
            }
            store.add_token(name, &token.hash().digits(), now).await?;
            terminal::result(&format!(
                "{}: copy it to the instance of {name}\n  \
                 agent join --controller https://HOST:7437 --ca ca.pem --token-file {}",
                file.display(),
                file.display()
            ))?;
            store.close().await;
        }
        AgentsCommand::Revoke { name, keep_latest, data_dir } => {
            check_name(name)?;
            let store = open_existing(data_dir).await?;
            let which = if *keep_latest { Which::AllButLatest } else { Which::All };
            let tokens = store.revoke(name, which, now).await?;
            if which == Which::All {
                // Certificates have a resolution of one second. A later one must be newer than this
                // revocation.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let count = if tokens == 1 { "1 token".to_owned() } else { format!("{tokens} tokens") };
            terminal::result(&match which {
                Which::All => format!(
                    "revoked: {count} of {name}, and all certificates issued to {name} so far"
                ),
                Which::AllButLatest => {
                    format!("revoked: {count} of {name}; the latest remains valid")
                }
            })?;
            store.close().await;
        }
        AgentsCommand::List { data_dir } => {
            let store = open_existing(data_dir).await?;
            terminal::result(&list(&store.credentials().await?))?;
            store.close().await;
        }
    }
    Ok(())
}

async fn open_existing(data_dir: &Path) -> anyhow::Result<Store> {
    if super::database_url().is_none() && !data_dir.exists() {
        bail!("no data folder {}: set --data-dir", data_dir.display());
    }
    super::store(data_dir).await
}

fn list(rows: &[CredentialRow]) -> String {
    if rows.is_empty() {
        return "no agent has its own token, and nothing is revoked: controller agents add NAME"
            .to_owned();
    }
    let time = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let line = |row: &CredentialRow| match (row.kind, row.revoked_at) {
        (CredentialKind::Token, None) => {
            format!("{:<24} token         given {}", row.name, time(row.issued_at))
        }
        (CredentialKind::Token, Some(at)) => format!(
            "{:<24} token         given {}, revoked {}",
            row.name,
            time(row.issued_at),
            time(at)
        ),
        (CredentialKind::Certificate, at) => format!(
            "{:<24} certificates  issued before {} revoked",
            row.name,
            time(at.unwrap_or(row.issued_at))
        ),
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The credentials for the fleet's listener.
pub(super) fn roster(rows: Vec<CredentialRow>) -> Result<Roster, store::Error> {
    let mut roster = Roster::default();
    for row in rows {
        match row.kind {
            CredentialKind::Token => roster.tokens.push(GivenToken {
                name: row.name,
                hash: Hash::of_digits(&row.sha256)
                    .ok_or(store::Error::Damaged { what: "credential.sha256" })?,
                is_revoked: row.revoked_at.is_some(),
            }),
            CredentialKind::Certificate => roster.certificates.push(RevokedCertificates {
                name: row.name,
                at: row.revoked_at.unwrap_or(row.issued_at),
            }),
        }
    }
    Ok(roster)
}
