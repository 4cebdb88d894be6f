//! How a chat model's prompts are written: the template among its files.

use chat::{Message, Settings, SettingsError, Template};
use engine::files::{ChatFiles, ReadError, sha256_of};
use model::generation::DIALOGUE;
use ops::clock::Clock;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot use {file}")]
    Settings { file: String, source: SettingsError },
    #[error(transparent)]
    Template(#[from] chat::Error),
}

#[derive(Debug)]
pub struct ChatForm {
    template: Template,
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
        Ok(Some(Self { template, note }))
    }

    /// The text of a prompt. `instruction` contains [`DIALOGUE`].
    pub fn prompt(&self, instruction: &str, dialogue: &str) -> Result<String, Error> {
        let content = &instruction.replacen(DIALOGUE, dialogue, 1);
        Ok(self.template.render(&[Message { role: "user", content }])?)
    }
}
