//! Characters -> tokens.

use super::Error;

/// A token and its line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: u32,
}

/// The kinds of tokens.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Names, opcodes with their modifiers, registers, directives and labels.
    Word(String),
    /// Integers.
    Integer(u64),
    /// The bits of an f32.
    Single(u32),
    /// The bits of an f64.
    Double(u64),
    /// A text in quotes.
    Text,
    Sign(char),
}

/// All tokens of a text, without comments, `.loc`, `.file` and `.section`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '\0' {
            break;
        }
        let used = if first == '\n' {
            line += 1;
            1
        } else if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("//") {
            until(rest, '\n')
        } else if rest.starts_with("/*") {
            let end = rest.find("*/").ok_or_else(|| Error::new(line, "a comment has no end"))? + 2;
            line += lines(&rest[..end]);
            end
        } else if first == '"' {
            let end = rest[1..].find('"').ok_or_else(|| Error::new(line, "a text has no end"))? + 2;
            found.push(Token { kind: Kind::Text, line });
            end
        } else if first.is_ascii_digit() {
            let used = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.');
            let used = used.unwrap_or(rest.len());
            found.push(Token { kind: number(&rest[..used], line)?, line });
            used
        } else if is_name(first) {
            let used = rest.find(|c: char| !is_name(c) && !c.is_ascii_digit() && c != ':');
            let mut used = used.unwrap_or(rest.len());
            // A label's colon isn't part of its name; `::` is part of an opcode's.
            while rest[..used].ends_with(':') {
                used -= 1;
            }
            let word = &rest[..used];
            let (word, used) = match word.find(':').filter(|at| !word[*at..].starts_with("::")) {
                Some(at) => (&word[..at], at),
                None => (word, used),
            };
            if [".loc", ".file", ".section"].contains(&word) {
                until(rest, '\n')
            } else {
                found.push(Token { kind: Kind::Word(word.to_owned()), line });
                used
            }
        } else if ",;:{}()[]+-@!|<>=".contains(first) {
            found.push(Token { kind: Kind::Sign(first), line });
            1
        } else {
            return Err(Error::new(line, format!("unexpected character `{first}`")));
        };
        rest = &rest[used..];
    }
    Ok(found)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphabetic() || "_$%.".contains(c)
}

fn until(text: &str, end: char) -> usize {
    text.find(end).unwrap_or(text.len())
}

fn lines(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX)
}

fn number(text: &str, line: u32) -> Result<Kind, Error> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches('u');
    let parsed = if let Some(bits) = lower.strip_prefix("0f").filter(|bits| bits.len() == 8) {
        u32::from_str_radix(bits, 16).ok().map(Kind::Single)
    } else if let Some(bits) = lower.strip_prefix("0d").filter(|bits| bits.len() == 16) {
        u64::from_str_radix(bits, 16).ok().map(Kind::Double)
    } else if let Some(hex) = digits.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok().map(Kind::Integer)
    } else if digits.contains('.') {
        // Only `.version` has them; registers of f64 take bits.
        digits.parse().ok().map(|value: f64| Kind::Double(value.to_bits()))
    } else {
        digits.parse().ok().map(Kind::Integer)
    };
    parsed.ok_or_else(|| Error::new(line, format!("`{text}` is not a number")))
}
