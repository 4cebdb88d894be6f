//! The only code that prints. Results go to standard output, everything about the way there to standard error.

use ops::logs::Terminal;
use std::io::{IsTerminal, Write};

/// Prints a result.
pub fn result(text: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe (`| head`) is the reader's wish, not an error.
    drop(writeln!(out, "{}", text.trim_end()));
}

/// Prints a line about the way there.
pub fn say(text: &str) {
    let mut out = std::io::stderr().lock();
    drop(writeln!(out, "{text}"));
}

/// Where the log goes.
pub fn for_logs() -> Terminal {
    Terminal { print: log, is_watched: is_watched() }
}

/// A whole line of the log. On a terminal it takes the place of a bar, which is drawn again below.
fn log(line: &[u8]) {
    let mut out = std::io::stderr().lock();
    if is_watched() {
        drop(out.write_all(b"\r\x1b[2K"));
    }
    drop(out.write_all(line));
}

/// Whether a person watches standard error.
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// An error and its causes, one a line.
pub fn error(error: &anyhow::Error) {
    failure("error", error);
}

/// The same for what fails nothing else.
pub fn warning(error: &anyhow::Error) {
    failure("warning", error);
}

fn failure(kind: &str, error: &anyhow::Error) {
    let mut text = format!("{kind}: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // A cause that its error already tells adds nothing.
        if !text.contains(&cause) {
            text.push_str("\n  because: ");
            text.push_str(&cause);
        }
    }
    say(&text);
}

/// What clap has to say: help to standard output, errors to standard error.
pub fn usage(message: &clap::Error) {
    let text = message.render().to_string();
    if message.use_stderr() { say(text.trim_end()) } else { result(&text) }
}

/// The program itself is at fault.
pub fn bug(what: &str) {
    say(&format!("error: this is a bug in controller: {what}"));
}
