//! `controller notify test`, and the notifications at the end of `controller run`.

use super::read_matrix;
use anyhow::bail;
use matrix::{Channel, Matrix, Notify, Occasion, Overrides};
use notify::message::{File, Message};
use notify::{Attachment, Delivery, Recipients};
use ops::{clock::Clock, program::Exit, terminal};
use results::Results;
use std::path::Path;
use store::{CampaignNo, Hold, Store, Write};

/// Written before a message is sent, so that a resumed campaign never sends it twice.
const STARTED: &str = "notify_begun";
const DELIVERED: &str = "notify_delivered";
const FAILED: &str = "notify_failed";

/// Files next to results.json that are attached to a mail.
const ATTACHED: [(&str, &str); 2] =
    [("report.pdf", "application/pdf"), ("results.json", "application/json")];

/// A variable of the environment that a matrix names for a channel.
#[derive(Debug)]
struct Named<'m> {
    channel: &'static str,
    key: &'static str,
    variable: &'m str,
    /// What happens to its value, as the end of a sentence.
    purpose: String,
}

fn named<'m>(matrix: &'m Matrix) -> Vec<Named<'m>> {
    let mut all = Vec::new();
    for channel in &matrix.notify.channels {
        let address = || format!("is used as the address of notify.{}", channel.kind());
        let mut add = |key, variable: Option<&'m String>, purpose: String| {
            let channel = channel.kind();
            all.extend(variable.map(|variable| Named { channel, key, variable, purpose }));
        };
        match channel {
            Channel::Email(email) => {
                let server = format!("is sent to the mail server {}:{}", email.host, email.port);
                add("password_env", email.password_env.as_ref(), server);
            }
            Channel::Slack(hook) | Channel::Teams(hook) => {
                add("url_env", Some(&hook.url_env), address());
            }
            Channel::Webhook(hook) => {
                add("url_env", Some(&hook.url_env), address());
                let signs = "is used to sign the messages to notify.webhook".to_owned();
                add("secret_env", hook.secret_env.as_ref(), signs);
            }
        }
    }
    all
}

/// A line for each variable that notifications use.
pub(super) fn told(matrix: &Matrix) -> Vec<String> {
    let line =
        |named: Named<'_>| format!("environment variable {} {}", named.variable, named.purpose);
    named(matrix).into_iter().map(line).collect()
}

/// Checks that the user allows the variables of a matrix. An empty list allows those that the matrix names.
fn check_allowed(matrix: &Matrix, allowed: &[String]) -> anyhow::Result<()> {
    let is_allowed = |name: &str| allowed.is_empty() || allowed.iter().any(|other| other == name);
    let refused: Vec<String> = named(matrix)
        .into_iter()
        .filter(|named| !is_allowed(named.variable))
        .map(|Named { channel, key, variable, .. }| {
            format!(
                "notify.{channel}.{key}: `{variable}` is not allowed: add --notify-env {variable}"
            )
        })
        .collect();
    if refused.is_empty() { Ok(()) } else { bail!(refused.join("\n  ")) }
}

/// The channels of a matrix with their secrets. Missing secrets, and variables that the user doesn't allow, are
/// reported before the measurement.
pub(super) fn recipients(matrix: &Matrix, allowed: &[String]) -> anyhow::Result<Recipients> {
    check_allowed(matrix, allowed)?;
    Recipients::prepare(&matrix.notify, &ops::environment::variable).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("\n  "))
    })
}

pub(super) async fn test(path: &Path, allowed: &[String]) -> anyhow::Result<Exit> {
    let matrix = read_matrix(path, &Overrides::default())?.matrix;
    if matrix.notify.channels.is_empty() {
        bail!(
            "{}: no notification channel: add [notify.slack], [notify.email], [notify.teams] or [notify.webhook]",
            path.display()
        );
    }
    let recipients = recipients(&matrix, allowed)?;
    told(&matrix).iter().for_each(|line| terminal::note(line));
    let message = Message::test(&matrix.name, matrix.notify.link.as_deref());
    let mut are_all_reached = true;
    for recipient in recipients.iter() {
        let name = &recipient.name;
        match recipients.deliver(recipient, &message, &[], Clock::System.now()).await {
            Delivery::Delivered => terminal::result(&format!("{name}: delivered"))?,
            Delivery::Failed(reason) => {
                are_all_reached = false;
                terminal::result(&format!("{name}: not delivered: {reason}"))?;
            }
        }
    }
    Ok(if are_all_reached { Exit::Ok } else { Exit::UserError })
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Ended<'e> {
    pub(super) store: &'e Store,
    pub(super) no: CampaignNo,
    pub(super) hold: &'e Hold,
    pub(super) notify: &'e Notify,
    pub(super) recipients: &'e Recipients,
    pub(super) results: &'e Results,
    /// The reports are in the same folder.
    pub(super) results_file: &'e Path,
    /// Uploaded to S3.
    pub(super) files: &'e [File],
    pub(super) occasion: Occasion,
    pub(super) why: Option<&'e str>,
}

