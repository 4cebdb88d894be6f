//! Agents' signatures over their samples, in and out.

use super::database::{Record, Transaction, Value, int};
use super::read::number;
use super::{CampaignNo, Error, Store};
use records::SignatureRow;

pub(super) async fn insert(
    transaction: &mut Transaction,
    campaign: CampaignNo,
    row: &SignatureRow,
) -> Result<(), Error> {
    let sql = "INSERT INTO signature (campaign, attempt, agent, certificate, salt, digest, signature) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = [
        Value::Int(campaign.0),
        Value::Int(int(row.attempt)),
        Value::Int(int(row.agent)),
        Value::MaybeBytes(Some(&row.certificate)),
        Value::MaybeBytes(row.salt.as_ref().map(<[u8; 32]>::as_slice)),
        Value::MaybeBytes(Some(&row.digest)),
        Value::MaybeBytes(Some(&row.signature)),
    ];
    transaction.execute(sql, &values).await.map(drop)
}

impl Store {
    /// The signatures of agents, by attempt.
    pub async fn signatures(&self, campaign: CampaignNo) -> Result<Vec<SignatureRow>, Error> {
        let signature = |row: &Record<'_>| {
            let hash = |what: &'static str| {
                let bytes: Vec<u8> = row.get(what)?;
                <[u8; 32]>::try_from(bytes).map_err(|_| Error::Damaged { what })
            };
            Ok(SignatureRow {
                attempt: number(row, "attempt")?,
                agent: number(row, "agent")?,
                certificate: row.get("certificate")?,
                salt: Some(hash("salt")?),
                digest: hash("digest")?,
                signature: row.get("signature")?,
            })
        };
        let sql = "SELECT * FROM signature WHERE campaign = $1 ORDER BY attempt";
        self.database.rows(sql, &[Value::Int(campaign.0)], signature).await
    }
}
