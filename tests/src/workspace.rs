//! A temporary folder per scenario, and the programs that run in it.

use crate::{Finished, Row, Running, program, samples};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A temporary folder, removed at the end of the scenario.
#[derive(Debug)]
pub struct Workspace(TempDir);

impl Default for Workspace {
    fn default() -> Self {
        Self(TempDir::new().expect("a folder can be created"))
    }
}

impl Workspace {
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    ///
    /// # Panics
    /// If that fails.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a file can be written");
        path
    }

    /// `controller` with these arguments, in this folder.
    pub fn controller(&self, arguments: &[&str]) -> Command {
        self.command("controller", arguments)
    }

    /// `agent` with these arguments, in this folder.
    pub fn agent(&self, arguments: &[&str]) -> Command {
        self.command("agent", arguments)
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(name));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs `controller` to its end.
    ///
    /// # Panics
    /// If it doesn't start.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(&mut self.controller(arguments))
    }

    /// Starts `controller`.
    ///
    /// # Panics
    /// If it doesn't start.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::of(&mut self.controller(arguments))
    }

    /// Starts `agent`.
    ///
    /// # Panics
    /// If it doesn't start.
    pub fn start_agent(&self, arguments: &[&str]) -> Running {
        Running::of(&mut self.agent(arguments))
    }

    /// A file of results.
    ///
    /// # Panics
    /// If it is missing or isn't JSON.
    pub fn results(&self, name: &str) -> Value {
        let text = std::fs::read_to_string(self.path(name)).expect("results are written");
        serde_json::from_str(&text).expect("results are JSON")
    }

    /// The samples beside a file of results.
    ///
    /// # Panics
    /// If they are missing.
    pub fn samples(&self, results: &str) -> Vec<Row> {
        samples::read(&self.path(results).with_extension("samples.parquet"))
    }
}
