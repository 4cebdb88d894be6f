//! Tells people that a campaign has ended: by mail, Slack, Teams, or a webhook.
//!
//! A message is built once, purely, from the results ([`message`]); each channel's file gives it that channel's
//! form, escapes and limits. Sending is the edge. A message that can't be delivered never fails a campaign.

#![forbid(unsafe_code)]

pub mod email;
pub mod http;
pub mod message;
pub mod receipt;
pub mod retry;
pub mod slack;
pub mod teams;
pub mod webhook;

use matrix::{Channel, Notify};
use message::Message;
use ops::secret::Secret;
use receipt::Receiver;
use std::path::PathBuf;

/// Looks an environment variable up; in tests, a map.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// A channel that can't be used as the matrix has it. All are found before a campaign begins.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "notify.{channel}: environment variable `{variable}` is not set; export it or remove the channel"
    )]
    NoSecret { channel: String, variable: String },
    /// The address can't be used. It isn't repeated, since it is a secret.
    #[error("notify.{channel}: environment variable `{variable}` is not {expected}")]
    Address { channel: String, variable: String, expected: &'static str },
    /// A sender, recipient, server or certificate that can't be used.
    #[error("notify.{channel}: {problem}")]
    Mail { channel: String, problem: String },
    #[error("failed to create an HTTP client: {0}")]
    Client(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    /// Such as `application/pdf`.
    pub media_type: &'static str,
    pub path: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The other side took it.
    Delivered,
    Failed(String),
}

/// A channel with its secrets, ready to send.
#[derive(Debug)]
pub struct Recipient {
    /// Such as `email` or `slack 2`.
    pub name: String,
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    Email(Box<email::Mailer>),
    Slack(Secret),
    Teams(Secret),
    Webhook(webhook::Target),
}

#[derive(Debug)]
pub struct Recipients {
    client: http::Client,
    all: Vec<Recipient>,
}

impl Recipients {
    /// Gives every channel its secrets.
    pub fn prepare(notify: &Notify, environment: Environment<'_>) -> Result<Self, Vec<Error>> {
        let client = http::Client::new().map_err(|error| vec![error])?;
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        for (name, channel) in names(&notify.channels) {
            match sender(&name, channel, environment) {
                Ok(sender) => all.push(Recipient { name, sender }),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self { client, all }) } else { Err(errors) }
    }

    /// In the order of the matrix.
    pub fn iter(&self) -> impl Iterator<Item = &Recipient> {
        self.all.iter()
    }

    /// Sends one message to one of them, with all tries that its channel allows.
    pub async fn deliver(
        &self,
        to: &Recipient,
        message: &Message,
        attachments: &[Attachment],
        now: chrono::DateTime<chrono::Utc>,
    ) -> Delivery {
        let delivered = match &to.sender {
            Sender::Email(mailer) => mailer.send(message, attachments, now).await,
            Sender::Slack(url) => {
                self.client.post(url, &slack::body(message), &[], Receiver::Slack).await
            }
            Sender::Teams(url) => {
                self.client.post(url, &teams::body(message), &[], Receiver::Teams).await
            }
            Sender::Webhook(target) => {
                let body = webhook::body(message);
                let headers = target.headers(message, &body, now);
                self.client.post(&target.url, &body, &headers, Receiver::Any).await
            }
        };
        delivered.map_or_else(Delivery::Failed, |()| Delivery::Delivered)
    }
}

/// The channels, with numbered names where there are several of a kind.
fn names(channels: &[Channel]) -> impl Iterator<Item = (String, &Channel)> {
    channels.iter().enumerate().map(|(at, channel)| {
        let kind = channel.kind();
        let is_kind = |other: &&Channel| other.kind() == kind;
        let before = channels[..at].iter().filter(is_kind).count();
        let is_only = channels.iter().filter(is_kind).count() == 1;
        (if is_only { kind.to_owned() } else { format!("{kind} {}", before + 1) }, channel)
    })
}

fn sender(name: &str, channel: &Channel, environment: Environment<'_>) -> Result<Sender, Error> {
    let secret = |variable: &str| {
        environment(variable).and_then(|value| Secret::new(&value)).ok_or_else(|| Error::NoSecret {
            channel: name.to_owned(),
            variable: variable.to_owned(),
        })
    };
    let address = |variable: &str| {
        let url = secret(variable)?;
        let expected = "an address that begins with https:// (http:// only for this machine)";
        if http::may_be_called(&url) {
            return Ok(url);
        }
        Err(Error::Address { channel: name.to_owned(), variable: variable.to_owned(), expected })
    };
    Ok(match channel {
        Channel::Slack(hook) => Sender::Slack(address(&hook.url_env)?),
        Channel::Teams(hook) => Sender::Teams(address(&hook.url_env)?),
        Channel::Webhook(hook) => Sender::Webhook(webhook::Target {
            url: address(&hook.url_env)?,
            key: hook.secret_env.as_deref().map(secret).transpose()?,
        }),
        Channel::Email(email) => {
            let password = email.password_env.as_deref().map(secret).transpose()?;
            let mailer = email::Mailer::new(email, password)
                .map_err(|problem| Error::Mail { channel: name.to_owned(), problem })?;
            Sender::Email(Box::new(mailer))
        }
    })
}

#[cfg(test)]
mod tests;
