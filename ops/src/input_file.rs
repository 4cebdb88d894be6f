//! Input files: regular files, and pipes that are open already.
//!
//! A named pipe would be waited for, and a device may never end, so both are refused by name. A descriptor that the
//! caller has opened, such as `/dev/stdin` and the `/dev/fd/63` of a shell's process substitution, is read.

use crate::file_kind::{self, Kind};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

#[derive(Debug, thiserror::Error)]
#[error("expected a file, found a {found}")]
struct NoFile {
    found: Kind,
}

/// Opens the file at `path`; anything but a regular file or an inherited pipe is an error of the kind `InvalidInput`.
pub fn open(path: &Path) -> io::Result<File> {
    let found = Kind::of(path.metadata()?.file_type());
    let is_readable = match found {
        Kind::File => true,
        Kind::Pipe => file_kind::descriptor(path).is_some(),
        _ => false,
    };
    if is_readable {
        File::open(path)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, NoFile { found }))
    }
}

/// As [`std::fs::read`], of what [`open`] accepts.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn refused(path: &Path) -> String {
        let error = read(path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        error.to_string()
    }

    #[test]
    fn what_is_no_file_is_refused_by_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let link = folder.path().join("link.jsonl");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        assert_eq!(refused(&pipe), "expected a file, found a pipe");
        assert_eq!(refused(&link), "expected a file, found a pipe");
        assert_eq!(refused(folder.path()), "expected a file, found a folder");
        assert_eq!(refused(Path::new("/dev/zero")), "expected a file, found a character device");
        let missing = read(&folder.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn files_links_to_them_and_open_pipes_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.toml"), folder.path().join("link"));
        std::fs::write(&path, "text").unwrap();
        std::os::unix::fs::symlink("a.toml", &link).unwrap();
        assert_eq!(read(&path).unwrap(), b"text");
        assert_eq!(read(&link).unwrap(), b"text");

        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"piped").unwrap();
        drop(writer);
        let inherited = format!("/dev/fd/{}", reader.as_raw_fd());
        assert_eq!(read(Path::new(&inherited)).unwrap(), b"piped");
    }
}
