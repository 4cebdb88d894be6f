//! Golden plans of all example matrices.

use std::path::Path;
use std::process::Command;

#[test]
fn the_plans_of_the_examples_are_unchanged() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut matrices: Vec<_> = std::fs::read_dir(&examples)
        .expect("examples/ exists")
        .map(|entry| entry.expect("it is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter(|path| !path.file_name().is_some_and(|name| is_traffic(&name.to_string_lossy())))
        .collect();
    matrices.sort();
    assert!(matrices.len() >= 2);
    for matrix in matrices {
        let output = Command::new(env!("CARGO_BIN_EXE_controller"))
            .arg("plan")
            .arg(&matrix)
            .output()
            .expect("the binary is built");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", matrix.display());
        let name = matrix.file_stem().expect("it has a name").to_string_lossy().into_owned();
        // Prices age without a change of the plan.
        let plan = String::from_utf8_lossy(&output.stdout).replace(", older than 180 days", "");
        insta::assert_snapshot!(name, plan);
    }
}

/// A traffic file of `controller decide`.
fn is_traffic(name: &str) -> bool {
    name.starts_with("traffic-")
}
