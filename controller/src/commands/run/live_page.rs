//! Starts and stops the server of the live page.

use crate::cli;
use anyhow::Context;
use live::{self, Access, Page};
use ops::http::{self, Ending, Limits};
use ops::{descriptors, text_file};
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// Connections of viewers: each browser takes a few besides its stream.
const CONNECTIONS: usize = 256;
/// Time for viewers to receive the last snapshot.
const LAST_SNAPSHOT: Duration = Duration::from_secs(1);

/// The running server of the live page.
#[derive(Debug)]
pub(super) struct LivePage {
    pub(super) url: String,
    over: oneshot::Sender<()>,
    server: JoinHandle<Ending>,
}

impl LivePage {
    /// Serves an empty page if `--web` is given.
    pub(super) async fn open_if_requested(
        options: &cli::Run,
    ) -> anyhow::Result<Option<(Self, Page)>> {
        match options.web {
            Some(address) => Self::open(address, options.web_token_file.as_deref()).await.map(Some),
            None => Ok(None),
        }
    }

    async fn open(address: SocketAddr, token_file: Option<&Path>) -> anyhow::Result<(Self, Page)> {
        let read = |path: &Path| {
            text_file::read_to_string(path)
                .with_context(|| format!("--web-token-file: can't read `{}`", path.display()))
        };
        let token = token_file.map(read).transpose()?;
        let token = token.as_deref().map(str::trim);
        if token.is_some_and(|token| token.len() < 16) {
            anyhow::bail!(
                "--web-token-file: expected at least 16 characters, such as the output of openssl rand -hex 32"
            );
        }
        let access = Access::new(address, token)?;
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("--web: can't listen on `{address}`"))?;
        let url =
            format!("http://{}/", listener.local_addr().context("the listener has no address")?);
        let page = Page::default();
        let (over, ended) = oneshot::channel();
        let limits =
            Limits { connections: descriptors::share(CONNECTIONS, 8), drain: LAST_SNAPSHOT };
        let server =
            tokio::spawn(http::serve(listener, live::router(&page, access), limits, async {
                // Dropping the sender ends the server, too.
                drop(ended.await);
            }));
        Ok((Self { url, over, server }, page))
    }

    /// Stops the server after a moment for the last snapshot. Drop the [`Page`] before.
    pub(super) async fn close(self) {
        drop(self.over);
        drop(self.server.await);
    }
}
