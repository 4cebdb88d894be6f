//! `[notify]`: whom to tell when a campaign ends, and by which channel. Secrets don't stand in a matrix: it names the
//! environment variable that holds each.

use super::reader::Section;
use model::words::Unknown;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Whom to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// How a campaign must end for a message to go out.
    pub on: Vec<Occasion>,
    /// Where the report can be read, such as the address of a shared folder.
    pub link: Option<String>,
    /// In the order email, slack, teams, webhook.
    pub channels: Vec<Channel>,
}

/// How a campaign ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// Every sample is there.
    Complete,
    /// Every sample is there, and no target keeps the objective.
    Threshold,
    /// It could not go on: agents gone, or shards set aside.
    Failed,
    /// A person or the budget stopped it.
    Stopped,
}

impl Occasion {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Complete, Self::Threshold, Self::Failed, Self::Stopped];

    /// As the matrix names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Threshold => "threshold",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Occasion {
    type Err = Unknown;

    fn from_str(word: &str) -> Result<Self, Unknown> {
        Self::ALL.into_iter().find(|occasion| occasion.as_str() == word).ok_or_else(|| Unknown {
            what: "occasion",
            found: word.to_owned(),
            expected: &["complete", "threshold", "failed", "stopped"],
        })
    }
}

/// One way to reach somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A mail with the table, and files attached.
    Email(Email),
    /// A Slack incoming webhook.
    Slack(Hook),
    /// A Workflows webhook of Microsoft Teams.
    Teams(Hook),
    /// Any server that takes signed JSON.
    Webhook(Webhook),
}

impl Channel {
    /// `email`, `slack`, `teams` or `webhook`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Slack(_) => "slack",
            Self::Teams(_) => "teams",
            Self::Webhook(_) => "webhook",
        }
    }
}

/// Where mail goes and through which server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// A PEM file of the authority that signed the server's certificate; without it, the system's.
    pub ca: Option<String>,
    /// Whom to log in as.
    pub username: Option<String>,
    /// The environment variable that holds the password.
    pub password_env: Option<String>,
    /// The sender.
    pub from: String,
    /// At least one.
    pub to: Vec<String>,
    /// Files beyond it are named in the mail, and not attached.
    pub max_attachment_mb: u32,
}

/// How a mail connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Begins in the clear and must be raised before anything is said (port 587).
    Starttls,
    /// From the first byte (port 465).
    Implicit,
}

impl FromStr for Tls {
    type Err = Unknown;

    fn from_str(word: &str) -> Result<Self, Unknown> {
        match word {
            "starttls" => Ok(Self::Starttls),
            "implicit" => Ok(Self::Implicit),
            _ => Err(Unknown {
                what: "protection",
                found: word.to_owned(),
                expected: &["starttls", "implicit"],
            }),
        }
    }
}

/// A webhook whose address is the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The environment variable that holds the address.
    pub url_env: String,
}

/// A webhook that checks a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The environment variable that holds the address.
    pub url_env: String,
    /// The environment variable that holds the key of the signature.
    pub secret_env: Option<String>,
}

/// Reads `[notify]`. Each channel may stand once as a table or several times as tables.
pub(super) fn read(mut section: Section<'_, '_>, folder: &Path) -> Notify {
    let on = section.word_list("on", "[\"complete\", \"failed\"]");
    let link = section.text("link");
    if link.as_deref().is_some_and(|link| !link.starts_with("https://")) {
        section.problem("link", "expected an address that begins with https://");
    }
    let mut channels = Vec::new();
    channels.extend(section.tables("email").into_iter().filter_map(|one| email(one, folder)));
    channels.extend(section.tables("slack").into_iter().filter_map(hook).map(Channel::Slack));
    channels.extend(section.tables("teams").into_iter().filter_map(hook).map(Channel::Teams));
    channels.extend(section.tables("webhook").into_iter().filter_map(webhook));
    section.finish();
    Notify { on: on.unwrap_or_else(|| Occasion::ALL.to_vec()), link, channels }
}

