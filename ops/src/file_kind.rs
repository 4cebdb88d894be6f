//! What a path names: a file, or something that only looks like one.

use std::fmt;
use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// The kinds of Linux, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Pipe,
    CharacterDevice,
    BlockDevice,
    Socket,
}

impl Kind {
    pub(crate) fn of(kind: FileType) -> Self {
        match kind {
            kind if kind.is_dir() => Self::Folder,
            kind if kind.is_fifo() => Self::Pipe,
            kind if kind.is_char_device() => Self::CharacterDevice,
            kind if kind.is_block_device() => Self::BlockDevice,
            kind if kind.is_socket() => Self::Socket,
            _ => Self::File,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Pipe => "pipe",
            Self::CharacterDevice => "character device",
            Self::BlockDevice => "block device",
            Self::Socket => "socket",
        })
    }
}

/// As many as Linux follows.
const MAX_LINKS: usize = 40;

/// The open descriptor of this process that `path` names, such as `/dev/stdin`, `/dev/fd/3` or a link to one.
pub(crate) fn descriptor(path: &Path) -> Option<u32> {
    let own = Path::new("/proc/self/fd").canonicalize().ok()?;
    let mut path = std::path::absolute(path).ok()?;
    for _ in 0..MAX_LINKS {
        let folder = path.parent()?.canonicalize().ok()?;
        if folder == own {
            return path.file_name()?.to_str()?.parse().ok();
        }
        path = folder.join(path.read_link().ok()?);
    }
    None
}
