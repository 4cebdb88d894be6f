//! The live page beside a campaign: its port, who may look, and its end.

use crate::cli;
use crate::live::{self, Access, Page};
use anyhow::Context;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Viewers get so long to take the last board.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// A page that is served.
#[derive(Debug)]
pub(super) struct LivePage {
    /// Where it is.
    pub(super) url: String,
    over: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl LivePage {
    /// Opens the port and serves an empty page, where one is asked for.
    pub(super) async fn open_if_asked(options: &cli::Run) -> anyhow::Result<Option<(Self, Page)>> {
        match options.web {
            Some(address) => Self::open(address, options.web_token_file.as_deref()).await.map(Some),
            None => Ok(None),
        }
    }

    async fn open(address: SocketAddr, token_file: Option<&Path>) -> anyhow::Result<(Self, Page)> {
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .with_context(|| format!("--web-token-file: can't read {}", path.display()))
        };
        let token = token_file.map(read).transpose()?;
        let token = token.as_deref().map(str::trim);
        if token.is_some_and(|token| token.len() < 16) {
            anyhow::bail!(
                "--web-token-file: give at least 16 characters, such as those of openssl rand -hex 32"
            );
        }
        let access = Access::new(address, token)?;
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("--web: can't listen on {address}"))?;
        let url = format!("http://{}/", listener.local_addr().context("the page has no address")?);
        let page = Page::new();
        let (over, ended) = oneshot::channel();
        let server = tokio::spawn(live::serve(listener, &page, access, async {
            // Dropping the sender ends it too.
            drop(ended.await);
        }));
        Ok((Self { url, over, server }, page))
    }

    /// Closes it, once viewers had a moment for the last board. The page must be dropped before.
    pub(super) async fn close(self) {
        drop(self.over);
        let mut server = self.server;
        if tokio::time::timeout(LAST_LOOK, &mut server).await.is_err() {
            server.abort();
        }
    }
}
