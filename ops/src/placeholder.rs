//! Recognizes files that hold something other than their content: Git LFS pointers, and web pages and errors that were
//! saved in place of a download.
//!
//! A parser's own message about such a file names a symptom, so callers ask here first.

use crate::input_file;
use std::io::{self, Read};
use std::path::Path;

/// The first bytes of a file that [`Placeholder::of`] needs: a Git LFS pointer is shorter, and an XML error names its
/// code near its start.
pub const PREFIX_BYTES: usize = 1024;

/// The first lines of a pointer, in the current version of the format and in the one before it:
/// <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.
const POINTERS: [&str; 2] =
    ["version https://git-lfs.github.com/spec/", "version https://hawser.github.com/spec/"];
const PAGES: [&str; 4] = ["<!doctype html", "<html", "<head", "<body"];
/// The root elements of S3's and other stores' errors.
const ERRORS: [&str; 2] = ["<error", "<?xml"];

/// Displayed as a predicate of the file: "{file} is a Git LFS pointer, ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Placeholder {
    #[error("is a Git LFS pointer, not the file itself: run `git lfs pull` in its repository")]
    LfsPointer,
    #[error(
        "is an HTML page, such as a sign-in or error page, not the file itself: download it again"
    )]
    Page,
    #[error("is an XML document{}, not the file itself: download it again", named(.code.as_deref()))]
    Xml {
        /// The content of its first `Code` element, such as `AccessDenied`.
        code: Option<String>,
    },
}

fn named(code: Option<&str>) -> String {
    code.map_or_else(String::new, |code| format!(" with the error code `{code}`"))
}

impl Placeholder {
    /// Recognizes a placeholder by the first bytes of a file, at most [`PREFIX_BYTES`] of which count. A byte order
    /// mark and white space before them are skipped.
    pub fn of(prefix: &[u8]) -> Option<Self> {
        let prefix = &prefix[..prefix.len().min(PREFIX_BYTES)];
        let text = String::from_utf8_lossy(prefix);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let lower = text.to_ascii_lowercase();
        let starts = |beginnings: &[&str]| beginnings.iter().any(|start| lower.starts_with(start));
        if starts(&POINTERS) {
            Some(Self::LfsPointer)
        } else if starts(&PAGES)
            || (starts(&ERRORS) && PAGES.iter().any(|page| lower.contains(page)))
        {
            Some(Self::Page)
        } else if starts(&ERRORS) {
            Some(Self::Xml { code: element(text, "Code") })
        } else {
            None
        }
    }

    /// As [`Placeholder::of`], of the file at `path`.
    pub fn of_file(path: &Path) -> io::Result<Option<Self>> {
        let mut prefix = Vec::with_capacity(PREFIX_BYTES);
        input_file::open(path)?.take(PREFIX_BYTES as u64).read_to_end(&mut prefix)?;
        Ok(Self::of(&prefix))
    }
}

/// The text of the first element of this name.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once('<')?;
    Some(content.trim().to_owned()).filter(|content| !content.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_of_git_lfs_are_recognized() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        assert_eq!(Placeholder::of(pointer.as_bytes()), Some(Placeholder::LfsPointer));
        let windows = format!("\u{feff}{}", pointer.replace('\n', "\r\n"));
        assert_eq!(Placeholder::of(windows.as_bytes()), Some(Placeholder::LfsPointer));
        let old = b"version https://hawser.github.com/spec/v1\n";
        assert_eq!(Placeholder::of(old), Some(Placeholder::LfsPointer));
        assert!(Placeholder::LfsPointer.to_string().contains("git lfs pull"));
    }

    #[test]
    fn web_pages_and_errors_are_recognized() {
        for page in [
            "<!DOCTYPE html>\n<html>",
            "\n  <html lang=\"en\">",
            "<?xml version=\"1.0\"?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\">",
        ] {
            assert_eq!(Placeholder::of(page.as_bytes()), Some(Placeholder::Page), "{page}");
        }
        let denied = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code>\
                      <Message>Access Denied</Message></Error>";
        let found = Placeholder::of(denied.as_bytes()).unwrap();
        assert_eq!(
            found.to_string(),
            "is an XML document with the error code `AccessDenied`, not the file itself: download it again"
        );
        let bare = Placeholder::of(b"<Error><Message>x</Message></Error>");
        assert_eq!(bare, Some(Placeholder::Xml { code: None }));
    }

    #[test]
    fn contents_are_not_placeholders() {
        for content in [
            &b"{\"model_type\": \"t5\"}"[..],
            b"",
            b"id,dialogue\n1,<html>",
            b"version,dialogue\n",
            b"\x40\x00\x00\x00\x00\x00\x00\x00{\"shared.weight\"",
            b"PAR1\xff\xfe",
        ] {
            assert_eq!(Placeholder::of(content), None, "{content:?}");
        }
    }

    #[test]
    fn a_file_is_recognized_by_its_beginning() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "version https://git-lfs.github.com/spec/v1\n").unwrap();
        assert_eq!(Placeholder::of_file(file.path()).unwrap(), Some(Placeholder::LfsPointer));
        assert!(Placeholder::of_file(Path::new("/none")).is_err());
    }
}
