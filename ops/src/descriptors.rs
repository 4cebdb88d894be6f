//! File descriptors: the limit of this process, and how many of them its listeners may use.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit on open files to the hard limit. The usual soft limit of 1,024 is for programs that use
/// `select`.
pub(crate) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "the limit on open files stays as it is");
        }
    }
}

/// At most `most`, and at most the given part of all descriptors, so that clients leave enough of them for the
/// program's own files. `share(512, 16)` is 512, or a 16th of the limit if that is less.
pub fn share(most: usize, part: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    most.min(limit / part).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_leave_descriptors_for_files() {
        assert_eq!(share(3, 1), 3);
        let limit = getrlimit(Resource::Nofile).current.expect("tests run under a limit");
        assert_eq!(share(usize::MAX, 4), usize::try_from(limit / 4).unwrap());
        assert_eq!(share(usize::MAX, usize::MAX), 1);
    }
}