/// Notifies all recipients that haven't been notified of this ending. A failed delivery is printed
/// and recorded, without an error.
pub(super) async fn send(ended: Ended<'_>, clock: Clock) -> anyhow::Result<()> {
    let Ended { store, no, hold, notify, recipients, results, results_file, files, occasion, why } =
        ended;
    if !notify.on.contains(&occasion) {
        return Ok(());
    }
    let message = Message::of(results, occasion, why, notify.link.as_deref()).with(files);
    let attachments = attachments(results_file);
    let events = store.events(no).await?;
    let record = async |kind, detail| {
        store.write(hold, &[Write::Event { at: clock.now(), kind, detail }]).await
    };
    for recipient in recipients.iter() {
        let name = &recipient.name;
        let what = format!("{name} about the ending \"{occasion}\"");
        if events.iter().any(|event| event.kind == STARTED && event.detail == what) {
            continue;
        }
        record(STARTED, what.clone()).await?;
        match recipients.deliver(recipient, &message, &attachments, clock.now()).await {
            Delivery::Delivered => {
                terminal::note(&format!("notified {name}"));
                record(DELIVERED, what).await?;
            }
            Delivery::Failed(reason) => {
                terminal::note(&format!("failed to notify {name}: {reason}"));
                record(FAILED, format!("{what}: {reason}")).await?;
            }
        }
    }
    Ok(())
}

fn attachments(results_file: &Path) -> Vec<Attachment> {
    let files = ATTACHED.into_iter().map(|(name, media_type)| {
        let path = match name {
            "results.json" => results_file.to_owned(),
            name => results_file.with_file_name(name),
        };
        Attachment { name: name.to_owned(), media_type, path }
    });
    files.filter(|file| file.path.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATRIX: &str = r#"
name = "notified"
[dataset]
source = "builtin:dialogues"
[[model]]
name = "tiny"
id = "builtin:tiny"
[[target]]
name = "here"
usd_per_hour = 0.1
[notify.email]
host = "mail.example.com"
username = "me"
password_env = "MAIL_PASSWORD"
from = "me@example.com"
to = ["you@example.com"]
[notify.slack]
url_env = "SLACK_URL"
[notify.webhook]
url_env = "HOOK_URL"
secret_env = "HOOK_KEY"
"#;

    fn matrix() -> Matrix {
        Matrix::check(MATRIX, "matrix.toml", Path::new("/"), &Overrides::default()).unwrap()
    }

    #[test]
    fn every_variable_is_told_with_its_purpose() {
        assert_eq!(
            told(&matrix()),
            [
                "environment variable MAIL_PASSWORD is sent to the mail server mail.example.com:587",
                "environment variable SLACK_URL is used as the address of notify.slack",
                "environment variable HOOK_URL is used as the address of notify.webhook",
                "environment variable HOOK_KEY is used to sign the messages to notify.webhook",
            ]
        );
    }

    #[test]
    fn a_matrix_uses_no_variable_that_the_user_does_not_allow() {
        let all = ["MAIL_PASSWORD", "SLACK_URL", "HOOK_URL", "HOOK_KEY"].map(str::to_owned);
        check_allowed(&matrix(), &all).unwrap();
        check_allowed(&matrix(), &[]).unwrap();
        assert_eq!(
            check_allowed(&matrix(), &all[1..3]).unwrap_err().to_string(),
            "notify.email.password_env: `MAIL_PASSWORD` is not allowed: add --notify-env MAIL_PASSWORD\n  \
             notify.webhook.secret_env: `HOOK_KEY` is not allowed: add --notify-env HOOK_KEY"
        );
    }
}
