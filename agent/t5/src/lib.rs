//! Our own T5: a model's name in, exact rows out, whatever shares the batch.
//!
//! [`open`] finds and checks the files, [`Opened::load`] puts the weights to work, [`T5`] decodes batches.

pub mod candle;
pub mod checkpoint;
pub mod compute;
pub mod config;
pub mod cpu;
pub mod device;
pub mod generate;
mod intake;
pub mod lora;
pub mod position;
pub mod roofline;
pub mod tokenizer;

use candle::CandleT5;
use checkpoint::Checkpoint;
use compute::Compute;
use config::Config;
use cpu::CpuT5;
use device::Device;
use engine::files::{Blob, ModelSource, ReadError, SourceError, Weights};
use engine::{Engine, Intake, Request, Row, count, load_failure};
use generate::{Decoded, Marks, NotFinite, Order, Orders, Until, generate};
use intake::Read;
use lora::Adapter;
use model::engine::{EngineFacts, EngineSpec};
use model::failure::{Failure, Kind, Retry};
use model::generation::{Generation, Stop};
use ops::error_chain::one_line;
use roofline::Roofline;
use stopwatch::Stopwatch;
use tokenizer::{Prompt, Tokenizer};

/// A T5 that can't be opened or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its files can't be found.
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its config can't be used.
    #[error("can't use {file}")]
    Config {
        /// Which file.
        file: String,
        /// Why.
        source: config::Error,
    },
    /// Its weights can't be used.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// Its tokenizer can't be used.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// The device can't hold it.
    #[error(transparent)]
    Candle(#[from] candle::Error),
    /// The device can't do it.
    #[error(transparent)]
    Device(#[from] device::Error),
    /// Its adapter can't be used.
    #[error(transparent)]
    Adapter(#[from] lora::Error),
    /// Text can't be served.
    #[error(
        "{model} has no tokenizer: name a tokenizer.json (--tokenizer FILE; in a matrix: tokenizer = \"FILE\")"
    )]
    NoTokenizer {
        /// Which model.
        model: String,
    },
    /// The threads couldn't be started.
    #[error("can't start {threads} threads")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
    /// Token ids that aren't a prompt of this model.
    #[error("token id {id} is beyond the model's vocabulary of {vocabulary} rows")]
    TokenId {
        /// The id.
        id: u32,
        /// Rows of the embedding.
        vocabulary: usize,
    },
    /// A prompt without tokens.
    #[error("the list of token ids is empty")]
    NoIds,
    /// Nothing to stop at.
    #[error("it has no reference summary to stop at its length")]
    NoReference,
}

/// A model whose files were found and checked. No weights are in memory.
#[derive(Debug)]
pub struct Opened {
    spec: EngineSpec,
    source: &'static dyn ModelSource,
    device: Device,
    checkpoint: Checkpoint,
    /// One that stays beside the weights.
    adapter: Option<Beside>,
    tokenizer: Option<Tokenizer>,
    /// Of the model without an adapter beside it.
    facts: EngineFacts,
}

/// An adapter that fits, and is to stay beside the base's weights.
#[derive(Debug)]
struct Beside {
    adapter: Adapter,
    sha256: String,
    commit_note: Option<String>,
}

impl Beside {
    fn find(
        given: &str,
        spec: &EngineSpec,
        checkpoint: &Checkpoint,
        source: &dyn ModelSource,
    ) -> Result<Self, Error> {
        let files = source.adapter(given)?;
        let sha256 = files.sha256()?;
        let commit_note = files.commit_note(given);
        let adapter = checkpoint.fit(files, &spec.model)?;
        adapter.check_unmerged()?;
        Ok(Self { adapter, sha256, commit_note })
    }

    /// The facts of a base with it.
    fn facts(&self, base: &EngineFacts) -> EngineFacts {
        let mut facts = base.clone();
        facts.adapter_sha256 = Some(self.sha256.clone());
        facts.notes.extend(self.commit_note.clone());
        facts.notes.extend_from_slice(self.adapter.notes());
        facts
    }
}

