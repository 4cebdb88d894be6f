//! The seam of inference: a batch of requests goes in, rows with their times come out.
//!
//! The runner knows only this page. An engine tokenizes, computes and decodes to text, and reads the time
//! through the stopwatch that it is given. It knows nothing of shards, campaigns or the network.

pub mod device;
pub mod http;
pub mod scripted;
pub mod t5;

use crate::stopwatch::Stopwatch;
use device::Device;
use http::Http;
use proto::endpoint::Place;
use proto::failure::{Failure, Kind, Retry};
use proto::generation::Generation;
use proto::model::{EngineFacts, EngineSpec};
use proto::sample::{Exchange, Finish};
use scripted::Scripted;

/// One dialogue to be summarized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Tells requests apart in errors; scripted engines play by it.
    pub sample_id: String,
    /// Goes into the prompt.
    pub dialogue: String,
    /// The reference summary, where generation stops at its length.
    pub reference: Option<String>,
}

/// One decoded row. Times are nanoseconds on the stopwatch's scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Of the prompt, after cutting; null where nobody counted.
    pub input_tokens: Option<u32>,
    /// How many pieces the limit cut off.
    pub cut_tokens: u32,
    /// Without the decoder's start token; with `</s>` where it came. Empty where an endpoint answered: it sends texts.
    pub output_ids: Vec<u32>,
    /// How many were decoded, `</s>` included; null where nobody counted.
    pub output_tokens: Option<u32>,
    /// Of these, beyond the tokenizer.
    pub unknown_tokens: u32,
    /// When its first token was known; null where none came, or where it came with all the others.
    pub first_token_ns: Option<u64>,
    /// When its text was known.
    pub end_ns: u64,
    /// How it ended.
    pub finish: Finish,
    /// Null where the model has no tokenizer.
    pub text: Option<String>,
    /// Where an endpoint answered.
    pub exchange: Option<Exchange>,
}

/// Token counts of rows stay below 2^32.
pub(crate) fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// Requests that come while others are decoded, and what becomes of them.
pub trait Intake {
    /// Those that may enter now; waits for one where none is being decoded. They are numbered from 0 in the order in
    /// which they enter. Where none is being decoded and none enters, no more will come.
    fn enter(&mut self) -> Vec<Request>;

    /// A request is through. Told once for every one that entered.
    fn ended(&mut self, number: usize, row: Result<Row, Failure>);
}

/// What does inference.
pub trait Engine: Send {
    /// What was loaded.
    fn facts(&self) -> &EngineFacts;

    /// Decodes `batch` together and returns a row for each request, in its order. A request that can't be
    /// done is a failed row and leaves its neighbours alone.
    ///
    /// # Errors
    /// A [`Failure`] of the whole batch, such as out of memory.
    fn generate(
        &mut self,
        batch: &[Request],
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) -> Result<Vec<Result<Row, Failure>>, Failure>;

    /// Decodes requests that come one by one, until no more do. Where the [facts](EngineFacts) say that it admits
    /// them, they enter beside those that are being decoded; else what waits is decoded together, and the others wait
    /// until that is through. Either way a request gets the same tokens.
    ///
    /// # Errors
    /// A [`Failure`] of all that are being decoded.
    fn serve(
        &mut self,
        intake: &mut dyn Intake,
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) -> Result<(), Failure> {
        let mut entered = 0;
        loop {
            let batch = intake.enter();
            if batch.is_empty() {
                return Ok(());
            }
            for row in self.generate(&batch, generation, stopwatch)? {
                intake.ended(entered, row);
                entered += 1;
            }
        }
    }

    /// How many tokens a text has, as a summary's are counted; null where it can't tell. Outside what is measured.
    fn count_tokens(&self, _text: &str) -> Option<u32> {
        None
    }

    /// Bytes that caches of keys and values held at most since the engine was loaded.
    fn kv_cache_bytes(&self) -> u64 {
        0
    }

    /// Bytes of an adapter that stays beside the weights.
    fn adapter_bytes(&self) -> u64 {
        0
    }

    /// Becomes the engine of `spec` if only an adapter beside the weights has to be exchanged for that, and says
    /// whether it did.
    ///
    /// # Errors
    /// Where that adapter can't be used. Then none is there.
    fn switch(&mut self, _spec: &EngineSpec) -> Result<bool, Error> {
        Ok(false)
    }
}

/// An engine that can't be opened or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A T5.
    #[error(transparent)]
    T5(Box<t5::Error>),
    /// A script.
    #[error(transparent)]
    Scripted(#[from] scripted::Error),
    /// An endpoint.
    #[error(transparent)]
    Http(Box<http::Error>),
}

impl From<t5::Error> for Error {
    fn from(error: t5::Error) -> Self {
        Self::T5(Box::new(error))
    }
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        Self::Http(Box::new(error))
    }
}

impl From<Error> for Failure {
    /// What one machine can't load another may: it has other files and other memory.
    fn from(error: Error) -> Self {
        let detail = ops::error_chain::one_line(&error);
        Self { retry: Retry::OtherAgent, kind: Kind::Model, detail }
    }
}

/// Finds and checks an engine's files and hashes them, without loading it; an endpoint is asked once.
///
/// # Errors
/// [`Error`], naming the file and the way out.
pub fn inspect(spec: &EngineSpec, device: &Device) -> Result<EngineFacts, Error> {
    match spec.model.split_once(':') {
        Some(("scripted", _)) => Ok(Scripted::load(spec)?.facts().clone()),
        _ if Place::of(&spec.model).is_some() => {
            Ok(Http::open(spec, &ops::environment::variable)?.tried()?.facts().clone())
        }
        _ => Ok(t5::open(spec)?.on(device)?.serves_text()?.facts()),
    }
}

/// Loads an engine that computes on a device, with `threads` threads of its own.
///
/// # Errors
/// [`Error`], naming the file and the way out.
pub fn load(spec: &EngineSpec, device: &Device, threads: usize) -> Result<Box<dyn Engine>, Error> {
    match spec.model.split_once(':') {
        Some(("scripted", _)) => Ok(Box::new(Scripted::load(spec)?)),
        _ if Place::of(&spec.model).is_some() => {
            Ok(Box::new(Http::open(spec, &ops::environment::variable)?))
        }
        _ => Ok(Box::new(t5::open(spec)?.on(device)?.serves_text()?.load(threads)?)),
    }
}
