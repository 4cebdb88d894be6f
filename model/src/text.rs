//! Text from other programs and people, made safe to show.
//!
//! [`printable`] decides what a terminal, a log, a report or a CI system gets to see as it is. Everything that the
//! programs show passes it: at the edge that prints (`ops::terminal`), and in the formats of reports.
//!
//! [ops::terminal]: ../../ops/terminal/index.html

use std::borrow::Cow;
use std::fmt::Write;

/// What becomes of the line breaks of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineBreaks {
    /// For a value: it stays on its line.
    Escaped,
    /// For a text of several lines.
    Kept,
}

/// The text with every zero byte replaced: PostgreSQL keeps none, and what is stored is the same in every database.
pub fn without_zero_bytes(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether a character acts on its surroundings, or is invisible, instead of being shown: control characters, marks
/// that change the direction of writing, separators of lines, characters without width, and tags.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            // Zero-width characters, marks of direction, separators.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // Tags, and the variation selectors that can carry a hidden text. The first 16 choose the form of an emoji.
            | '\u{e0000}'..='\u{e0fff}')
}

/// The text with every [unprintable](is_unprintable) character escaped, as in `\u{202e}`.
///
/// A CI system reads commands from the output of its steps: `::error::` at the start of a line (GitHub), `##[error]` and
/// `##vso[...]` anywhere in it (GitHub, Azure, `TeamCity`). One character of them is escaped, too. A joiner within an emoji
/// stays. The result is the same when it passes again.
pub fn printable(text: &str, breaks: LineBreaks) -> Cow<'_, str> {
    // ASCII without line breaks and colons is most of what is shown.
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b':' && byte != b'#';
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut is_line_start = true;
    for (at, c) in text.char_indices() {
        let rest = &text[at..];
        let is_command = (is_line_start && rest.starts_with("::")) || is_bracket_command(rest);
        if is_kept(c, text, at, breaks) && !is_command {
            shown.push(c);
            is_line_start = c == '\n' || (is_line_start && c.is_whitespace());
        } else {
            escape(c, &mut shown);
            is_line_start = false;
        }
    }
    Cow::Owned(shown)
}

/// [`printable`] on one line, of at most `max_chars` characters. No escape is cut.
pub fn plain(text: &str, max_chars: usize) -> String {
    // An escape is longer than its character.
    let start = text.char_indices().nth(max_chars).map_or(text, |(end, _)| &text[..end]);
    let shown = printable(start, LineBreaks::Escaped);
    let Some((end, _)) = shown.char_indices().nth(max_chars) else { return shown.into_owned() };
    let cut = &shown[..end];
    let open = cut.rfind('\\').filter(|at| is_open_escape(&cut[*at..]));
    // A joiner that was within an emoji is none at the end.
    cut[..open.unwrap_or(end)].trim_end_matches('\u{200d}').to_owned()
}

/// A JSON document with the unprintable characters of its strings escaped, as in `\u202e`. Its value is the same.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let is_acting = |c: char| is_unprintable(c) && !matches!(c, '\n' | '\r' | '\t');
    if !json.contains(is_acting) && !json.contains("##") {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len());
    for (at, c) in json.char_indices() {
        if is_acting(c) || is_bracket_command(&json[at..]) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String can't fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

fn is_kept(c: char, text: &str, at: usize, breaks: LineBreaks) -> bool {
    match c {
        '\n' => breaks == LineBreaks::Kept,
        '\u{200d}' => {
            let (before, after) = (&text[..at], &text[at + c.len_utf8()..]);
            before.ends_with(is_pictograph) && after.starts_with(is_pictograph)
        }
        c => !is_unprintable(c),
    }
}

/// The characters that emoji are joined of: arrows, symbols, pictographs, and the selector of their form.
fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{21ff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}')
}

/// Whether the text starts with `##[`, `##vso[` or the like.
fn is_bracket_command(text: &str) -> bool {
    text.strip_prefix("##").is_some_and(|rest| {
        rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).starts_with('[')
    })
}

fn escape(c: char, shown: &mut String) {
    match c {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        // Writing to a String can't fail.
        c => drop(write!(shown, "\\u{{{:x}}}", u32::from(c))),
    }
}

