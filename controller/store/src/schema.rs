//! How far a database's schema is, without changing it: opening a store brings it up to date.

use super::{Error, FILE, Place, database::Database, migrations};
use sqlx::{Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};

/// Versions of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// Of the database; null where it has none yet.
    pub found: Option<i64>,
    /// The newest that this program knows.
    pub known: i64,
}

impl Schema {
    /// Looks at the database of a place.
    pub async fn of(place: &Place) -> Result<Self, Error> {
        let found = match place {
            Place::Folder(folder) if !folder.join(FILE).exists() => None,
            Place::Folder(folder) => {
                let path = folder.join(FILE);
                let options = SqliteConnectOptions::new().filename(&path).read_only(true);
                let opened = SqliteConnection::connect_with(&options).await;
                let mut connection =
                    opened.map_err(|source| Error::Open { path: path.clone(), source })?;
                let has = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
                let has: i64 = sqlx::query_scalar(has).fetch_one(&mut connection).await?;
                if has == 0 {
                    None
                } else {
                    sqlx::query_scalar(NEWEST).fetch_one(&mut connection).await?
                }
            }
            Place::Server { url, .. } => {
                let opened = PgConnection::connect_with(&Database::server_options(url)?).await;
                let unreachable = |source| Error::Server { server: place.to_string(), source };
                let mut connection = opened.map_err(unreachable)?;
                let has = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
                let has: bool = sqlx::query_scalar(has).fetch_one(&mut connection).await?;
                if has {
                    sqlx::query_scalar(NEWEST).fetch_one(&mut connection).await?
                } else {
                    None
                }
            }
        };
        Ok(Self { found, known: migrations::newest() })
    }
}

const NEWEST: &str = "SELECT max(version) FROM _sqlx_migrations";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[tokio::test]
    async fn looking_at_a_database_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Folder(folder.path().to_owned());
        let known = migrations::newest();
        assert_eq!(Schema::of(&place).await.unwrap(), Schema { found: None, known });
        assert!(!folder.path().join(FILE).exists());

        Store::open(&place).await.unwrap().close().await;
        assert_eq!(Schema::of(&place).await.unwrap(), Schema { found: Some(known), known });
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "not a database, but long enough").unwrap();
        assert!(Schema::of(&Place::Folder(folder.path().to_owned())).await.is_err());
    }
}
