//! Which column holds what.

use super::error::Error;
use super::rows::Place;

const SUMMARY: &str = "summary";

/// Names of columns, as the matrix gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Tells dialogues apart; default `id`.
    pub id: String,
    /// The text to be summarized; default `dialogue`.
    pub dialogue: String,
    /// The reference summary; default `summary`, which may be missing. A column of another name must be
    /// there, or it wouldn't have been named.
    pub summary: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self { id: "id".to_owned(), dialogue: "dialogue".to_owned(), summary: SUMMARY.to_owned() }
    }
}

/// Where the columns stand in a file's header.
pub(super) struct Positions {
    pub(super) id: usize,
    pub(super) dialogue: usize,
    pub(super) summary: Option<usize>,
}

impl Columns {
    /// Finds the columns among the `found` names of `place`.
    pub(super) fn find(
        &self,
        file: &str,
        place: Place,
        found: &[String],
    ) -> Result<Positions, Error> {
        let position = |role: &'static str, column: &str| {
            let mut hits = (0..found.len()).filter(|i| found[*i] == column);
            match (hits.next(), hits.next()) {
                (Some(at), None) => Ok(at),
                (Some(_), Some(_)) => {
                    Err(Error::DuplicateColumn { file: file.to_owned(), column: column.to_owned() })
                }
                (None, _) => Err(Error::MissingColumn {
                    file: file.to_owned(),
                    place,
                    role,
                    column: column.to_owned(),
                    found: found.to_vec(),
                }),
            }
        };
        let summary = match position("summary", &self.summary) {
            Err(Error::MissingColumn { .. }) if self.summary == SUMMARY => None,
            other => Some(other?),
        };
        Ok(Positions {
            id: position("id", &self.id)?,
            dialogue: position("dialogue", &self.dialogue)?,
            summary,
        })
    }
}
