//! What a transfer reports on its way, as lines for people.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// An event of a transfer. Displays as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<'a> {
    Fetching {
        /// Such as `google/flan-t5-base/model.safetensors`.
        file: &'a str,
        bytes: u64,
        /// `None` if the source doesn't send a length.
        total: Option<u64>,
    },
    /// Another process is fetching the file.
    Waiting { file: &'a str },
    /// A request failed and will be repeated.
    Retry { what: &'a str, reason: &'a str, pause: Duration },
    /// A file is complete, and its hash is the source's.
    Fetched { file: &'a str, bytes: u64 },
    /// A cached file changed on the disk, and is fetched again.
    Corrupted { file: &'a str },
    /// A file was removed to keep the cache within its limit.
    Evicted { file: &'a str, bytes: u64 },
}

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetching { file, bytes, total: Some(total) } => {
                write!(f, "fetching {file}: {} of {}", Size(*bytes), Size(*total))
            }
            Self::Fetching { file, bytes, total: None } => {
                write!(f, "fetching {file}: {}", Size(*bytes))
            }
            Self::Waiting { file } => {
                write!(f, "waiting for another process that is fetching {file}")
            }
            Self::Retry { what, reason, pause } => {
                write!(f, "{what}: {reason}; trying again in {:.1} s", pause.as_secs_f64())
            }
            Self::Fetched { file, bytes } => write!(f, "fetched {file}: {}", Size(*bytes)),
            Self::Corrupted { file } => {
                write!(f, "{file} in the cache has changed since it was fetched; fetching it again")
            }
            Self::Evicted { file, bytes } => {
                write!(f, "removed {file} from the cache: {}", Size(*bytes))
            }
        }
    }
}

struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes < 1 << 20 => write!(f, "{:.1} KiB", bytes as f64 / 1024.0),
            bytes => write!(f, "{:.1} MiB", bytes as f64 / 1_048_576.0),
        }
    }
}

/// Receives [`Progress`], from any thread.
#[derive(Clone)]
pub struct Reporter(pub(crate) Arc<dyn Fn(&Progress<'_>) + Send + Sync>);

impl Reporter {
    pub fn new(report: impl Fn(&Progress<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    pub fn silent() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_lines_for_people() {
        let fetching = Progress::Fetching { file: "a/b/c", bytes: 3 << 20, total: Some(10 << 20) };
        assert_eq!(fetching.to_string(), "fetching a/b/c: 3.0 MiB of 10.0 MiB");
        let pause = Duration::from_millis(1500);
        let retry = Progress::Retry { what: "a/b/c", reason: "503", pause };
        assert_eq!(retry.to_string(), "a/b/c: 503; trying again in 1.5 s");
        assert_eq!(Progress::Fetched { file: "c", bytes: 512 }.to_string(), "fetched c: 0.5 KiB");
    }
}
