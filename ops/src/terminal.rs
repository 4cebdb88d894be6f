//! The terminal: the only code that prints.
//!
//! Results go to standard output, everything else to standard error. A result that can't be written is an error:
//! its reader would take a cut output for a whole one. A note that can't be written is dropped.
//!
//! Texts contain names and messages of other programs, so all of them pass [`printable`]: no control sequence, mark of
//! direction or command of a CI system reaches the terminal. Only what is made here or for programs is printed as it
//! is: the colors of the log and of [`highlighted`], and what [`document`] takes.

use crate::{environment, error_chain};
use model::text::{LineBreaks, printable, printable_json};
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use tracing::Level;

/// Clears the line of a progress bar.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// Standard output can't be written, such as on a full disk.
#[derive(Debug, thiserror::Error)]
#[error("can't write to standard output")]
pub struct Error(#[from] io::Error);

/// Prints a result for people, of one or more lines. It ends with exactly one newline.
///
/// # Errors
/// [`Error`], except that a closed pipe (`| head`) counts as success.
pub fn result(text: &str) -> Result<(), Error> {
    document(&shown(text))
}

/// Prints a result as JSON. Its value is kept exactly; characters that would act on a terminal are escaped within its
/// strings.
///
/// # Errors
/// As of [`result`].
pub fn json(text: &str) -> Result<(), Error> {
    document(&printable_json(text))
}

/// Prints a text as it is: a file, a script, or commands for a CI system, whose format has escaped what it contains.
///
/// # Errors
/// As of [`result`].
pub fn document(text: &str) -> Result<(), Error> {
    print(&mut io::stdout().lock(), text)
}

/// Prints a result that begins with `lead`. On a terminal with colors, `lead` is bold and the words have their color.
///
/// # Errors
/// As [`result`].
pub fn highlighted(lead: &str, text: &str, words: &[(&str, Color)]) -> Result<(), Error> {
    let is_terminal = io::stdout().is_terminal();
    let (lead, text) = (shown(lead), shown(text));
    if !has_colors(is_terminal, &|name| environment::variable(name)) {
        return document(&text);
    }
    document(&colored(&lead, &text, words))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    Yellow,
    Red,
}

/// See <https://no-color.org>.
fn has_colors(is_terminal: bool, variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    is_terminal && !is_set("NO_COLOR") && variable("TERM").is_none_or(|term| term != "dumb")
}

fn colored(lead: &str, text: &str, words: &[(&str, Color)]) -> String {
    let (lead, rest) = match text.strip_prefix(lead) {
        Some(rest) if !lead.is_empty() => (format!("\x1b[1m{lead}\x1b[0m"), rest),
        _ => (String::new(), text),
    };
    let color = |text: String, (word, color): &(&str, Color)| {
        let code = match color {
            Color::Yellow => 33,
            Color::Red => 31,
        };
        text.replace(word, &format!("\x1b[{code}m{word}\x1b[0m"))
    };
    lead + &words.iter().fold(rest.to_owned(), color)
}

fn shown(text: &str) -> Cow<'_, str> {
    printable(text, LineBreaks::Kept)
}

fn print(out: &mut impl Write, text: &str) -> Result<(), Error> {
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Prints lines that are no result: progress, or a hint.
pub fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{}", shown(text)));
}

/// A value of another program or a path within a line: it doesn't break the line.
pub fn value(value: impl Display) -> String {
    printable(&value.to_string(), LineBreaks::Escaped).into_owned()
}

/// The width for standard output, in columns: `COLUMNS`, or that of the terminal; none where it goes elsewhere.
pub fn width() -> Option<usize> {
    let given = environment::variable("COLUMNS").and_then(|columns| columns.parse().ok());
    if let Some(columns) = given.filter(|columns| *columns > 0) {
        return Some(columns);
    }
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    // A pseudo-terminal without a size reports 0.
    (size.ws_col > 0).then(|| size.ws_col.into())
}

pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Prints a line of the log as text. On a terminal its level is colored, and it replaces a progress bar, which is drawn
/// again below it.
pub(crate) fn log(level: Level, line: &str) {
    let line = log_line(level, line, is_watched());
    drop(io::stderr().lock().write_all(line.as_bytes()));
}

/// The same for a line of JSON, whose level is one of its fields.
pub(crate) fn json_log(line: &str) {
    let start = if is_watched() { CLEAR_LINE } else { "" };
    drop(write!(io::stderr().lock(), "{start}{}", printable_json(line)));
}

fn log_line(level: Level, line: &str, is_watched: bool) -> String {
    let line = printable(line.trim_end_matches('\n'), LineBreaks::Escaped);
    if !is_watched {
        return format!("{level:>5} {line}\n");
    }
    let color = match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    };
    format!("{CLEAR_LINE}\x1b[{color}m{level:>5}\x1b[0m {line}\n")
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

    const HOSTILE: &str = "::error::x\u{1b}[2J\n::error::y\u{202e} ##[error]z";

    #[test]
    fn a_text_of_another_program_is_shown_escaped() {
        assert_eq!(
            shown(HOSTILE),
            "\\u{3a}:error::x\\u{1b}[2J\n\\u{3a}:error::y\\u{202e} \\u{23}#[error]z"
        );
        assert_eq!(value("a\nb\u{2028}"), "a\\nb\\u{2028}");
        let error = anyhow::anyhow!("{HOSTILE}").context("can't read it");
        assert!(!shown(&with_causes(error.as_ref())).contains(['\u{1b}', '\u{202e}']));
    }

    #[test]
    fn only_the_level_of_a_log_line_is_colored() {
        assert_eq!(
            log_line(Level::WARN, "a\nb\u{1b}[31m\u{2028}\n", false),
            " WARN a\\nb\\u{1b}[31m\\u{2028}\n"
        );
        assert_eq!(
            log_line(Level::ERROR, "\u{1b}[8mx", true),
            "\r\x1b[2K\x1b[31mERROR\x1b[0m \\u{1b}[8mx\n"
        );
    }

    #[test]
    fn colors_need_a_terminal_that_has_them_and_a_user_who_wants_them() {
        let has = |is_terminal, variables: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            has_colors(is_terminal, &variable)
        };
        assert!(has(true, &[("TERM", "xterm"), ("NO_COLOR", "")]));
        assert!(!has(false, &[("TERM", "xterm")]));
        assert!(!has(true, &[("TERM", "dumb")]));
        assert!(!has(true, &[("NO_COLOR", "1")]));
    }

    #[test]
    fn the_lead_is_bold_and_words_have_their_color() {
        let text = colored("answer", "answer\nBAD", &[("BAD", Color::Red)]);
        assert_eq!(text, "\x1b[1manswer\x1b[0m\n\x1b[31mBAD\x1b[0m");
    }

    #[test]
    fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() {
        let error = print(&mut Failing(io::ErrorKind::StorageFull), "x").unwrap_err();
        assert!(with_causes(&error).starts_with("can't write to standard output\n  caused by: "));
        print(&mut Failing(io::ErrorKind::BrokenPipe), "x").unwrap();
    }
}
