//! `[notify]`: the occasions and channels of notifications. A matrix holds no secrets; it names the
//! environment variables that hold them.

use super::reader::Section;
use model::words;
use serde::{Deserialize, Serialize};
use std::path::Path;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    pub on: Vec<Occasion>,
    /// URL of the report, such as that of a shared folder.
    pub link: Option<String>,
    /// In the order email, slack, teams, webhook.
    pub channels: Vec<Channel>,
}

words!(
    /// How a campaign ended.
    Occasion, "occasion", {
        Complete = "complete",
        /// Complete, but no target meets the objective.
        Threshold = "threshold",
        /// Incomplete because agents left or shards were set aside.
        Failed = "failed",
        /// Stopped by a user or by the budget.
        Stopped = "stopped",
    }
);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A mail with the results table and attachments.
    Email(Email),
    Slack(Hook),
    /// A Workflows webhook of Microsoft Teams.
    Teams(Hook),
    /// Signed JSON to any server.
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

/// The mail server and the recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    /// PEM file of the CA of the server; null for the CAs of the system.
    pub ca: Option<String>,
    pub username: Option<String>,
    pub password_env: Option<String>,
    pub from: String,
    /// At least one.
    pub to: Vec<String>,
    /// Larger files are listed in the mail instead of attached.
    pub max_attachment_mb: u32,
}

words!(
    /// The encryption of a mail connection.
    Tls, "encryption", {
        /// Required upgrade of a plain connection (port 587).
        Starttls = "starttls",
        /// From the first byte (port 465).
        Implicit = "implicit",
    }
);

/// A webhook whose URL is the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The environment variable that holds the URL.
    pub url_env: String,
}

/// A webhook that checks a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The environment variable that holds the URL.
    pub url_env: String,
    /// The environment variable that holds the signing key.
    pub secret_env: Option<String>,
}

/// Reads `[notify]`. Each channel is one table or an array of tables.
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
    section.require("to", "[\"team@example.com\"]");
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

/// The name of an environment variable. A URL in its place would put a secret into the database.
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
    fn no_notifications_by_default() {
        assert_eq!(check("").unwrap().channels, []);
    }

    #[test]
    fn a_channel_is_one_table_or_an_array_of_tables() {
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
    fn a_url_in_place_of_a_variable_is_rejected_without_repeating_it() {
        let error = check("[notify.slack]\nurl_env = \"https://hooks.example/secret\"\n");
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains("notify.slack.url_env: expected the name of an environment"),
            "{text}"
        );
        assert!(!text.contains("hooks.example"), "{text}");
    }

    #[test]
    fn missing_mail_settings_are_reported() {
        let text = check("[notify.email]\nusername = \"me\"\n").unwrap_err().to_string();
        for missing in ["email.host", "email.from", "email.to", "set both"] {
            assert!(text.contains(missing), "{missing} in {text}");
        }
    }
}
