//! The programs under test, built by this process before its first use of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A program of this workspace, as fresh as its sources.
///
/// # Panics
/// If the workspace doesn't build.
pub fn program(name: &str) -> PathBuf {
    built().join(name)
}

/// A shared library of this workspace, as fresh as its sources.
///
/// # Panics
/// If the workspace doesn't build.
pub fn library(name: &str) -> PathBuf {
    built().join(format!("lib{name}.so"))
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    root().join(path)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the repository")
}

/// Builds the workspace once per process, in the profile and target directory of this executable.
///
/// All members are built together, since the features of shared dependencies depend on the selection:
/// `cargo test --workspace` has compiled the same ones.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = output_folder();
        let profile = folder.file_name().expect("it is named after the profile");
        let profile = if profile == "debug" { "dev".as_ref() } else { profile };
        let target = folder.parent().expect("it is a folder of the target directory");
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .current_dir(root())
            .args(["build", "--workspace", "--quiet", "--profile"])
            .arg(profile);
        cargo.arg("--target-dir").arg(target);
        let output = cargo.output().expect("cargo starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the workspace doesn't build:\n{errors}");
        folder
    })
}

/// `target/PROFILE`: tests run in its subfolder `deps`, other executables in the folder itself.
fn output_folder() -> PathBuf {
    let this = std::env::current_exe().expect("the system knows this executable");
    let folder = this.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    folder.expect("an executable is in a folder").to_owned()
}
