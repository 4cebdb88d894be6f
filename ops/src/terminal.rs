//! The terminal: the only code that prints.
//!
//! Results go to standard output, everything else to standard error. A result that can't be written is an error:
//! its reader would take a cut output for a whole one. A note that can't be written is dropped.

use crate::error_chain;
use std::error::Error as StdError;
use std::io::{self, IsTerminal, Write};

/// Standard output can't be written, such as on a full disk.
#[derive(Debug, thiserror::Error)]
#[error("can't write to standard output")]
pub struct Error(#[from] io::Error);

/// Prints a result, which ends with exactly one newline.
///
/// # Errors
/// [`Error`], except that a closed pipe (`| head`) counts as success.
pub fn result(text: &str) -> Result<(), Error> {
    print(&mut io::stdout().lock(), text)
}

fn print(out: &mut impl Write, text: &str) -> Result<(), Error> {
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Prints a line that is no result: progress, or a hint.
pub fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Prints a line of the log. On a terminal it replaces a progress bar, which is drawn again below it.
pub(crate) fn log(line: &[u8]) {
    let mut out = io::stderr().lock();
    if is_watched() {
        drop(out.write_all(b"\r\x1b[2K"));
    }
    drop(out.write_all(line));
}

/// Prints an error and its causes, one a line.
pub fn error(error: &anyhow::Error) {
    note(&format!("error: {}", with_causes(error.as_ref())));
}

/// Prints an error that doesn't fail the command, and its causes.
pub fn warning(error: &anyhow::Error) {
    note(&format!("warning: {}", with_causes(error.as_ref())));
}

fn with_causes(error: &(dyn StdError + 'static)) -> String {
    error_chain::lines(error).join("\n  caused by: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_result_ends_with_one_newline() {
        let mut out = Vec::new();
        print(&mut out, "a\nb\n\n").unwrap();
        assert_eq!(out, b"a\nb\n");
    }

    #[test]
    fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() {
        let error = print(&mut Failing(io::ErrorKind::StorageFull), "x").unwrap_err();
        assert!(with_causes(&error).starts_with("can't write to standard output\n  caused by: "));
        print(&mut Failing(io::ErrorKind::BrokenPipe), "x").unwrap();
    }
}
