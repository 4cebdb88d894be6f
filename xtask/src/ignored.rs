//! Ignored tests: those that need a server or data from outside. A script starts the server and runs
//! this task.

use crate::process;
use anyhow::{bail, ensure};

/// Runs the ignored tests whose names contain the filter. All packages are selected, so that nothing
/// is built twice.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let Some((filter, more)) = arguments.split_first() else {
        bail!(
            "no filter given: for example, cargo xtask ignored s3:: --release --test integration"
        );
    };
    let mut command = process::cargo();
    command.args(["test", "--workspace"]).args(more).args(["--", "--ignored", filter]);
    let mut passed = 0;
    process::lines(&mut command, |line| {
        passed += passed_by(line);
        println!("{line}");
    })?;
    ensure!(passed > 0, "no ignored test has a name that contains `{filter}`");
    Ok(())
}

/// The number in `test result: ok. N passed; ...`, and 0 for any other line.
fn passed_by(line: &str) -> u32 {
    let rest = line.strip_prefix("test result: ok. ");
    rest.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::passed_by;

    #[test]
    fn passed_tests_are_counted_from_the_summary() {
        let line = "test result: ok. 10 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out";
        assert_eq!(passed_by(line), 10);
        assert_eq!(passed_by("test s3::results ... ok"), 0);
    }
}
