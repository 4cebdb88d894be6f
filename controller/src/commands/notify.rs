//! `controller notify test`, and the notifications at the end of `controller run`.

use super::read_matrix;
use anyhow::bail;
use matrix::{Matrix, Notify, Occasion, Overrides};
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

/// The channels of a matrix with their secrets. Missing secrets are reported before the measurement.
pub(super) fn recipients(matrix: &Matrix) -> anyhow::Result<Recipients> {
    Recipients::prepare(&matrix.notify, &ops::environment::variable).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("\n  "))
    })
}

pub(super) async fn test(path: &Path) -> anyhow::Result<Exit> {
    let matrix = read_matrix(path, &Overrides::default())?.matrix;
    if matrix.notify.channels.is_empty() {
        bail!(
            "{}: no notification channel: add [notify.slack], [notify.email], [notify.teams] or [notify.webhook]",
            path.display()
        );
    }
    let recipients = recipients(&matrix)?;
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
