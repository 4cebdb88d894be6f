//! Where agents dial in, and with what token. Both are kept beside the campaign while it is under way, so that
//! agents find their way back when its controller is started again.

use anyhow::Context;
use fleet::identity::Token;
use ops::atomic_file;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

pub(super) struct WayBack {
    pub(super) token_file: PathBuf,
    address_file: PathBuf,
}

impl WayBack {
    pub(super) fn of(folder: &Path) -> Self {
        Self { token_file: folder.join("token"), address_file: folder.join("address") }
    }

    /// Listens on `asked`; where any port will do, on the one where the campaign's agents were told to dial in.
    pub(super) async fn listen(&self, asked: SocketAddr) -> anyhow::Result<TcpListener> {
        if asked.port() == 0
            && let Ok(known) = std::fs::read_to_string(&self.address_file)
            && let Ok(known) = known.trim().parse::<SocketAddr>()
            && known.ip() == asked.ip()
            && let Ok(listener) = TcpListener::bind(known).await
        {
            return Ok(listener);
        }
        TcpListener::bind(asked)
            .await
            .with_context(|| format!("can't listen on {asked}: choose another port with --listen"))
    }

    /// The token that the campaign's agents have, or a new one.
    pub(super) fn token(&self) -> anyhow::Result<Token> {
        match Token::read(&self.token_file) {
            Some(token) => Ok(token),
            None => Token::make().context("the system has no randomness"),
        }
    }

    pub(super) fn remember(&self, address: SocketAddr, token: &Token) -> std::io::Result<()> {
        // Agents read these whenever they dial: a token that isn't whole would turn one away for good, and such an address
        // have the campaign go on where nobody looks for it.
        atomic_file::replace(&self.token_file, |file| token.write(file))?;
        atomic_file::write(&self.address_file, address.to_string().as_bytes())
    }

    /// The campaign is over: nobody needs to come back.
    pub(super) fn forget(&self) {
        drop(std::fs::remove_file(&self.token_file));
        drop(std::fs::remove_file(&self.address_file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn files_that_are_written_again_are_whole_at_every_moment() {
        let folder = tempfile::tempdir().unwrap();
        let way_back = WayBack::of(folder.path());
        let (address, token) = (SocketAddr::from(([127, 0, 0, 1], 41_993)), Token::make().unwrap());
        way_back.remember(address, &token).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..500 {
                    way_back.remember(address, &token).unwrap();
                }
                is_over.store(true, Ordering::Release);
            });
            while !is_over.load(Ordering::Acquire) {
                let known = Token::read(&way_back.token_file).expect("it is whole");
                assert!(known.hash().is(&token.hash()));
                let known = std::fs::read_to_string(&way_back.address_file).unwrap();
                assert_eq!(known, address.to_string());
            }
        });
        way_back.forget();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
