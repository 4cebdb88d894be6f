//! Where agents dial in, and with what token. Both are kept beside the campaign while it is under way, so that
//! agents find their way back when its controller is started again.

use crate::fleet::identity::Token;
use anyhow::Context;
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
        token.write(&self.token_file)?;
        std::fs::write(&self.address_file, address.to_string())
    }

    /// The campaign is over: nobody needs to come back.
    pub(super) fn forget(&self) {
        drop(std::fs::remove_file(&self.token_file));
        drop(std::fs::remove_file(&self.address_file));
    }
}
