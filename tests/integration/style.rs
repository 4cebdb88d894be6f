//! User-visible text against STYLE.md: phrases that are out, and the width of Markdown.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use regex::{Regex, RegexSet, RegexSetBuilder};
use scenarios::repository;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const WIDTH: usize = 100;

/// Files and folders whose text complies.
const COVERED: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "STYLE.md",
    "agent/src/model_source/tiny/README.md",
    "agent/tests/parity/README.md",
    "controller/dataset/src/builtin/README.md",
    "controller/matrix",
    "controller/notify/src/snapshots",
    "controller/plot/src/font/README.md",
    "controller/report/src/snapshots",
    "deploy",
    "docs",
    "examples",
    "fuzz/Cargo.toml",
    "tests/independent",
    "tools",
];

/// Phrases that are out, and what to write instead of each.
struct Phrases {
    patterns: RegexSet,
    replacements: Vec<String>,
}

impl Phrases {
    /// One pattern a line; the comment above a group is its replacement.
    fn parse(list: &str) -> Self {
        let mut replacement = "";
        let (mut patterns, mut replacements) = (Vec::new(), Vec::new());
        for line in list.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                replacement = comment;
            } else if !line.is_empty() {
                patterns.push(line);
                replacements.push(replacement.to_owned());
            }
        }
        let patterns = RegexSetBuilder::new(patterns).case_insensitive(true).build();
        Self { patterns: patterns.unwrap(), replacements }
    }

    /// The patterns that match a line, each with its replacement.
    fn find(&self, line: &str) -> Vec<(&str, &str)> {
        let found = self.patterns.matches(line).into_iter();
        found.map(|index| (&*self.patterns.patterns()[index], &*self.replacements[index])).collect()
    }
}

#[test]
fn no_text_contains_a_phrase_that_is_out() {
    let list = std::fs::read_to_string(repository("tests/style/banned.txt")).unwrap();
    let phrases = Phrases::parse(&list);
    let mut violations = String::new();
    for path in files(&["md", "snap", "toml"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        let text = if path.extension().is_some_and(|it| it == "md") { prose(&text) } else { text };
        for (number, line) in (1..).zip(text.lines()) {
            for (pattern, replacement) in phrases.find(line) {
                let place = format!("{}:{number}", path.display());
                writeln!(violations, "{place}: `{pattern}`, better: {replacement}").unwrap();
            }
        }
    }
    assert!(violations.is_empty(), "\n{violations}");
}

#[test]
fn markdown_is_wrapped() {
    let mut found = String::new();
    for path in files(&["md"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        for number in too_wide(&text) {
            writeln!(found, "{}:{number}: wider than {WIDTH} columns", path.display()).unwrap();
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn phrases_are_found_with_their_replacement() {
    let phrases = Phrases::parse("# resume\n\\bgoes on with\\b\n\n# fix\n\\bmends?\\b\n");
    assert_eq!(phrases.find("It Goes on with it"), [("\\bgoes on with\\b", "resume")]);
    assert_eq!(phrases.find("mend it"), [("\\bmends?\\b", "fix")]);
    assert!(phrases.find("a recommendation").is_empty());
}

#[test]
fn only_prose_is_searched_and_measured() {
    assert_eq!(prose("say `goes on with` here"), "say  here\n");
    let wide = "word ".repeat(30);
    let text = format!("{wide}\n| {wide} |\n```sh\n{wide}\n```\n[a](https://example.com/{wide})\n");
    assert_eq!(too_wide(&text), [1]);
}

/// The covered files with one of these extensions, relative to the repository.
fn files(extensions: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for covered in COVERED {
        let path = repository(covered);
        assert!(path.exists(), "`{covered}` does not exist");
        collect(&path, &mut files);
    }
    files.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| extensions.contains(&extension))
    });
    files.sort();
    files
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    } else {
        files.push(path.to_owned());
    }
}

/// Markdown without its inline code.
fn prose(markdown: &str) -> String {
    let code = Regex::new("`[^`\n]+`").unwrap();
    let mut prose = String::new();
    for line in markdown.lines() {
        writeln!(prose, "{}", code.replace_all(line, "")).unwrap();
    }
    prose
}

/// Numbers of the lines that are too wide. Tables, code and the targets of links may be wider.
fn too_wide(markdown: &str) -> Vec<usize> {
    let link = Regex::new(r"\]\([^)]*\)|https?://\S+").unwrap();
    let mut in_code = false;
    let mut numbers = Vec::new();
    for (number, line) in (1..).zip(markdown.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code && !line.trim_start().starts_with('|') {
            let text = link.replace_all(line, "]");
            if text.chars().count() > WIDTH {
                numbers.push(number);
            }
        }
    }
    numbers
}
