//! Mail: the message as text and as HTML, files attached up to a limit, over a protected connection.

mod html;

use super::Attachment;
use super::message::Message;
use super::retry::{self, Answer, Next, Repeats};
use backon::BackoffBuilder;
use chrono::{DateTime, Utc};
use lettre::message::header::{ContentType, MessageId};
use lettre::message::{Attachment as Part, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as Protection, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use matrix::{self, Tls};
use ops::input_file;
use ops::secret::{Redaction, Secret};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// The timeout of one connection, including its dialog.
const TIME_LIMIT: Duration = Duration::from_secs(30);
const MB: u64 = 1 << 20;

#[derive(Debug)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    max_attachment_bytes: u64,
    redaction: Redaction,
}

impl Mailer {
    /// Checks addresses and certificates; nothing is sent.
    pub fn new(email: &matrix::Email, password: Option<Secret>) -> Result<Self, String> {
        let mailbox = |text: &String| {
            text.parse::<Mailbox>()
                .map_err(|error| format!("invalid mail address `{text}`: {error}"))
        };
        let mut tls = TlsParameters::builder(email.host.clone());
        if let Some(path) = &email.ca {
            let pem = input_file::read(Path::new(path))
                .map_err(|error| format!("failed to read ca `{path}`: {error}"))?;
            let certificate = Certificate::from_pem(&pem)
                .map_err(|error| format!("ca `{path}` is not a PEM certificate: {error}"))?;
            tls = tls.add_root_certificate(certificate);
        }
        let tls = tls.build().map_err(|error| format!("failed to set up TLS: {error}"))?;
        let protection = match email.tls {
            Tls::Starttls => Protection::Required(tls),
            Tls::Implicit => Protection::Wrapper(tls),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&email.host)
            .port(email.port)
            .tls(protection)
            .timeout(Some(TIME_LIMIT));
        let mut redaction = Redaction::default();
        if let (Some(username), Some(password)) = (&email.username, password) {
            let password = password.expose().to_owned();
            // As they are sent: AUTH LOGIN, AUTH PLAIN.
            redaction = redaction.with(&password).with(&format!("\0{username}\0{password}"));
            transport = transport.credentials(Credentials::new(username.clone(), password));
        }
        Ok(Self {
            transport: transport.build(),
            from: mailbox(&email.from)?,
            to: email.to.iter().map(mailbox).collect::<Result<_, _>>()?,
            max_attachment_bytes: u64::from(email.max_attachment_mb) * MB,
            redaction,
        })
    }

    /// Sends a message, with all tries that are worth it.
    pub async fn send(
        &self,
        message: &Message,
        attachments: &[Attachment],
        now: DateTime<Utc>,
    ) -> Result<(), String> {
        let mail = self.mail(message, attachments, now)?;
        let mut pauses = retry::PAUSES.build();
        loop {
            let answer = match self.transport.send(mail.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => self.redacted(answer(&error)),
            };
            match retry::next(&mut pauses, &answer, Repeats::Visible) {
                Next::Delivered => return Ok(()),
                Next::Retry(pause) => tokio::time::sleep(pause).await,
                Next::GiveUp(reason) => return Err(reason),
            }
        }
    }

    /// The same without the password, which some servers echo.
    pub(crate) fn redacted(&self, answer: Answer) -> Answer {
        answer.redacted(&self.redaction)
    }

    fn mail(
        &self,
        message: &Message,
        attachments: &[Attachment],
        now: DateTime<Utc>,
    ) -> Result<lettre::Message, String> {
        let (parts, left_out) = self.attach(attachments)?;
        let mut text = text(message);
        for name in &left_out {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{name} is too large to attach");
        }
        let body = MultiPart::alternative()
            .singlepart(SinglePart::plain(text))
            .singlepart(SinglePart::html(html::render(message, &left_out)));
        let mut mixed = MultiPart::mixed().multipart(body);
        for part in parts {
            mixed = mixed.singlepart(part);
        }
        let host = self.from.email.domain();
        let mut mail = lettre::Message::builder()
            .from(self.from.clone())
            .subject(&message.title)
            .date(std::time::SystemTime::from(now))
            // The same for the same ending, so that a second copy is known as one.
            .header(MessageId::from(format!("<{}.{}@{host}>", message.key(), now.timestamp())));
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        mail.multipart(mixed).map_err(|error| error.to_string())
    }

    /// Reads files until the limit is reached; returns the names of those left out.
    fn attach(&self, attachments: &[Attachment]) -> Result<(Vec<SinglePart>, Vec<String>), String> {
        let (mut parts, mut left_out, mut room) =
            (Vec::new(), Vec::new(), self.max_attachment_bytes);
        for attachment in attachments {
            let Ok(facts) = std::fs::metadata(&attachment.path) else { continue };
            if facts.len() > room {
                left_out.push(attachment.name.clone());
                continue;
            }
            let bytes = input_file::read(&attachment.path).map_err(|error| {
                format!("failed to read {}: {error}", attachment.path.display())
            })?;
            room -= facts.len();
            let media_type =
                ContentType::parse(attachment.media_type).map_err(|error| error.to_string())?;
            parts.push(Part::new(attachment.name.clone()).body(bytes, media_type));
        }
        Ok((parts, left_out))
    }
}

/// SMTP's 4xx is "later", its 5xx "never".
fn answer(error: &lettre::transport::smtp::Error) -> Answer {
    let mut reason = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        let _ = write!(reason, ": {cause}");
    }
    let is_final = error.is_permanent() || error.is_tls() || error.is_client();
    if is_final || error.is_transient() {
        return Answer::Refused { reason, is_passing: !is_final };
    }
    if error.is_timeout() { Answer::NoAnswer(reason) } else { Answer::NotSent(reason) }
}

/// The message for readers without HTML.
pub fn text(message: &Message) -> String {
    let mut text = format!("{}\n\n{}\n\n", message.title, message.verdict);
    for line in &message.lines {
        let _ = writeln!(text, "{}\n  {}", line.name(), line.figures());
    }
    if message.more_lines > 0 {
        let _ = writeln!(text, "and {} more in the report", message.more_lines);
    }
    text.push('\n');
    for note in &message.notes {
        let _ = writeln!(text, "- {note}");
    }
    if let Some(link) = &message.link {
        let _ = writeln!(text, "\n{link}");
    }
    for file in &message.files {
        let _ = writeln!(text, "\n{}\n  {}\n  {}", file.name, file.address, file.url);
    }
    let _ = writeln!(text, "\ncampaign {}", message.campaign);
    text
}
