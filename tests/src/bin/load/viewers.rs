//! Viewers of the live page: each follows the events to the end, and one more opens the page repeatedly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Viewers {
    followers: Vec<JoinHandle<Followed>>,
    opener: JoinHandle<Vec<Duration>>,
    is_over: Arc<AtomicBool>,
}

/// What one viewer received.
#[derive(Debug, Default)]
struct Followed {
    updates: u64,
    bytes: u64,
}

/// What all viewers received.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Of the viewer that received the fewest.
    pub(crate) fewest_updates: u64,
    /// On average.
    pub(crate) bytes_per_update: u64,
    /// Median, 99th percentile and maximum of the time to the first byte of the page.
    pub(crate) first_byte: [Duration; 3],
    /// How often the page was opened.
    pub(crate) opened: usize,
}

impl Viewers {
    /// Starts `count` viewers of the page at `HOST:PORT`.
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
                    // Reads the rest, so that the server's writes succeed.
                    drop(stream.read_to_end(&mut Vec::new()));
                }
                pause();
            }
            times
        });
        Self { followers: (0..count).map(follower).collect(), opener, is_over }
    }

    /// Waits for the viewers after the end of the campaign.
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
        let updates: u64 = followed.iter().map(|one| one.updates).sum();
        let bytes: u64 = followed.iter().map(|one| one.bytes).sum();
        Seen {
            fewest_updates: followed.iter().map(|one| one.updates).min().unwrap_or(0),
            bytes_per_update: bytes / updates.max(1),
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

/// Reads all updates.
fn follow(address: &str) -> Followed {
    let mut followed = Followed::default();
    let Ok(stream) = ask(address, "/events") else { return followed };
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line.starts_with("data: ") {
            followed.updates += 1;
            followed.bytes += line.len() as u64;
        }
    }
    followed
}

#[expect(clippy::disallowed_methods, reason = "it polls from outside, ten times per second")]
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}
