//! The only way in which the two programs write files: a new version replaces the old one in one step.
//!
//! A new version is written to a temporary file in the same folder, which is created exclusively under a random name
//! and renamed over the old one. Readers, and a program that starts after this one was killed, see the old version or
//! the new one and never a part. Links are never written through: a symbolic or hard link at the path is replaced, and
//! nothing that lies in the folder already is used as the temporary file. Only [`write_synced`] survives a power
//! failure; after the other functions either version may be damaged.
//!
//! A path that names a pipe, a character device or an open descriptor, such as `/dev/stdout`, is written straight:
//! renaming would replace the device. Folders, sockets and block devices are refused by name.

use crate::file_kind::{self, Kind};
use rustix::fs::OFlags;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile};

/// What a path names, as a place to write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A file that is replaced, or a new one.
    File,
    /// A pipe, a device or an open descriptor. It is written straight, and other files can't lie next to it.
    Stream,
}

#[derive(Debug, thiserror::Error)]
#[error("`{}` is a {found}: expected the path of a file", path.display())]
struct Refused {
    path: PathBuf,
    found: Kind,
}

impl Refused {
    fn error(path: &Path, found: Kind) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, Self { path: path.to_owned(), found })
    }
}

impl Output {
    /// What `path` names; an error if nothing can be written there.
    pub fn of(path: &Path) -> io::Result<Self> {
        let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if is_folder || path.file_name().is_none() {
            return Err(Refused::error(path, Kind::Folder));
        }
        let kind = match path.metadata() {
            Ok(facts) => Kind::of(facts.file_type()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::File),
            Err(error) => return Err(error),
        };
        match kind {
            Kind::File if file_kind::descriptor(path).is_none() => Ok(Self::File),
            Kind::File | Kind::Pipe | Kind::CharacterDevice => Ok(Self::Stream),
            found => Err(Refused::error(path, found)),
        }
    }

    /// Checks that `path` can be written, before hours of work end with an error. Missing folders are created.
    pub fn check(path: &Path) -> io::Result<Self> {
        let output = Self::of(path)?;
        if output == Self::File {
            check_folder(&folder_of(path)?)?;
        }
        Ok(output)
    }
}

/// Checks that files can be created in a folder, by creating and removing one.
pub fn check_folder(folder: &Path) -> io::Result<()> {
    NamedTempFile::new_in(folder)?.close()
}

/// Replaces the file at `path`. Missing folders are created.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = Unfinished::create(path.to_owned())?;
    file.write_all(bytes)?;
    file.finish()
}

/// As [`write`], with mode 0600 whatever the mode of the old version was.
pub fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = temporary(path, OWNER)?;
    file.write_all(bytes)?;
    rename(file, path)
}

/// Creates a file; an existing one is an error of the kind `AlreadyExists`.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create_with(path, bytes, UMASK)
}

/// As [`create`], with mode 0600.
pub fn create_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create_with(path, bytes, OWNER)
}

fn create_with(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut file = temporary(path, mode)?;
    file.write_all(bytes)?;
    file.persist_noclobber(path).map(drop).map_err(|error| error.error)
}

/// As [`write`], and on disk when it returns.
pub fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = temporary(path, UMASK)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    rename(file, path)?;
    File::open(folder_of(path)?)?.sync_all()
}

/// Replaces `path` by a symbolic link to `to`.
pub fn link(path: &Path, to: &Path) -> io::Result<()> {
    let folder = folder_of(path)?;
    let link = named(path, UMASK, |builder| {
        builder.make_in(&folder, |link| std::os::unix::fs::symlink(to, link))
    })?;
    link.persist(path).map(drop).map_err(|error| error.error)
}

/// Opens a file to read it and to append to it. A link, a pipe or a file with a second name is replaced by a new file,
/// so that nothing elsewhere is changed.
pub fn append(path: &Path) -> io::Result<File> {
    match path.symlink_metadata() {
        Ok(facts) if facts.is_dir() => return Err(Refused::error(path, Kind::Folder)),
        Ok(facts) if facts.is_file() && facts.nlink() == 1 => {}
        Ok(_) => std::fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut options = File::options();
    options.create(true).read(true).append(true);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)
}

/// Modes of new files; the first is reduced by the umask of the process.
const UMASK: u32 = 0o666;
const OWNER: u32 = 0o600;

/// The folder of a file; it is created if it is missing.
fn folder_of(path: &Path) -> io::Result<PathBuf> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}

/// In the folder of `path`, since a file can't be renamed to another disk.
fn temporary(path: &Path, mode: u32) -> io::Result<NamedTempFile> {
    if Output::of(path)? == Output::Stream {
        return Err(Refused::error(path, Kind::of(path.metadata()?.file_type())));
    }
    let folder = folder_of(path)?;
    named(path, mode, |builder| builder.tempfile_in(&folder))
}

/// `results.json` -> `results.json.k3XbQ9.unfinished`, so that a file that a killed process left is recognized.
fn named<T>(
    path: &Path,
    mode: u32,
    make: impl FnOnce(&mut Builder<'_, '_>) -> io::Result<T>,
) -> io::Result<T> {
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(".");
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(".unfinished").permissions(Permissions::from_mode(mode));
    make(&mut builder)
}

fn rename(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// A stream that is written from where it is. Standard output keeps the offset that it shares with the terminal.
fn open_stream(path: &Path) -> io::Result<File> {
    if file_kind::descriptor(path) == Some(1) {
        return io::stdout().as_fd().try_clone_to_owned().map(File::from);
    }
    File::options().append(true).open(path)
}

/// A file that appears under its name when it is finished. Dropped before that, it leaves nothing behind. A stream gets
/// its bytes as they come.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    out: Sink,
}

