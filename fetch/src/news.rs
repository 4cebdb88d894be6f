//! What happens on the way, for whoever watches.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Something that a person who waits wants to know. Displays as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News<'a> {
    /// A file is being brought.
    Moving {
        /// Such as `google/flan-t5-base/model.safetensors`.
        file: &'a str,
        /// How much of it is here.
        done: u64,
        /// How much there is, where the source says.
        total: Option<u64>,
    },
    /// Another process is bringing it.
    Waiting {
        /// As above.
        file: &'a str,
    },
    /// Something went wrong that may pass.
    Trouble {
        /// What was asked for.
        what: &'a str,
        /// What went wrong.
        reason: &'a str,
        /// How long until it is tried again.
        pause: Duration,
    },
    /// A file is here and has the hash that its source says.
    Here {
        /// As above.
        file: &'a str,
        /// How many bytes.
        bytes: u64,
    },
    /// What lay in the cache isn't what was put there; it is brought again.
    Spoiled {
        /// As above.
        file: &'a str,
    },
    /// A file was removed to keep the cache within its limit.
    Evicted {
        /// Its path.
        file: &'a str,
        /// How many bytes.
        bytes: u64,
    },
}

impl fmt::Display for News<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moving { file, done, total: Some(total) } => {
                write!(f, "fetching {file}: {} of {}", Size(*done), Size(*total))
            }
            Self::Moving { file, done, total: None } => {
                write!(f, "fetching {file}: {}", Size(*done))
            }
            Self::Waiting { file } => {
                write!(f, "another process is fetching {file}; waiting for it")
            }
            Self::Trouble { what, reason, pause } => {
                write!(f, "{what}: {reason}; trying again in {:.1} s", pause.as_secs_f64())
            }
            Self::Here { file, bytes } => write!(f, "fetched {file}: {}", Size(*bytes)),
            Self::Spoiled { file } => {
                write!(
                    f,
                    "{file} in the cache has changed since it was put there; fetching it again"
                )
            }
            Self::Evicted { file, bytes } => {
                write!(f, "removed {file} from the cache: {}", Size(*bytes))
            }
        }
    }
}

/// A number of bytes, for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes < 1 << 20 => write!(f, "{:.1} KiB", bytes as f64 / 1024.0),
            bytes => write!(f, "{:.1} MiB", bytes as f64 / 1_048_576.0),
        }
    }
}

/// Where news go.
#[derive(Clone)]
pub struct Reporter(pub(crate) Arc<dyn Fn(&News<'_>) + Send + Sync>);

impl Reporter {
    /// News go to `tell`, from any thread.
    pub fn new(tell: impl Fn(&News<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Nobody watches.
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
    fn news_are_lines_for_people() {
        let moving = News::Moving { file: "a/b/c", done: 3 << 20, total: Some(10 << 20) };
        assert_eq!(moving.to_string(), "fetching a/b/c: 3.0 MiB of 10.0 MiB");
        let pause = Duration::from_millis(1500);
        let trouble = News::Trouble { what: "a/b/c", reason: "503", pause };
        assert_eq!(trouble.to_string(), "a/b/c: 503; trying again in 1.5 s");
        assert_eq!(News::Here { file: "c", bytes: 512 }.to_string(), "fetched c: 0.5 KiB");
    }
}