/// Finds and checks the files of a model, all but the values of its weights.
///
/// # Errors
/// [`Error`], naming the file and the way out.
pub fn open(spec: &EngineSpec, source: &'static dyn ModelSource) -> Result<Opened, Error> {
    let model = source.model(spec)?;
    let model_sha256 = model.sha256()?;
    let tokenizer_sha256 = model.tokenizer.as_ref().map(Blob::sha256).transpose()?;
    let random_weights = matches!(model.weights, Weights::Seeded(_));

    let unusable = |source| Error::Config { file: model.config.name().to_owned(), source };
    let text = model.config.read()?;
    let config = Config::parse(&text).map_err(unusable)?;
    let tokenizer = model
        .tokenizer
        .as_ref()
        .map(|blob| Tokenizer::load(blob, config.eos_ids[0], config.vocabulary))
        .transpose()?;
    let mut checkpoint = Checkpoint::open(&config, model.weights)?;
    let (mut adapter_sha256, mut adapter_note) = (None, None);
    let mut adapter = None;
    if let Some(given) = spec.unmerged() {
        adapter = Some(Beside::find(given, spec, &checkpoint, source)?);
    } else if let Some(given) = &spec.adapter {
        let files = source.adapter(given)?;
        adapter_sha256 = Some(files.sha256()?);
        adapter_note = files.commit_note(given);
        checkpoint = checkpoint.adapt(files, &spec.model)?;
    }
    let mut notes = model.notes;
    notes.extend(adapter_note);
    notes.extend_from_slice(checkpoint.notes());
    notes.extend(tokenizer.iter().flat_map(Tokenizer::notes).cloned());
    let parameters = checkpoint.parameters();
    let facts = EngineFacts {
        model_sha256: Some(model_sha256),
        endpoint: None,
        adapter_sha256,
        tokenizer_sha256,
        revision: model.revision,
        device: "cpu".to_owned(),
        kernel: cpu::kernel(spec.dtype),
        parameters,
        model_size_bytes: 4 * parameters,
        random_weights,
        synthetic_time: false,
        continuous_batching: cpu::CONTINUOUS_BATCHING,
        notes,
    };
    let device = Device::cpu();
    Ok(Opened { spec: spec.clone(), source, device, checkpoint, adapter, tokenizer, facts })
}

impl Opened {
    /// What was found.
    pub fn facts(&self) -> EngineFacts {
        self.adapter.as_ref().map_or_else(|| self.facts.clone(), |beside| beside.facts(&self.facts))
    }

    /// Puts it on another device than the CPU.
    ///
    /// # Errors
    /// Where the device can't do the dtype.
    pub fn on(mut self, device: &Device) -> Result<Self, Error> {
        device.check(self.spec.dtype)?;
        device.name().clone_into(&mut self.facts.device);
        if let Some(gpu) = device.gpu() {
            self.facts.kernel = candle::kernel(&gpu.tensors, self.spec.dtype);
            self.facts.continuous_batching = candle::CONTINUOUS_BATCHING;
        }
        self.device = device.clone();
        Ok(self)
    }

    /// Checks that dialogues can be served, not token ids only.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`].
    pub fn serves_text(self) -> Result<Self, Error> {
        if self.tokenizer.is_some() {
            Ok(self)
        } else {
            Err(Error::NoTokenizer { model: self.spec.model })
        }
    }

    /// Reads the weights and starts the threads that compute.
    ///
    /// # Errors
    /// Where weights are broken, or the machine hasn't room for them.
    pub fn load(self, threads: usize) -> Result<T5, Error> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|thread| format!("t5-{thread}"))
            .build()
            .map_err(|source| Error::Threads { threads, source })?;
        let (checkpoint, dtype) = (&self.checkpoint, self.spec.dtype);
        let compute = pool.install(|| -> Result<Box<dyn Compute>, Error> {
            Ok(match self.device.gpu() {
                Some(gpu) => Box::new(CandleT5::load(checkpoint, gpu.tensors.clone(), dtype)?),
                None => Box::new(CpuT5::load(checkpoint, dtype, kernels::Table::best(), threads)?),
            })
        })?;
        let config = self.checkpoint.config();
        let mut t5 = T5 {
            spec: self.spec.base(),
            source: self.source,
            compute,
            marks: Marks { start: config.start_id, eos: config.eos_ids.clone() },
            vocabulary: config.vocabulary,
            tokenizer: self.tokenizer,
            checkpoint: self.checkpoint,
            facts: self.facts.clone(),
            base_facts: self.facts,
        };
        t5.take(self.spec, self.adapter.as_ref())?;
        Ok(t5)
    }
}

/// A loaded T5 with threads of its own.
pub struct T5 {
    spec: EngineSpec,
    source: &'static dyn ModelSource,
    compute: Box<dyn Compute>,
    marks: Marks,
    vocabulary: usize,
    tokenizer: Option<Tokenizer>,
    /// What another adapter is matched to.
    checkpoint: Checkpoint,
    facts: EngineFacts,
    /// Without an adapter beside the weights.
    base_facts: EngineFacts,
}

impl std::fmt::Debug for T5 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("T5")
            .field("spec", &self.spec)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

/// A prompt and what ends its summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The prompt.
    pub prompt: Prompt,
    /// What ends the row.
    pub until: Until,
}

