//! Build script of both programs: the commit for `--version`, from `FLEETMARK_COMMIT` or from Git.

#![expect(clippy::disallowed_methods, reason = "cargo sets the environment")]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=FLEETMARK_COMMIT");
    // Without Git and the variable, as in a source archive, the version stands alone.
    let commit = std::env::var("FLEETMARK_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = commit.or_else(of_git);
    let version = env!("CARGO_PKG_VERSION");
    let shown = match commit {
        Some(commit) => format!("{version} ({})", commit.chars().take(12).collect::<String>()),
        None => version.to_owned(),
    };
    println!("cargo::rustc-env=FLEETMARK_VERSION={shown}");
}

fn of_git() -> Option<String> {
    // Only where the sources are a repository of their own, not a copy within another one.
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    // HEAD changes with the branch; its log changes with every commit.
    for file in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", file])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
