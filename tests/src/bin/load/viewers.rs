//! Viewers of the live page: each follows its events to the end, and one more opens the page again and again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::Instant;

/// Viewers that look.
#[derive(Debug)]
pub(crate) struct Viewers {
    followers: Vec<JoinHandle<Followed>>,
    opener: JoinHandle<Vec<Duration>>,
    is_over: Arc<AtomicBool>,
}

/// What one of them got.
#[derive(Debug, Default)]
struct Followed {
    boards: u64,
    bytes: u64,
}

/// What all of them got.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Boards that the viewer with the fewest got.
    pub(crate) fewest_boards: u64,
    /// Of one board, on average.
    pub(crate) bytes_per_board: u64,
    /// Median, 99th percentile and maximum of the time to the first byte of the page.
    pub(crate) first_byte: [Duration; 3],
    /// How often it was opened.
    pub(crate) opened: usize,
}

impl Viewers {
    /// Lets `count` follow the page at `HOST:PORT`.
    pub(crate) fn start(address: &str, count: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let follower = |_| {
            let address = address.to_owned();
            std::thread::spawn(move || follow(&address))
        };
        let (over, at) = (Arc::clone(&is_over), address.to_owned());
        let opener = std::thread::spawn(move || {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                for path in ["/", "/state.json"] {
                    let start = Instant::now();
                    let Ok(mut stream) = ask(&at, path) else { return times };
                    if stream.read(&mut [0]).unwrap_or(0) == 0 {
                        return times;
                    }
                    times.push(start.elapsed());
                    // The rest, so that nothing is cut off.
                    drop(stream.read_to_end(&mut Vec::new()));
                }
                pause();
            }
            times
        });
        Self { followers: (0..count).map(follower).collect(), opener, is_over }
    }

    /// What they saw; the campaign is over.
    pub(crate) fn end(self) -> Seen {
        self.is_over.store(true, Ordering::Relaxed);
        let followers = self.followers.into_iter();
        let followed: Vec<Followed> =
            followers.map(|one| one.join().expect("a viewer ends")).collect();
        let mut times = self.opener.join().expect("a viewer ends");
        times.sort_unstable();
        let at = |share: usize| {
            times.get((times.len() * share / 100).min(times.len().saturating_sub(1)))
        };
        let boards: u64 = followed.iter().map(|one| one.boards).sum();
        let bytes: u64 = followed.iter().map(|one| one.bytes).sum();
        Seen {
            fewest_boards: followed.iter().map(|one| one.boards).min().unwrap_or(0),
            bytes_per_board: bytes / boards.max(1),
            first_byte: [at(50), at(99), at(100)].map(|time| time.copied().unwrap_or_default()),
            opened: times.len(),
        }
    }
}

fn ask(address: &str, path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    Ok(stream)
}

/// Reads boards until the last.
fn follow(address: &str) -> Followed {
    let mut followed = Followed::default();
    let Ok(stream) = ask(address, "/events") else { return followed };
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line.starts_with("data: ") {
            followed.boards += 1;
            followed.bytes += line.len() as u64;
        }
    }
    followed
}

#[expect(clippy::disallowed_methods, reason = "it looks from outside, ten times a second")]
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}
