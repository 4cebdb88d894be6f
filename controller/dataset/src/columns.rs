//! `dataset.columns` of the matrix.

use super::error::Error;
use super::position::Position;

const ID: &str = "id";
const SUMMARY: &str = "summary";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Default `id`. Rows are numbered if the default column doesn't exist; any other is required.
    pub id: String,
    /// Default `dialogue`.
    pub dialogue: String,
    /// The reference summary; default `summary`. The default column is optional, any other is
    /// required.
    pub summary: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self { id: ID.to_owned(), dialogue: "dialogue".to_owned(), summary: SUMMARY.to_owned() }
    }
}

/// Indices of the columns in a header.
#[derive(Debug)]
pub(super) struct Positions {
    /// `None`: rows are numbered.
    pub(super) id: Option<usize>,
    pub(super) dialogue: usize,
    pub(super) summary: Option<usize>,
}

impl Columns {
    pub(super) fn find(
        &self,
        file: &str,
        position: Position,
        found: &[String],
    ) -> Result<Positions, Error> {
        let index_of = |role: &'static str, column: &str| {
            let mut hits = (0..found.len()).filter(|i| found[*i] == column);
            match (hits.next(), hits.next()) {
                (Some(at), None) => Ok(at),
                (Some(_), Some(_)) => {
                    Err(Error::DuplicateColumn { file: file.to_owned(), column: column.to_owned() })
                }
                (None, _) => Err(Error::MissingColumn {
                    file: file.to_owned(),
                    position,
                    role,
                    column: column.to_owned(),
                    found: found.to_vec(),
                }),
            }
        };
        let optional = |role, column: &str, default| match index_of(role, column) {
            Err(Error::MissingColumn { .. }) if column == default => Ok(None),
            other => other.map(Some),
        };
        Ok(Positions {
            dialogue: index_of("dialogue", &self.dialogue)?,
            id: optional("id", &self.id, ID)?,
            summary: optional("summary", &self.summary, SUMMARY)?,
        })
    }
}
