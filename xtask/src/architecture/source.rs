//! Rust sources as the rules see them: without comments, texts and tests, as words and paths.

/// A Rust file of a package.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Relative to the root of the repository.
    pub(super) path: String,
    pub(super) lines: usize,
    pub(super) is_test: bool,
    /// The text with comments, literals and `#[cfg(test)]` items blanked.
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let is_test_folder = |part: &str| ["tests", "benches", "examples"].contains(&part);
        let mut parts = path.split('/').collect::<Vec<_>>();
        let file = parts.pop().unwrap_or_default();
        let is_test = parts.into_iter().any(is_test_folder) || file == "tests.rs";
        let code = without_tests(&without_texts(text));
        Self { path: path.to_owned(), lines: text.lines().count(), is_test, code }
    }

    /// Identifiers and keywords, in order.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
    }

    /// Whether `path`, such as `std::io::stdout` or `Instant::now`, occurs as a whole.
    pub(super) fn mentions(&self, path: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        self.code.match_indices(path).any(|(at, _)| {
            !self.code[..at].ends_with(is_part)
                && !self.code[at + path.len()..].starts_with(is_part)
        })
    }

    /// Every path of a `use`, its braces expanded, and every other path that begins at `crate` or `super`.
    pub(super) fn paths(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        let mut rest = self.code.as_str();
        while let Some(at) = start_of_path(rest) {
            rest = &rest[at..];
            if let Some(tree) = rest.strip_prefix("use ") {
                let end = tree.find(';').unwrap_or(tree.len());
                expand(&tree[..end], &[], &mut found);
                rest = &tree[end..];
            } else {
                let is_end = |c: char| !c.is_alphanumeric() && c != '_' && c != ':';
                let end = rest.find(is_end).unwrap_or(rest.len());
                found.push(rest[..end].split("::").map(str::to_owned).collect());
                rest = &rest[end..];
            }
        }
        found
    }
}

/// The next `use `, `crate::` or `super::` at the start of a word.
fn start_of_path(text: &str) -> Option<usize> {
    let starts = ["use ", "crate::", "super::"].into_iter().filter_map(|start| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        text.match_indices(start).map(|(at, _)| at).find(|at| !text[..*at].ends_with(is_part))
    });
    starts.min()
}

/// `a::{b, c::{d, e}}` -> `a::b`, `a::c::d`, `a::c::e`.
fn expand(tree: &str, before: &[String], found: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let name = tree.split(" as ").next().unwrap_or(tree);
        let parts = name.split("::").map(|part| part.trim().to_owned());
        found.push(before.iter().cloned().chain(parts).collect());
        return;
    };
    let prefix = tree[..open].trim_end_matches(':').split("::").map(|part| part.trim().to_owned());
    let before: Vec<String> =
        before.iter().cloned().chain(prefix.filter(|part| !part.is_empty())).collect();
    let inner = &tree[open + 1..matching(tree, open).unwrap_or(tree.len())];
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&inner[start..at], &before, found);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        expand(&inner[start..], &before, found);
    }
}

/// The place of the brace that closes the one at `open`.
fn matching(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(open + at);
        }
    }
    None
}

/// Blanks items under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out += &rest[..at];
        let end = rest[at..].find([';', '{']).map_or(rest.len(), |end| at + end);
        let end = if rest[end..].starts_with('{') {
            matching(rest, end).unwrap_or(rest.len() - 1)
        } else {
            end
        };
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    out + rest
}

/// Blanks comments and the content of string and character literals; line breaks stay.
fn without_texts(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let length = literal(&bytes[at..], out.last().copied());
        if length == 0 {
            out.push(bytes[at]);
            at += 1;
        } else {
            let blanked = bytes[at..].iter().take(length);
            out.extend(blanked.map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
            at += length;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The length of the comment or literal at the start; 0 if there is none.
fn literal(text: &[u8], before: Option<u8>) -> usize {
    let until = |from: usize, end: &[u8]| {
        let rest = text.get(from..).unwrap_or_default();
        let found = rest.windows(end.len()).position(|window| window == end);
        found.map_or(text.len(), |found| from + found + end.len())
    };
    if text.starts_with(b"//") {
        return until(2, b"\n") - usize::from(text.contains(&b'\n'));
    }
    if text.starts_with(b"/*") {
        return until(2, b"*/");
    }
    let is_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if (text[0] == b'r' || text.starts_with(b"br")) && !is_word {
        let start = 1 + usize::from(text[0] == b'b');
        let hashes = text[start..].iter().take_while(|byte| **byte == b'#').count();
        if text.get(start + hashes) == Some(&b'"') {
            let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
            return until(start + hashes + 1, &end);
        }
    }
    if text[0] == b'"' {
        let mut at = 1;
        while at < text.len() && text[at] != b'"' {
            at += 1 + usize::from(text[at] == b'\\');
        }
        return (at + 1).min(text.len());
    }
    if text[0] == b'\'' {
        // A lifetime has no closing quote after its first character.
        let escaped = text.get(1) == Some(&b'\\');
        let rest = text.get(2..).unwrap_or_default();
        let close = rest.iter().take(if escaped { 10 } else { 4 }).position(|byte| *byte == b'\'');
        let is_character =
            escaped || text.get(1).is_some_and(|byte| !byte.is_ascii()) || close == Some(0);
        if let Some(close) = close.filter(|_| is_character) {
            // '\'' closes at the second quote.
            let more = usize::from(escaped && close == 0);
            return close + 3 + more;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn comments_texts_and_tests_are_not_code() {
        let text = r##"
// Desk
fn a<'l>(b: &'l str) -> char { let _ = ("Desk", r#"De"sk"#, b"Desk", 'D', '\'', '"'); kept() } /* Desk */
#[cfg(test)]
mod tests { fn desk() { { Desk } } }
fn last() {}
"##;
        let source = Source::new("a/src/b.rs", text);
        let words: Vec<&str> = source.words().collect();
        assert!(!words.contains(&"Desk") && !words.contains(&"desk"), "{words:?}");
        assert!(words.contains(&"kept") && words.contains(&"last"), "{words:?}");
    }

    #[test]
    fn trees_of_use_are_expanded() {
        let text =
            "use crate::a::{b, c::{self, D}};\nuse std::fmt;\nfn f() { super::g::h(crate::i) }";
        let paths: Vec<String> =
            Source::new("a/src/b.rs", text).paths().iter().map(|path| path.join("::")).collect();
        let expected = [
            "crate::a::b",
            "crate::a::c::self",
            "crate::a::c::D",
            "std::fmt",
            "super::g::h",
            "crate::i",
        ];
        assert_eq!(paths, expected);
    }
}