impl T5 {
    /// The prompt of a text, cut to `limit` tokens.
    ///
    /// # Errors
    /// Without a tokenizer, or with one that can't do the text.
    pub fn prompt(&self, text: &str, limit: usize) -> Result<Prompt, Error> {
        Ok(self.tokenizer()?.prompt(text, limit)?)
    }

    /// The prompt of token ids that came from elsewhere, cut to `limit` tokens.
    ///
    /// # Errors
    /// Where there are none, or one is beyond the vocabulary.
    pub fn prompt_of_ids(&self, ids: Vec<u32>, limit: usize) -> Result<Prompt, Error> {
        if ids.is_empty() {
            return Err(Error::NoIds);
        }
        let is_known = |id: &u32| usize::try_from(*id).is_ok_and(|id| id < self.vocabulary);
        match ids.iter().copied().find(|id| !is_known(id)) {
            Some(id) => Err(Error::TokenId { id, vocabulary: self.vocabulary }),
            None => Ok(Prompt::cut(ids, limit, self.marks.eos[0])),
        }
    }

    /// Decodes a batch; a row for each input, in its order. A row that fails leaves its neighbours alone.
    ///
    /// # Errors
    /// A [`Failure`] of the whole batch.
    ///
    /// # Panics
    /// Where generation forgot a row, which it doesn't.
    pub fn decode(
        &mut self,
        inputs: &[Input],
        stopwatch: &Stopwatch,
    ) -> Result<Vec<Result<Row, Failure>>, Failure> {
        let orders = inputs
            .iter()
            .map(|input| Order { ids: input.prompt.ids.clone(), until: input.until })
            .collect();
        let Self { compute, marks, tokenizer, .. } = self;
        let mut rows: Vec<Option<Result<Row, Failure>>> = vec![None; inputs.len()];
        let mut batch = Batch {
            orders,
            ended: |place: usize, decoded| {
                let prompt = &inputs[place].prompt;
                rows[place] = Some(row(prompt, decoded, tokenizer.as_ref(), stopwatch));
            },
        };
        generate(compute.as_mut(), marks, &mut batch, stopwatch)?;
        Ok(rows.into_iter().map(|row| row.expect("generation ends every row")).collect())
    }

    /// Puts an adapter beside the weights, or takes it away; the facts follow.
    fn take(&mut self, spec: EngineSpec, beside: Option<&Beside>) -> Result<(), Error> {
        let outcome = self.compute.adapt(beside.map(|beside| &beside.adapter));
        let is_there = beside.filter(|_| outcome.is_ok());
        self.facts = is_there
            .map_or_else(|| self.base_facts.clone(), |beside| beside.facts(&self.base_facts));
        self.facts.model_size_bytes = self.compute.weight_bytes() + self.compute.adapter_bytes();
        self.spec = if outcome.is_ok() { spec } else { spec.base() };
        outcome
    }

    /// Exchanges the adapter beside the weights for that of `spec`, or for none. False, and nothing is done, where
    /// `spec` needs other weights: another base, or an adapter that is merged on either side.
    ///
    /// # Errors
    /// Where the adapter can't be used. Then none is there.
    pub fn switch(&mut self, spec: &EngineSpec) -> Result<bool, Error> {
        let is_merged = |spec: &EngineSpec| spec.adapter.is_some() && spec.unmerged().is_none();
        if self.spec.base() != spec.base() || is_merged(&self.spec) || is_merged(spec) {
            return Ok(false);
        }
        let find = |name| Beside::find(name, spec, &self.checkpoint, self.source);
        let beside = spec.unmerged().map(find).transpose()?;
        self.take(spec.clone(), beside.as_ref())?;
        Ok(true)
    }

    /// Bytes that caches of keys and values held at most since the model was loaded.
    pub fn cache_bytes(&self) -> u64 {
        self.compute.cache_bytes()
    }

    /// What these batches cost at least on this machine, whose limits are measured for it, when every row
    /// gets `steps` tokens. Null where nobody has worked it out.
    pub fn roofline(
        &self,
        batches: &[&[Input]],
        steps: usize,
        stopwatch: &Stopwatch,
    ) -> Option<Roofline> {
        let lengths = |batch: &&[Input]| batch.iter().map(|input| input.prompt.ids.len()).collect();
        let batches: Vec<Vec<usize>> = batches.iter().map(lengths).collect();
        self.compute.roofline(&batches, steps, stopwatch)
    }

    fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        self.tokenizer.as_ref().ok_or_else(|| Error::NoTokenizer { model: self.spec.model.clone() })
    }

    fn input(&self, request: &Request, generation: &Generation) -> Result<Input, Failure> {
        let tokenizer = self.tokenizer().map_err(|error| refused(request, &error))?;
        input(tokenizer, request, generation)
    }
}

