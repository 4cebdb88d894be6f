//! `controller doctor`: checks this machine and the requirements of a matrix.

mod machine;
mod needs;

use super::read_matrix;
use crate::cli;
use crate::doctor::{self, Facts};
use matrix::Overrides;
use model::finding::{Status, table};
use ops::{program::Exit, terminal};
use serde_json::json;

pub(super) async fn run(options: &cli::Doctor) -> anyhow::Result<Exit> {
    let matrix = match &options.matrix {
        Some(path) => Some(read_matrix(path, &Overrides::default())?.matrix),
        None => None,
    };
    let needed = match &matrix {
        Some(matrix) => Some(Box::pin(needs::check(matrix)).await),
        None => None,
    };
    let facts = Facts {
        clock: machine::clock(),
        folder: machine::folder(&options.data_dir),
        database: machine::database(&options.data_dir).await,
        listen: machine::listen(options.listen),
        certificates: machine::certificates(options),
        agent: machine::agent(),
        needed,
    };
    let findings = doctor::findings(&facts);
    if options.json {
        let matrix = matrix.as_ref().map(|matrix| matrix.name.as_str());
        terminal::json(&json!({ "matrix": matrix, "findings": findings }).to_string())?;
    } else {
        terminal::result(&table(&findings))?;
    }
    let has_trouble = findings.iter().any(|finding| finding.status == Status::Trouble);
    Ok(if has_trouble { Exit::Failed } else { Exit::Ok })
}
