//! Processes: run to their end, or started, watched and signaled.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

/// A process that ended.
#[derive(Debug)]
pub struct Finished {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Finished {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it doesn't start.
    pub fn of(command: &mut Command) -> Self {
        let output: Output = command.output().expect("the program starts");
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Checks the exit code.
    ///
    /// # Panics
    /// If it differs; the message holds all output.
    #[must_use]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

/// A running process whose standard error is read.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: BufReader<ChildStderr>,
    read: String,
}

/// How an agent joins, as the controller prints it.
#[derive(Debug, Clone)]
pub struct JoinCommand {
    pub controller: String,
    pub token_file: String,
}

impl Running {
    /// Starts a command.
    ///
    /// # Panics
    /// If it doesn't start.
    pub fn of(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, lines, read: String::new() }
    }

    /// Reads standard error up to a line that contains `text`, and returns the line.
    ///
    /// # Panics
    /// If the process ends first.
    pub fn until(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("standard error is UTF-8");
            assert!(read > 0, "the process ended before printing \"{text}\":\n{}", self.read);
            self.read.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Reads standard error up to the line to paste on agents' machines.
    ///
    /// # Panics
    /// If the process ends first.
    pub fn join_command(&mut self) -> JoinCommand {
        let line = self.until("agent join");
        JoinCommand {
            controller: option(&line, "--controller"),
            token_file: option(&line, "--token-file"),
        }
    }

    /// Sends a signal, by name.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn children(&self) -> Vec<u32> {
        children_of(self.id())
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If the output isn't UTF-8.
    pub fn finish(mut self) -> Finished {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("standard error is UTF-8");
        self.read.push_str(&rest);
        let output = self.child.wait_with_output().expect("the process can be waited for");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        Finished { code: output.status.code(), out, err: self.read }
    }
}

/// The word after an option of a printed command line.
///
/// # Panics
/// If the line lacks it.
pub fn option(line: &str, name: &str) -> String {
    let mut words = line.split_whitespace().skip_while(|word| *word != name);
    words.nth(1).unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
}

/// The children of a process; none if it has ended.
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
/// If the process has ended.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill is installed").success());
}