/// Whether a text that starts with `\` is the start of an escape.
fn is_open_escape(text: &str) -> bool {
    match text.strip_prefix("\\u{") {
        Some(digits) => digits.len() < 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => matches!(text, "\\" | "\\u"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> Cow<'_, str> {
        printable(text, LineBreaks::Escaped)
    }

    fn lines(text: &str) -> Cow<'_, str> {
        printable(text, LineBreaks::Kept)
    }

    #[test]
    fn unprintable_characters_are_escaped() {
        assert_eq!(line("a\u{1b}[2J\u{202e}b\r\n\tc"), "a\\u{1b}[2J\\u{202e}b\\r\\n\\tc");
        for c in "\u{0}\u{7f}\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202d}\
                  \u{2060}\u{2066}\u{2069}\u{feff}\u{e0001}\u{e0041}\u{e0100}"
            .chars()
        {
            assert_eq!(line(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
        assert_eq!(
            line("Größe, مرحبا, 日本, ✔️, $ \\ \" :: #1"),
            "Größe, مرحبا, 日本, ✔️, $ \\ \" :: #1"
        );
    }

    #[test]
    fn line_breaks_are_kept_only_where_they_are_wanted() {
        assert_eq!(lines("a\nb\r\n"), "a\nb\\r\n");
    }

    #[test]
    fn commands_of_a_ci_system_are_broken() {
        assert_eq!(line("::error::x"), "\\u{3a}:error::x");
        assert_eq!(line("a\n::error::x"), "a\\n::error::x");
        assert_eq!(lines("a\n \u{a0}::error::x"), "a\n \u{a0}\\u{3a}:error::x");
        assert_eq!(line("a ##[error]x ##vso[task.x]"), "a \\u{23}#[error]x \\u{23}#vso[task.x]");
        assert_eq!(lines("std::vec, a::b, ## [x]"), "std::vec, a::b, ## [x]");
    }

    #[test]
    fn an_emoji_stays_whole() {
        let emoji = "\u{1f9d1}\u{200d}\u{1f680} \u{1f468}\u{1f3fd}\u{200d}\u{2764}\u{fe0f}\u{200d}\u{1f468}";
        assert_eq!(line(emoji), emoji);
    }

    #[test]
    fn a_text_is_cut_between_escapes() {
        assert_eq!(plain("äöü", 2), "äö");
        assert_eq!(plain("a\u{202e}b", 9), "a\\u{202e}");
        assert_eq!(plain("a\u{202e}b", 8), "a");
        assert_eq!(plain("a\nb", 2), "a");
        assert_eq!(plain("\u{1f9d1}\u{200d}\u{1f680}\u{1b}", 2), "\u{1f9d1}");
        assert_eq!(plain("C:\\dir", 4), "C:\\d");
    }

    #[test]
    fn json_keeps_its_value() {
        let json = "{\n  \"a\u{202e}\": \"##[error]\u{e0041}\u{9b}\"\n}";
        assert_eq!(
            printable_json(json),
            "{\n  \"a\\u202e\": \"\\u0023#[error]\\udb40\\udc41\\u009b\"\n}"
        );
    }

    proptest! {
        #[test]
        fn what_is_shown_neither_acts_nor_commands(text in any::<String>(), hidden in "[a:#\\[\u{202e}\u{200d}\u{1f600} \n\r\t]{0,20}") {
            for text in [text.as_str(), hidden.as_str(), &format!("{hidden}::{text}")] {
                let (one, many) = (line(text), lines(text));
                prop_assert!(!one.chars().any(char::is_control));
                prop_assert!(!many.chars().any(|c| c.is_control() && c != '\n'));
                for line in one.lines().chain(many.lines()) {
                    prop_assert!(!line.trim_start().starts_with("::") && !line.contains("##["), "{line:?}");
                }
                prop_assert_eq!(line(&one), one.as_ref());
                prop_assert_eq!(lines(&many), many.as_ref());
                let cut = plain(text, 10);
                prop_assert!(cut.chars().count() <= 10);
                prop_assert_eq!(line(&cut), cut.as_str());
            }
        }
    }
}