fn refused(request: &Request, reason: &(dyn std::error::Error + 'static)) -> Failure {
    let detail = format!("{}: {}", request.sample_id, one_line(reason));
    Failure { retry: Retry::Never, kind: Kind::Input, detail }
}

/// The prompt of a dialogue, and what ends its summary.
fn input(
    tokenizer: &Tokenizer,
    request: &Request,
    generation: &Generation,
) -> Result<Input, Failure> {
    let failed = |error: tokenizer::Error| refused(request, &error);
    let size = |tokens: u32| usize::try_from(tokens).unwrap_or(usize::MAX);
    let limit = size(generation.max_new_tokens);
    let until = match (generation.stop, &request.reference) {
        (Stop::Eos, _) => Until::EosOr(limit),
        (Stop::Reference, Some(reference)) => {
            Until::Exactly(tokenizer.count(reference).map_err(failed)?.min(limit))
        }
        (Stop::Reference, None) => return Err(refused(request, &Error::NoReference)),
    };
    let text = generation.prompt_for(&request.dialogue);
    let prompt = tokenizer.prompt(&text, size(generation.max_input_tokens)).map_err(failed)?;
    Ok(Input { prompt, until })
}

impl Engine for T5 {
    fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    fn count_tokens(&self, text: &str) -> Option<u32> {
        let tokens = self.tokenizer.as_ref()?.count(text).ok()?;
        u32::try_from(tokens).ok()
    }

    fn generate(
        &mut self,
        batch: &[Request],
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) -> Result<Vec<Result<Row, Failure>>, Failure> {
        let mut good = Vec::with_capacity(batch.len());
        let mut refused = Vec::new();
        for (place, request) in batch.iter().enumerate() {
            match self.input(request, generation) {
                Ok(input) => good.push(input),
                Err(failure) => refused.push((place, failure)),
            }
        }
        let mut rows = if good.is_empty() { Vec::new() } else { self.decode(&good, stopwatch)? };
        for (place, failure) in refused {
            rows.insert(place, Err(failure));
        }
        Ok(rows)
    }

    fn serve(
        &mut self,
        intake: &mut dyn Intake,
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) -> Result<(), Failure> {
        let Self { compute, marks, tokenizer, spec, .. } = self;
        let tokenizer = tokenizer.as_ref().ok_or_else(|| {
            let error = Error::NoTokenizer { model: spec.model.clone() };
            Failure { retry: Retry::Never, kind: Kind::Model, detail: error.to_string() }
        })?;
        let mut orders = Read::new(intake, tokenizer, generation, stopwatch);
        generate(compute.as_mut(), marks, &mut orders, stopwatch)
    }

    fn kv_cache_bytes(&self) -> u64 {
        self.cache_bytes()
    }

    fn adapter_bytes(&self) -> u64 {
        self.compute.adapter_bytes()
    }

    fn switch(&mut self, spec: &EngineSpec) -> Result<bool, Failure> {
        T5::switch(self, spec).map_err(|error| load_failure(&error))
    }
}

/// Rows that enter all at once.
struct Batch<E> {
    orders: Vec<Order>,
    ended: E,
}

impl<E: FnMut(usize, Result<Decoded, NotFinite>)> Orders for Batch<E> {
    fn enter(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    fn ended(&mut self, number: usize, row: Result<Decoded, NotFinite>) {
        (self.ended)(number, row);
    }
}

fn row(
    prompt: &Prompt,
    decoded: Result<Decoded, NotFinite>,
    tokenizer: Option<&Tokenizer>,
    stopwatch: &Stopwatch,
) -> Result<Row, Failure> {
    let failed = |kind, detail: String| Failure { retry: Retry::Never, kind, detail };
    let decoded = decoded.map_err(|error| failed(Kind::Model, error.to_string()))?;
    let text = tokenizer
        .map(|tokenizer| tokenizer.text(&decoded.ids))
        .transpose()
        .map_err(|error| failed(Kind::Model, one_line(&error)))?;
    Ok(Row {
        input_tokens: Some(count(prompt.ids.len())),
        cut_tokens: count(prompt.cut),
        unknown_tokens: count(tokenizer.map_or(0, |tokenizer| tokenizer.unknown(&decoded.ids))),
        output_tokens: Some(count(decoded.ids.len())),
        first_token_ns: (!decoded.ids.is_empty()).then_some(decoded.first_token_ns),
        output_ids: decoded.ids,
        end_ns: stopwatch.now_ns(),
        finish: decoded.finish,
        text,
        http: None,
    })
}
