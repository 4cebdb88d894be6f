//! How a chat model's prompts are written: the template among its files.

use chat::{Message, Settings, SettingsError, Template};
use engine::files::{ChatFiles, ReadError, sha256_of};
use engine::{Role, Turn};
use model::generation::fill;
use ops::clock::Clock;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot use {file}")]
    Settings { file: String, source: SettingsError },
    #[error(transparent)]
    Template(#[from] chat::Error),
    #[error("a model without a chat template takes no system message")]
    NoTemplate,
    #[error("{template} ignores system messages")]
    SystemIgnored { template: String },
    #[error("the template takes no system message: {reason}")]
    SystemRejected { reason: String },
}

/// What a prompt is written from.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// A system message, unless the earlier turns have one.
    pub system: Option<&'a str>,
    /// Contains [`model::generation::DIALOGUE`].
    pub instruction: &'a str,
    /// The turns of a chat before the dialogue.
    pub earlier: &'a [Turn],
    pub dialogue: &'a str,
}

/// What a template does with a system message.
#[derive(Debug, Clone)]
enum System {
    Written,
    Ignored,
    Rejected { reason: String },
}

impl System {
    /// Templates differ in what they do to a message, but its words stay.
    const PROBE: &str = "a system message";

    fn of(template: &Template) -> Self {
        let chat = [("system", Self::PROBE), ("user", "a user message")];
        match template.render(&chat.map(|(role, content)| Message { role, content })) {
            Ok(prompt) if prompt.contains(Self::PROBE) => Self::Written,
            Ok(_) => Self::Ignored,
            Err(error) => Self::Rejected { reason: error.to_string() },
        }
    }
}

#[derive(Debug)]
pub struct ChatForm {
    template: Template,
    /// Names the template in errors.
    place: String,
    system: System,
    /// What the report says about the prompts.
    pub note: String,
}

impl ChatForm {
    /// `None` if the model has no template. Times in prompts are those of now.
    pub fn open(files: &ChatFiles) -> Result<Option<Self>, Error> {
        let mut settings = Settings::default();
        let mut place = String::new();
        if let Some(blob) = &files.settings {
            let unusable = |source| Error::Settings { file: blob.name().to_owned(), source };
            settings = Settings::parse(&blob.text()?).map_err(unusable)?;
            place = format!("chat_template in {}", blob.name());
        }
        if let Some(blob) = &files.template {
            settings.template = Some(blob.text()?);
            blob.name().clone_into(&mut place);
        }
        let Some(source) = settings.template else { return Ok(None) };
        let now = Clock::System.now();
        let template = Template::compile(&place, &source, &settings.special_tokens, now)?;
        let mut note = "prompts are written by the model's chat template".to_owned();
        if template.switches_thinking() {
            note += ", with thinking off";
        }
        if template.uses_time() {
            note += &format!(", which can contain the date of loading, {}", now.date_naive());
        }
        note += &format!(" (SHA-256 {})", sha256_of(&source));
        let system = System::of(&template);
        Ok(Some(Self { template, place, system, note }))
    }

    /// Whether a system message becomes a part of the prompt.
    pub fn check_system(&self) -> Result<(), Error> {
        match &self.system {
            System::Written => Ok(()),
            System::Ignored => Err(Error::SystemIgnored { template: self.place.clone() }),
            System::Rejected { reason } => Err(Error::SystemRejected { reason: reason.clone() }),
        }
    }

    /// The text of a prompt.
    pub fn prompt(&self, asked: &Asked<'_>) -> Result<String, Error> {
        let Asked { system, instruction, earlier, dialogue } = *asked;
        let is_given = earlier.iter().any(|turn| turn.role == Role::System);
        let system = system.filter(|_| !is_given);
        if is_given || system.is_some() {
            self.check_system()?;
        }
        let message = |role: Role, content| Message { role: role.as_str(), content };
        let content = &fill(instruction, dialogue);
        let chat: Vec<Message<'_>> = system
            .map(|text| message(Role::System, text))
            .into_iter()
            .chain(earlier.iter().map(|turn| message(turn.role, &turn.content)))
            .chain([message(Role::User, content)])
            .collect();
        Ok(self.template.render(&chat)?)
    }
}
