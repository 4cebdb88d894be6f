//! The harness of the scenarios: runs the real binaries in folders of their own, and reads what they wrote.
//!
//! The binaries are those that `cargo test --workspace` built: controller and agent have integration tests of their
//! own, so that they exist.

pub mod collector;
pub mod hub;
pub mod kills;
pub mod s3;
pub mod sagemaker;
pub mod serving;
pub mod waiting;
mod samples;

pub use samples::{Row, read};

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A program of this workspace.
///
/// # Panics
/// Where it wasn't built.
pub fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a program has a path");
    // Tests lie in target/release/deps, programs in target/release.
    let folder = this.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    let program = folder.expect("programs lie in folders").join(name);
    assert!(program.is_file(), "{} is missing: cargo build --release", program.display());
    program
}

/// A shared library of this workspace.
///
/// # Panics
/// Where it wasn't built.
pub fn library(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().expect("tests lie in target/release/deps");
    let library = folder.join(format!("lib{name}.so"));
    assert!(
        library.is_file(),
        "{} is missing: cargo test --workspace builds it",
        library.display()
    );
    library
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A folder of its own for one scenario.
#[derive(Debug)]
pub struct Workspace(TempDir);

impl Default for Workspace {
    fn default() -> Self {
        Self(TempDir::new().expect("a folder can be made"))
    }
}

impl Workspace {
    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file into it.
    ///
    /// # Panics
    /// Where it can't.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a file can be written");
        path
    }

    /// `controller` with these arguments, in this folder.
    pub fn controller(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("controller"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        command
    }

    /// `agent` with these arguments, in this folder.
    pub fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("agent"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs `controller` to its end.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(&mut self.controller(arguments))
    }

    /// Starts `agent` in this folder and leaves it running.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn start_agent(&self, arguments: &[&str]) -> Running {
        let mut command = Command::new(program("agent"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        Running::of(&mut command)
    }

    /// Starts `controller` and leaves it running.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::of(&mut self.controller(arguments))
    }

    /// results.json, checked against the committed schema.
    ///
    /// # Panics
    /// Where it isn't there or isn't JSON.
    pub fn results(&self, name: &str) -> Value {
        let text = std::fs::read_to_string(self.path(name)).expect("results are there");
        serde_json::from_str(&text).expect("results are JSON")
    }

    /// The samples beside results.json.
    ///
    /// # Panics
    /// Where they aren't there.
    pub fn samples(&self, results: &str) -> Vec<Row> {
        read(&self.path(results).with_extension("samples.parquet"))
    }
}

/// A program that ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Finished {
    /// Runs a program to its end.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn of(command: &mut Command) -> Self {
        let output: Output = command.output().expect("it starts");
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Itself, if it ended with `code`.
    ///
    /// # Panics
    /// Where it ended otherwise, with all that it said.
    #[must_use]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
    heard: String,
}

impl Running {
    /// Starts a program.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn of(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let lines = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, lines, heard: String::new() }
    }

    /// Reads its standard error up to a line that holds `text`, and returns the line.
    ///
    /// # Panics
    /// Where it ends before.
    pub fn until(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("it speaks UTF-8");
            assert!(read > 0, "it ended before it said \"{text}\":\n{}", self.heard);
            self.heard.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends it a signal, by name.
    ///
    /// # Panics
    /// Where there is no kill program.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// The processes that it started.
    pub fn children(&self) -> Vec<u32> {
        children_of(self.child.id())
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it can't be waited for.
    pub fn finish(mut self) -> Finished {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("it speaks UTF-8");
        self.heard.push_str(&rest);
        let output = self.child.wait_with_output().expect("it ends");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        Finished { code: output.status.code(), out, err: self.heard }
    }
}

/// The processes that a process started; none where it is gone.
pub fn children_of(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    found
}

/// Sends a signal to a process, by name.
///
/// # Panics
/// Where there is no kill program.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill is there").success());
}