fn email(mut section: Section<'_, '_>, folder: &Path) -> Option<Channel> {
    let host = section.required_text("host", "\"smtp.example.com\"");
    let tls = section.word("tls").unwrap_or(Tls::Starttls);
    let default_port = if tls == Tls::Implicit { 465 } else { 587 };
    let port = section.whole("port", 1..=u16::MAX).unwrap_or(default_port);
    let ca = section.text("ca").map(|path| folder.join(path).to_string_lossy().into_owned());
    let username = section.text("username");
    let password_env = section.text("password_env");
    if username.is_some() != password_env.is_some() {
        section.problem("username", "set both username and password_env");
    }
    let from = section.required_text("from", "\"fleetmark@example.com\"");
    if section.value("to").is_none() {
        section.problem("to", "is missing, for example: to = [\"team@example.com\"]");
    }
    let to = section.word_list::<String>("to", "[\"team@example.com\"]");
    let max_attachment_mb = section.whole("max_attachment_mb", 0..=100).unwrap_or(10);
    section.finish();
    let (host, from, to) = (host?, from?, to?);
    Some(Channel::Email(Email {
        host,
        port,
        tls,
        ca,
        username,
        password_env,
        from,
        to,
        max_attachment_mb,
    }))
}

fn hook(mut section: Section<'_, '_>) -> Option<Hook> {
    let url_env = variable(&mut section, "url_env", "\"SLACK_WEBHOOK_URL\"");
    section.finish();
    Some(Hook { url_env: url_env? })
}

fn webhook(mut section: Section<'_, '_>) -> Option<Channel> {
    let url_env = variable(&mut section, "url_env", "\"FLEETMARK_WEBHOOK_URL\"");
    let secret_env = section.text("secret_env");
    section.finish();
    Some(Channel::Webhook(Webhook { url_env: url_env?, secret_env }))
}

/// The name of an environment variable. An address in its place would put a secret into the store.
fn variable(section: &mut Section<'_, '_>, key: &'static str, example: &str) -> Option<String> {
    let name = section.required_text(key, example)?;
    if name.contains("://") {
        let message =
            "expected the name of an environment variable with the address, not the address itself";
        section.problem(key, message);
        return None;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::super::{Error, Matrix, Overrides};
    use super::*;

    const SMALL: &str = r#"
name = "small"
[dataset]
source = "builtin:dialogues"
[[model]]
name = "tiny"
id = "builtin:tiny"
[[fleet.local]]
target = "here"
threads = 1
usd_per_hour = 0.1
"#;

    fn check(notify: &str) -> Result<Notify, Error> {
        let text = format!("{SMALL}{notify}");
        let matrix = Matrix::check(&text, "matrix.toml", Path::new("/m"), &Overrides::default())?;
        Ok(matrix.notify)
    }

    #[test]
    fn nobody_is_told_by_default() {
        assert_eq!(check("").unwrap().channels, []);
    }

    #[test]
    fn each_channel_may_stand_once_or_several_times() {
        let notify = check(
            r#"
[notify]
on = ["failed"]
[notify.email]
host = "mail.example.com"
tls = "implicit"
ca = "ca.pem"
from = "fleetmark@example.com"
to = ["a@example.com", "b@example.com"]
[[notify.slack]]
url_env = "ONE"
[[notify.slack]]
url_env = "TWO"
[notify.webhook]
url_env = "HOOK"
secret_env = "KEY"
"#,
        )
        .unwrap();
        assert_eq!(notify.on, [Occasion::Failed]);
        let kinds: Vec<_> = notify.channels.iter().map(Channel::kind).collect();
        assert_eq!(kinds, ["email", "slack", "slack", "webhook"]);
        let Channel::Email(email) = &notify.channels[0] else { panic!("{notify:?}") };
        assert_eq!((email.port, email.ca.as_deref()), (465, Some("/m/ca.pem")));
    }

    #[test]
    fn an_address_in_place_of_a_variable_is_refused_without_repeating_it() {
        let error = check("[notify.slack]\nurl_env = \"https://hooks.example/secret\"\n");
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains("notify.slack.url_env: expected the name of an environment"),
            "{text}"
        );
        assert!(!text.contains("hooks.example"), "{text}");
    }

    #[test]
    fn what_a_mail_needs_is_asked_for() {
        let text = check("[notify.email]\nusername = \"me\"\n").unwrap_err().to_string();
        for missing in ["email.host", "email.from", "email.to", "go together"] {
            assert!(text.contains(missing), "{missing} in {text}");
        }
    }
}
