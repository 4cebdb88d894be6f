//! Agents' tokens as hashes, and what was revoked. They belong to the data folder, not to one campaign.

use super::database::{Record, Value};
use super::{Error, Store};
use chrono::{DateTime, SecondsFormat, Utc};
use model::words;

words!(
    CredentialKind, "credential", {
        /// Kept as its hash.
        Token = "token",
        /// All certificates of a name, up to when they were revoked.
        Certificate = "certificate",
    }
);

/// A token that was given, or certificates that were revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRow {
    pub name: String,
    pub kind: CredentialKind,
    /// Of a token, as hexadecimal digits; empty for certificates.
    pub sha256: String,
    pub issued_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Which tokens of a name are revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All tokens, and all certificates that were made until now.
    All,
    /// All tokens but the one that was given last.
    AllButLatest,
}

impl Store {
    /// All credentials, by name and time.
    pub async fn credentials(&self) -> Result<Vec<CredentialRow>, Error> {
        let sql = "SELECT name, kind, sha256, issued_at, revoked_at FROM credential \
                   ORDER BY name, issued_at, kind, sha256";
        self.database.rows(sql, &[], credential).await
    }

    /// Records a token that is given to an agent, by its hash.
    pub async fn add_token(
        &self,
        name: &str,
        sha256: &str,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let at = stamp(at);
        let sql =
            "INSERT INTO credential (name, kind, sha256, issued_at) VALUES ($1, 'token', $2, $3)";
        let mut transaction = self.database.begin().await?;
        let values = [Value::Text(name), Value::Text(sha256), Value::Text(&at)];
        transaction.execute(sql, &values).await?;
        transaction.commit().await
    }

    /// Takes tokens of a name back, and with [`Which::All`] every certificate that was made for it until now.
    /// Returns how many tokens were taken back.
    pub async fn revoke(&self, name: &str, which: Which, at: DateTime<Utc>) -> Result<u64, Error> {
        let at = stamp(at);
        let mut transaction = self.database.begin().await?;
        let latest: String = match which {
            Which::All => String::new(),
            Which::AllButLatest => {
                let sql = "SELECT COALESCE((SELECT sha256 FROM credential \
                           WHERE name = $1 AND kind = 'token' \
                           ORDER BY issued_at DESC LIMIT 1), '') AS latest";
                transaction.row(sql, &[Value::Text(name)], |row| row.get("latest")).await?
            }
        };
        let sql = "UPDATE credential SET revoked_at = $2 \
                   WHERE name = $1 AND kind = 'token' AND revoked_at IS NULL AND sha256 <> $3";
        let values = [Value::Text(name), Value::Text(&at), Value::Text(&latest)];
        let revoked = transaction.execute(sql, &values).await?;
        if which == Which::All {
            let sql = "INSERT INTO credential (name, kind, sha256, issued_at, revoked_at) \
                       VALUES ($1, 'certificate', '', $2, $2) \
                       ON CONFLICT (name, kind, sha256) DO UPDATE SET revoked_at = excluded.revoked_at";
            transaction.execute(sql, &values[..2]).await?;
        }
        transaction.commit().await?;
        Ok(revoked)
    }
}

/// Texts of times sort as the times do: all have the same length.
fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn credential(row: &Record<'_>) -> Result<CredentialRow, Error> {
    let time = |text: &str| {
        DateTime::parse_from_rfc3339(text)
            .map(|at| at.to_utc())
            .map_err(|_| Error::Damaged { what: "credential.issued_at" })
    };
    let kind: String = row.get("kind")?;
    let issued_at: String = row.get("issued_at")?;
    let revoked_at: Option<String> = row.get("revoked_at")?;
    Ok(CredentialRow {
        name: row.get("name")?,
        kind: kind.parse().map_err(|_| Error::Damaged { what: "credential.kind" })?,
        sha256: row.get("sha256")?,
        issued_at: time(&issued_at)?,
        revoked_at: revoked_at.as_deref().map(time).transpose()?,
    })
}
