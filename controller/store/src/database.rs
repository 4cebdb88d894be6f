//! One way to both databases: statements with numbered values, rows by column name, transactions.
//!
//! SQLite and PostgreSQL read the same statements and the same schema; what differs between them stands here.

use super::sqlite_file::Log;
use super::{Error, Place, Url, migrations};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Decode, PgPool, Postgres, Row, SqlSafeStr, Sqlite, SqlitePool,
    Type,
};
use std::{path::Path, str::FromStr, sync::Arc, time::Duration};
use tokio_stream::StreamExt;

/// A connection. There is one: the store has one writer, and a lock of PostgreSQL lives as long as its connection.
#[derive(Debug, Clone)]
pub(super) enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Int(i64),
    MaybeInt(Option<i64>),
    MaybeReal(Option<f64>),
    Text(&'a str),
    MaybeText(Option<&'a str>),
    MaybeBytes(Option<&'a [u8]>),
}

/// Numbers of agents and times stay far below 2^63; what doesn't is cut off there.
pub(super) fn int<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A row of either database.
#[derive(Debug)]
pub(super) enum Record<'a> {
    Sqlite(&'a SqliteRow),
    Postgres(&'a PgRow),
}

impl Record<'_> {
    pub(super) fn get<T>(&self, column: &'static str) -> Result<T, Error>
    where
        T: Type<Sqlite>
            + Type<Postgres>
            + for<'r> Decode<'r, Sqlite>
            + for<'r> Decode<'r, Postgres>,
    {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

/// Binds values one after the other.
macro_rules! bound {
    ($sql:expr, $values:expr) => {
        $values.iter().fold(sqlx::query($sql), |query, value| match *value {
            Value::Int(number) => query.bind(number),
            Value::MaybeInt(number) => query.bind(number),
            Value::MaybeReal(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::MaybeText(text) => query.bind(text),
            Value::MaybeBytes(bytes) => query.bind(bytes),
        })
    };
}

impl Database {
    /// Opens a SQLite database and brings its schema up to date; creates the file if it is missing.
    pub(super) async fn open_sqlite(folder: &Path, log: Log) -> Result<Self, Error> {
        let path = folder.join(super::FILE);
        let open = |source| Error::Open { path: path.clone(), source };
        std::fs::create_dir_all(folder).map_err(|error| open(sqlx::Error::Io(error)))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is on disk when it returns: samples are acknowledged after it.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            // Threads that read and take rows change places less often.
            .row_buffer_size(ROWS_AHEAD)
            // How long a statement takes is nobody's trouble who reads a log.
            .disable_statement_logging();
        let opened = SqlitePoolOptions::new()
            .max_connections(1)
            // With its only connection, SQLite deletes its log, which is how a deleted database is noticed.
            .idle_timeout(None)
            .max_lifetime(None)
            // A caller that gives up while the connection is tested would close it.
            .test_before_acquire(false)
            .after_connect(move |_, _| {
                log.forget();
                Box::pin(std::future::ready(Ok(())))
            })
            .connect_with(options)
            .await;
        // A lock is no fault of the folder.
        let pool = opened.map_err(|source| match Error::from(source) {
            Error::Database(source) => open(source),
            known => known,
        })?;
        let migrated = migrations::all().run(&pool).await;
        migrated.map_err(|source| schema(path.display().to_string(), source))?;
        Ok(Self::Sqlite(pool))
    }

    pub(super) fn server_options(url: &Url) -> Result<PgConnectOptions, Error> {
        let options = PgConnectOptions::from_str(&url.0).map_err(|_| Error::Url)?;
        Ok(options.disable_statement_logging())
    }

    /// Brings the schema up to date.
    pub(super) async fn open_postgres(place: &Place, url: &Url) -> Result<Self, Error> {
        let unreachable = |source| Error::Server { server: place.to_string(), source };
        let options = Self::server_options(url)?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            // The campaign's lock goes with its connection, so it is never closed for being old or idle.
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(BUSY)
            .connect_with(options)
            .await
            .map_err(unreachable)?;
        let migrated = migrations::all().run(&pool).await;
        migrated.map_err(|source| schema(place.to_string(), source))?;
        Ok(Self::Postgres(pool))
    }

    /// Moves the rows of SQLite's log into the database, without waiting for readers.
    pub(super) async fn checkpoint(&self) -> Result<(), Error> {
        if let Self::Sqlite(pool) = self {
            sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(pool).await?;
        }
        Ok(())
    }

    /// Writes a copy of a SQLite database.
    pub(super) async fn copy_to(&self, path: &Path) -> Result<(), Error> {
        if let Self::Sqlite(pool) = self {
            let path = path.to_string_lossy().into_owned();
            sqlx::query("VACUUM INTO ?").bind(path).execute(pool).await?;
        }
        Ok(())
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// Reads rows one by one, so that a campaign of millions of samples is never held twice.
    pub(super) async fn rows<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&Record<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        self.each(sql, values, |row| read(row).map(|row| all.push(row))).await?;
        Ok(all)
    }

    pub(super) async fn each(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        mut take: impl FnMut(&Record<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self {
            Self::Sqlite(pool) => {
                let mut rows = bound!(sql, values).fetch(pool);
                while let Some(row) = rows.next().await {
                    take(&Record::Sqlite(&row?))?;
                }
            }
            Self::Postgres(pool) => {
                let mut rows = bound!(sql, values).fetch(pool);
                while let Some(row) = rows.next().await {
                    take(&Record::Postgres(&row?))?;
                }
            }
        }
        Ok(())
    }

    /// Begins a transaction that writes. SQLite takes its lock at once, so that waiting for another writer works.
    pub(super) async fn begin(&self) -> Result<Transaction, Error> {
        Ok(match self {
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Transaction::Postgres(pool.begin().await?),
        })
    }
}

/// So many rows are read before they are taken.
const ROWS_AHEAD: usize = 256;

/// How long another writer is waited for.
const BUSY: Duration = Duration::from_secs(10);

fn schema(place: String, source: sqlx::migrate::MigrateError) -> Error {
    match source {
        sqlx::migrate::MigrateError::Execute(error) => match Error::from(error) {
            Error::Database(error) => {
                Error::Schema { place, source: sqlx::migrate::MigrateError::Execute(error) }
            }
            known => known,
        },
        source => Error::Schema { place, source },
    }
}

/// A transaction; dropping it takes everything back.
#[derive(Debug)]
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Transaction {
    /// Returns how many rows it changed.
    pub(super) async fn execute(
        &mut self,
        sql: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<u64, Error> {
        Ok(match self {
            Self::Sqlite(transaction) => {
                bound!(sql, values).execute(&mut **transaction).await?.rows_affected()
            }
            Self::Postgres(transaction) => {
                bound!(sql, values).execute(&mut **transaction).await?.rows_affected()
            }
        })
    }

    /// The one row of a query.
    pub(super) async fn row<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&Record<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Self::Sqlite(transaction) => {
                let row = bound!(sql, values).fetch_one(&mut **transaction).await?;
                read(&Record::Sqlite(&row))
            }
            Self::Postgres(transaction) => {
                let row = bound!(sql, values).fetch_one(&mut **transaction).await?;
                read(&Record::Postgres(&row))
            }
        }
    }

    /// Inserts many rows: `into` names the table and its columns, `values` holds the rows one after the other.
    pub(super) async fn insert(
        &mut self,
        into: &str,
        columns: usize,
        mut values: &[Value<'_>],
    ) -> Result<(), Error> {
        while !values.is_empty() {
            // By powers of two, so that few statements are prepared, and each is used again.
            let rows = 1 << (values.len() / columns).min(MAX_VALUES / columns).ilog2();
            let (now, later) = values.split_at(rows * columns);
            let sql = insertion(into, columns, rows, matches!(self, Self::Postgres(_)));
            self.execute(AssertSqlSafe(sql), now).await?;
            values = later;
        }
        Ok(())
    }

    pub(super) async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await?,
            Self::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }
}

/// So many values go into one statement. SQLite takes 32,766, PostgreSQL twice as many; beyond a few thousand nothing
/// is won.
const MAX_VALUES: usize = 8_192;

/// SQLite's values have no numbers here: it looks for the name of each among all names of the statement, so that time
/// would grow with the square.
fn insertion(into: &str, columns: usize, rows: usize, is_numbered: bool) -> Arc<str> {
    use std::fmt::Write as _;
    let mut sql = String::with_capacity(into.len() + rows * columns * 7 + rows * 4);
    sql.push_str(into);
    sql.push_str(" VALUES ");
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { "), (" });
        for column in 0..columns {
            let comma = if column == 0 { "" } else { ", " };
            // Writing to a String can't fail.
            let _ = if is_numbered {
                write!(sql, "{comma}${}", row * columns + column + 1)
            } else {
                write!(sql, "{comma}?")
            };
        }
    }
    sql.push(')');
    sql.into()
}

/// Where a file or a server is, without its secrets.
pub(super) fn name_of(url: &str) -> Result<String, Error> {
    let options = PgConnectOptions::from_str(url).map_err(|_| Error::Url)?;
    let database = options.get_database().unwrap_or_default();
    Ok(format!("PostgreSQL {}:{}/{database}", options.get_host(), options.get_port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insertion_has_a_place_for_each_value() {
        let of = |is_numbered| insertion("INSERT INTO t (a, b)", 2, 2, is_numbered);
        assert_eq!(&*of(true), "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)");
        assert_eq!(&*of(false), "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)");
    }

    #[test]
    fn a_server_is_named_without_its_password() {
        let name = name_of("postgres://me:secret@db.example:5433/bench").unwrap();
        assert_eq!(name, "PostgreSQL db.example:5433/bench");
    }
}
