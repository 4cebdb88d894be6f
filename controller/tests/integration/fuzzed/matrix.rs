//! Any text as a matrix, and what is planned from it.

use matrix::plan::Plan;
use matrix::{Matrix, Overrides};
use std::path::Path;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Matrix::check(text, "matrix.toml", Path::new("/folder"), &Overrides::default()) {
        Err(problems) => assert!(!problems.to_string().is_empty(), "a problem has words"),
        Ok(matrix) => {
            if let Ok(plan) = Plan::make(&matrix, 8) {
                assert!(!plan.shards.is_empty(), "a plan asks for something");
            }
        }
    }
}
