//! The listener's address and token, kept on disk while a campaign runs, so that agents can reconnect to a restarted
//! controller.

use anyhow::Context;
use fleet::identity::Token;
use ops::atomic_file;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

pub(super) struct Reconnect {
    pub(super) token_file: PathBuf,
    address_file: PathBuf,
}

impl Reconnect {
    /// `folder` is the campaign's.
    pub(super) fn new(folder: &Path) -> Self {
        Self { token_file: folder.join("token"), address_file: folder.join("address") }
    }

    /// Listens on `requested`. If its port is 0, tries the campaign's previous port first.
    pub(super) async fn listen(&self, requested: SocketAddr) -> anyhow::Result<TcpListener> {
        if requested.port() == 0
            && let Ok(known) = std::fs::read_to_string(&self.address_file)
            && let Ok(known) = known.trim().parse::<SocketAddr>()
            && known.ip() == requested.ip()
            && let Ok(listener) = TcpListener::bind(known).await
        {
            return Ok(listener);
        }
        TcpListener::bind(requested).await.with_context(|| {
            format!("can't listen on `{requested}`: choose another port with --listen")
        })
    }

    /// The campaign's token, or a new one.
    pub(super) fn token(&self) -> anyhow::Result<Token> {
        match Token::read(&self.token_file) {
            Some(token) => Ok(token),
            None => Token::make().context("failed to read random bytes from the system"),
        }
    }

    pub(super) fn save(&self, address: SocketAddr, token: &Token) -> std::io::Result<()> {
        // Agents read these at any time, so they must never be partial: a truncated token would be refused, and a
        // truncated address would move the listener.
        token.write(&self.token_file)?;
        atomic_file::write(&self.address_file, address.to_string().as_bytes())
    }

    /// Deletes both files: the campaign is over.
    pub(super) fn delete(&self) {
        drop(std::fs::remove_file(&self.token_file));
        drop(std::fs::remove_file(&self.address_file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn rewritten_files_are_never_partial() {
        let folder = tempfile::tempdir().unwrap();
        let reconnect = Reconnect::new(folder.path());
        let (address, token) = (SocketAddr::from(([127, 0, 0, 1], 41_993)), Token::make().unwrap());
        reconnect.save(address, &token).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..500 {
                    reconnect.save(address, &token).unwrap();
                }
                is_over.store(true, Ordering::Release);
            });
            while !is_over.load(Ordering::Acquire) {
                let known = Token::read(&reconnect.token_file).expect("a complete token");
                assert!(known.hash().is(&token.hash()));
                let known = std::fs::read_to_string(&reconnect.address_file).unwrap();
                assert_eq!(known, address.to_string());
            }
        });
        reconnect.delete();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