#[derive(Debug)]
enum Sink {
    File(BufWriter<NamedTempFile>),
    Stream(BufWriter<File>),
}

impl Unfinished {
    /// Begins the file at `path`. Missing folders are created.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let out = match Output::of(&path)? {
            Output::File => Sink::File(BufWriter::new(temporary(&path, UMASK)?)),
            Output::Stream => Sink::Stream(BufWriter::new(open_stream(&path)?)),
        };
        Ok(Self { path, out })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn finish(self) -> io::Result<()> {
        match self.out {
            Sink::File(out) => {
                let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
                rename(file, &self.path)
            }
            Sink::Stream(mut out) => out.flush(),
        }
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Sink::File(out) => out.write(bytes),
            Sink::Stream(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Sink::File(out) => out.flush(),
            Sink::Stream(out) => out.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::os::unix::net::UnixListener;

    fn names(folder: &Path) -> Vec<String> {
        let names = folder.read_dir().unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/results.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        write_synced(&path, b"three").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(names(path.parent().unwrap()), ["results.json"]);
    }

    #[test]
    fn an_unfinished_file_has_no_name_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.csv");
        write(&path, b"old").unwrap();
        let mut file = Unfinished::create(path.clone()).unwrap();
        file.write_all(b"a,b").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        drop(file);
        assert_eq!(names(folder.path()), ["samples.csv"]);
        let mut file = Unfinished::create(path.clone()).unwrap();
        file.write_all(b"a,b").unwrap();
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a,b");
        assert_eq!(names(folder.path()), ["samples.csv"]);
    }

    #[test]
    fn links_at_the_path_are_replaced_and_their_targets_are_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("results.json"), folder.path().join("other"));
        std::fs::write(&other, "kept").unwrap();
        symlink(&other, &path).unwrap();
        write(&path, b"new").unwrap();
        assert!(path.symlink_metadata().unwrap().is_file());
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&other, &path).unwrap();
        write(&path, b"new").unwrap();
        let dangling = folder.path().join("dangling");
        symlink(folder.path().join("nowhere"), &dangling).unwrap();
        write(&dangling, b"new").unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), b"kept");
        assert_eq!(names(folder.path()), ["dangling", "other", "results.json"]);
        link(&path, Path::new("other")).unwrap();
        link(&path, Path::new("dangling")).unwrap();
        assert_eq!(path.read_link().unwrap(), Path::new("dangling"));
        assert_eq!(names(folder.path()), ["dangling", "other", "results.json"]);
    }

    #[test]
    fn appending_changes_no_file_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("agent.log"), folder.path().join("other"));
        std::fs::write(&other, "kept").unwrap();
        let add = || append(&path).unwrap().write_all(b"line\n").unwrap();
        symlink(&other, &path).unwrap();
        add();
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&other, &path).unwrap();
        add();
        add();
        assert_eq!(std::fs::read(&other).unwrap(), b"kept");
        assert_eq!(std::fs::read(&path).unwrap(), b"line\nline\n");
        assert!(append(folder.path()).unwrap_err().to_string().contains("is a folder"));
    }

    #[test]
    fn what_is_no_file_is_written_straight_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| std::fs::read_to_string(&pipe).unwrap());
            write(&pipe, b"straight").unwrap();
            assert_eq!(reader.join().unwrap(), "straight");
        });
        assert!(pipe.symlink_metadata().unwrap().file_type().is_fifo());
        assert_eq!(Output::check(Path::new("/dev/null")).unwrap(), Output::Stream);
        write(Path::new("/dev/null"), b"gone").unwrap();
        assert!(Path::new("/dev/null").metadata().unwrap().file_type().is_char_device());

        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let missing = format!("{}/", folder.path().join("missing").display());
        for (path, words) in [
            (folder.path(), "is a folder"),
            (Path::new(&missing), "is a folder"),
            (&folder.path().join(".."), "is a folder"),
            (&socket, "is a socket"),
            (&file.join("below"), "Not a directory"),
        ] {
            let error = Output::check(path).unwrap_err().to_string();
            assert!(error.contains(words), "{}: {error}", path.display());
            assert!(write(path, b"x").is_err());
        }
        assert_eq!(names(folder.path()), ["file", "pipe", "socket"]);
    }

    #[test]
    fn an_open_descriptor_is_written_and_stays_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redirected");
        std::fs::write(&path, "before ").unwrap();
        let mut open = File::options().read(true).append(true).open(&path).unwrap();
        let link = folder.path().join("link");
        symlink(format!("/dev/fd/{}", open.as_raw_fd()), &link).unwrap();
        write(&link, b"after").unwrap();
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!(text, "before after");
        assert_eq!(Output::of(Path::new("/dev/stdout")).unwrap(), Output::Stream);
    }

    #[test]
    fn a_secret_is_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        write_secret(&path, b"new").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_secret(Path::new("/dev/null"), b"new").is_err());
        let plain = folder.path().join("plain");
        write(&plain, b"").unwrap();
        std::fs::write(folder.path().join("usual"), "").unwrap();
        let mode = |name: &str| folder.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode("plain"), mode("usual"));
    }

    #[test]
    fn a_file_that_exists_is_not_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.token"), folder.path().join("link"));
        create_secret(&path, b"first").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        symlink(folder.path().join("nowhere"), &link).unwrap();
        for path in [&path, &link] {
            let error = create(path, b"second").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["a.token", "link"]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_found_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/below/results.json");
        assert_eq!(Output::check(&path).unwrap(), Output::File);
        assert!(names(path.parent().unwrap()).is_empty());
        // Even root can't create files there.
        assert!(Output::check(Path::new("/proc/self/results.json")).is_err());
    }
}
