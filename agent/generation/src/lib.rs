//! Generation with a model of any family: texts in, rows of tokens and text out; exact rows,
//! independent of the batch.
//!
//! A family's crate implements [`Architecture`] and [`compute::Compute`]. [`open`] checks the files,
//! [`Opened::load`] loads the weights, [`LanguageModel`] decodes batches.

pub mod chat_form;
pub mod compute;
pub mod generate;
pub mod generation_config;
mod intake;
pub mod roofline;
pub mod tokenizer;

use chat_form::ChatForm;
use checkpoint::Tensors;
use checkpoint::lora::{self, Adapter};
use compute::Compute;
use engine::files::{
    self, Blob, CONVERT_PIECES, ModelSource, ReadError, SourceError, TokenizerFiles, Weights,
};
use engine::{Engine, Intake, Request, Row, count, load_failure};
use generate::{Decoded, NotFinite, RowQueue, RowRequest, SpecialTokens, StopRule, generate};
use generation_config::GenerationConfig;
use intake::IntakeQueue;
use model::engine::{Dtype, EngineFacts, EngineSpec};
use model::failure::{Failure, Kind, Retry};
use model::generation::{Decoding, Generation, Settings, Stop};
use ops::error_chain::one_line;
use roofline::Roofline;
use std::fmt;
use std::sync::Arc;
use stopwatch::Stopwatch;
use tokenizer::{Prompt, PromptForm, Tokenizer};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A model of some family: its configuration, the tensors that fit it, and the device that computes.
pub trait Architecture: fmt::Debug + Send + Sync {
    fn tensors(&self) -> &Tensors;

    fn tensors_mut(&mut self) -> &mut Tensors;

    /// Rows of the embedding and the head; tokenizers may have fewer tokens.
    fn vocabulary(&self) -> usize;

    fn prompt_form(&self) -> PromptForm;

    /// With the placeholder for the dialogue.
    fn default_prompt(&self) -> &str;

    /// The name of the device.
    fn device(&self) -> &str;

    /// Describes the implementation.
    fn kernel(&self, dtype: Dtype) -> String;

    /// What it can be loaded as.
    fn dtypes(&self) -> &'static [Dtype] {
        &[Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Int8]
    }

    /// Whether rows can join a running batch.
    fn continuous_batching(&self) -> bool;

    /// Whether several tokens of a row can be checked in one step.
    fn verifies_drafts(&self) -> bool {
        false
    }

    /// Whether nothing but the best token of each step can be taken.
    fn is_greedy_only(&self) -> bool {
        false
    }

    /// What a reader of the results should know about the implementation.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether output continues the prompt, so that there is no start token.
    fn continues_prompts(&self) -> bool {
        false
    }

    /// Reads the weights.
    fn load(&self, dtype: Dtype, threads: usize) -> Result<Box<dyn Compute>, compute::Error>;
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot use {file}")]
    Config { file: String, source: AnyError },
    #[error("cannot use {file}")]
    GenerationConfig { file: String, source: generation_config::Error },
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    #[error(transparent)]
    Device(AnyError),
    #[error(transparent)]
    Compute(#[from] compute::Error),
    #[error(transparent)]
    Adapter(#[from] lora::Error),
    #[error(
        "{model} has no tokenizer: specify a tokenizer.json (--tokenizer FILE; in a matrix: tokenizer = \"FILE\")"
    )]
    NoTokenizer { model: String },
    #[error("{file} is not read, and there is no tokenizer.json: {CONVERT_PIECES}")]
    PiecesOnly { file: String },
    #[error("cannot start {threads} threads")]
    Threads { threads: usize, source: rayon::ThreadPoolBuildError },
    #[error("token id {id} is outside the model's vocabulary of {vocabulary}")]
    TokenId { id: u32, vocabulary: usize },
    #[error("the list of token ids is empty")]
    NoIds,
    #[error("no reference summary to match the length of")]
    NoReference,
    #[error(
        "a summary of up to {tokens} tokens does not fit into the model's {positions} positions: lower max_new_tokens"
    )]
    Positions { tokens: usize, positions: usize },
    #[error(
        "prompt_lookup_num_tokens = {tokens} is not supported by this implementation ({kernel}): remove it"
    )]
    Drafts { tokens: u32, kernel: String },
    #[error(
        "this implementation ({kernel}) takes the most likely token of each step, found {decoding}: set \
         neutral values, such as num_beams = 1, do_sample = false or repetition_penalty = 1"
    )]
    GreedyOnly { decoding: String, kernel: String },
    #[error("`system` is not supported for {model}: remove it")]
    System { model: String, source: chat_form::Error },
    #[error("dtype `{dtype}` is not supported for {model}: expected {}", one_of(.expected))]
    Dtype { dtype: Dtype, model: String, expected: &'static [Dtype] },
    #[error("cannot decode {model} as asked")]
    Settings { model: String, source: generation_config::Error },
}

/// A model with checked files and no weights in memory.
#[derive(Debug)]
pub struct Opened {
    spec: EngineSpec,
    source: &'static dyn ModelSource,
    architecture: Box<dyn Architecture>,
    generation: GenerationConfig,
    adapter: Option<UnmergedAdapter>,
    tokenizer: Option<Tokenizer>,
    /// The name of a `spiece.model` that there is instead of a tokenizer.
    pieces: Option<String>,
    /// Without an unmerged adapter.
    facts: EngineFacts,
}

/// An adapter that fits and stays separate from the base weights.
#[derive(Debug)]
struct UnmergedAdapter {
    adapter: Adapter,
    sha256: String,
    commit_note: Option<String>,
}

impl UnmergedAdapter {
    fn find(
        given: &str,
        spec: &EngineSpec,
        tensors: &Tensors,
        source: &dyn ModelSource,
    ) -> Result<Self, Error> {
        let files = source.adapter(given)?;
        let sha256 = files.sha256()?;
        let commit_note = files.commit_note(given);
        let adapter = tensors.fit(files, &spec.model)?;
        adapter.check_unmerged()?;
        Ok(Self { adapter, sha256, commit_note })
    }

    fn facts(&self, base: &EngineFacts) -> EngineFacts {
        let mut facts = base.clone();
        facts.adapter_sha256 = Some(self.sha256.clone());
        facts.notes.extend(self.commit_note.clone());
        facts.notes.extend_from_slice(&self.adapter.notes);
        facts
    }
}

/// Checks the files of a model, except the values of its weights. `family` makes the architecture of
/// the configuration and the weights.
pub fn open(
    spec: &EngineSpec,
    source: &'static dyn ModelSource,
    model: files::Model,
    family: impl FnOnce(&Blob, Weights) -> Result<Box<dyn Architecture>, Error>,
) -> Result<Opened, Error> {
    let model_sha256 = model.sha256()?;
    let tokenizer_sha256 = model.tokenizer.as_ref().map(TokenizerFiles::sha256).transpose()?;
    let random_weights = matches!(model.weights, Weights::Seeded(_));

    let files::Model { config, generation, weights, tokenizer, pieces, chat, revision, mut notes } =
        model;
    let mut architecture = family(&config, weights)?;
    let expected = architecture.dtypes();
    if !expected.contains(&spec.dtype) {
        return Err(Error::Dtype { dtype: spec.dtype, model: spec.model.clone(), expected });
    }
    let vocabulary = architecture.vocabulary();
    let parse = if architecture.continues_prompts() {
        GenerationConfig::parse_continuing
    } else {
        GenerationConfig::parse
    };
    let generation =
        self::generation(generation.as_ref(), &config, |text, file| parse(text, file, vocabulary))?;
    let mut tokenizer = tokenizer
        .as_ref()
        .map(|files| Tokenizer::load(files, architecture.prompt_form(), vocabulary))
        .transpose()?;
    if architecture.continues_prompts() {
        match ChatForm::open(&chat).map_err(tokenizer::Error::from)? {
            Some(chat) => tokenizer = tokenizer.map(|tokenizer| tokenizer.with_chat(chat)),
            None => notes.push("prompts are plain text: the model has no chat template".to_owned()),
        }
    }
    let (mut adapter_sha256, mut adapter_note) = (None, None);
    let mut adapter = None;
    if let Some(given) = spec.unmerged() {
        adapter = Some(UnmergedAdapter::find(given, spec, architecture.tensors(), source)?);
    } else if let Some(given) = &spec.adapter {
        let files = source.adapter(given)?;
        adapter_sha256 = Some(files.sha256()?);
        adapter_note = files.commit_note(given);
        architecture.tensors_mut().adapt(files, &spec.model)?;
    }
    notes.extend_from_slice(&generation.notes);
    notes.extend(adapter_note);
    notes.extend_from_slice(architecture.tensors().notes());
    notes.extend(architecture.notes());
    notes.extend(tokenizer.iter().flat_map(|tokenizer| &tokenizer.notes).cloned());
    notes.extend(tokenizer.as_ref().and_then(|tokenizer| tokenizer.prompt_note.clone()));
    let parameters = architecture.tensors().parameters();
    let facts = EngineFacts {
        model_sha256: Some(model_sha256),
        endpoint: None,
        adapter_sha256,
        tokenizer_sha256,
        revision,
        device: architecture.device().to_owned(),
        kernel: architecture.kernel(spec.dtype),
        parameters,
        model_size_bytes: 4 * parameters,
        random_weights,
        synthetic_time: false,
        continuous_batching: architecture.continuous_batching(),
        decoding: Some(decoding(spec, &generation, architecture.as_ref(), &Settings::default())?),
        prompt: Some(architecture.default_prompt().to_owned()),
        system: None,
        notes,
    };
    Ok(Opened {
        spec: spec.clone(),
        source,
        architecture,
        generation,
        adapter,
        tokenizer,
        pieces,
        facts,
    })
}

fn one_of(dtypes: &[Dtype]) -> String {
    dtypes.iter().map(|dtype| dtype.as_str()).collect::<Vec<_>>().join(", ")
}

/// From `generation_config.json`, or from `config.json` if there is none, as in transformers.
fn generation(
    generation: Option<&Blob>,
    config: &Blob,
    parse: impl FnOnce(&[u8], &str) -> Result<GenerationConfig, generation_config::Error>,
) -> Result<GenerationConfig, Error> {
    let (blob, name) = match generation {
        Some(blob) => (blob, "generation_config.json"),
        None => (config, "config.json"),
    };
    parse(blob.text()?.as_bytes(), name)
        .map_err(|source| Error::GenerationConfig { file: blob.name().to_owned(), source })
}

/// What a model decodes with if it is asked for `settings`.
fn decoding(
    spec: &EngineSpec,
    model: &GenerationConfig,
    architecture: &dyn Architecture,
    settings: &Settings,
) -> Result<Decoding, Error> {
    let unusable = |source| Error::Settings { model: spec.model.clone(), source };
    let decoding = model.decoding(settings).map_err(unusable)?;
    let tokens = decoding.prompt_lookup_num_tokens;
    if tokens > 0 && !architecture.verifies_drafts() {
        return Err(Error::Drafts { tokens, kernel: architecture.kernel(spec.dtype) });
    }
    if architecture.is_greedy_only() && !decoding.is_plain() {
        let decoding = decoding.to_string();
        return Err(Error::GreedyOnly { decoding, kernel: architecture.kernel(spec.dtype) });
    }
    Ok(decoding)
}

/// A system message needs a template that writes it.
fn check_system(
    spec: &EngineSpec,
    tokenizer: Option<&Tokenizer>,
    settings: &Settings,
) -> Result<(), Error> {
    if settings.system.is_none() {
        return Ok(());
    }
    let checked = tokenizer.ok_or(chat_form::Error::NoTemplate).and_then(Tokenizer::check_system);
    checked.map_err(|source| Error::System { model: spec.model.clone(), source })
}

impl Opened {
    /// What the model decodes with if it is asked for `settings`. Those that it can't honor are an
    /// error.
    pub fn decoding(&self, settings: &Settings) -> Result<Decoding, Error> {
        check_system(&self.spec, self.tokenizer.as_ref(), settings)?;
        decoding(&self.spec, &self.generation, self.architecture.as_ref(), settings)
    }

    /// The facts of a model that is asked for `generation`. Settings that it can't honor are an
    /// error.
    pub fn asked_for(&self, generation: &Generation) -> Result<EngineFacts, Error> {
        let decoding = self.decoding(&generation.settings)?;
        let tokens = usize::try_from(decoding.max_new_tokens).unwrap_or(usize::MAX);
        let positions = self.architecture.prompt_form().longest;
        if let Some(positions) = positions.filter(|most| tokens > *most)
            && generation.stop == Stop::Eos
        {
            return Err(Error::Positions { tokens, positions });
        }
        let prompt = generation.prompt_or(self.architecture.default_prompt());
        let (decoding, prompt) = (Some(decoding), Some(prompt.to_owned()));
        let system = generation.settings.system.clone();
        Ok(EngineFacts { decoding, prompt, system, ..self.facts() })
    }

    /// Without a prompt and settings of the caller.
    pub fn facts(&self) -> EngineFacts {
        self.adapter
            .as_ref()
            .map_or_else(|| self.facts.clone(), |unmerged| unmerged.facts(&self.facts))
    }

    /// Requires a tokenizer.
    pub fn serves_text(self) -> Result<Self, Error> {
        match (&self.tokenizer, &self.pieces) {
            (Some(_), _) => Ok(self),
            (None, Some(file)) => Err(Error::PiecesOnly { file: file.clone() }),
            (None, None) => Err(Error::NoTokenizer { model: self.spec.model }),
        }
    }

    /// Reads the weights and starts the threads.
    pub fn load(self, threads: usize) -> Result<LanguageModel, Error> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|thread| format!("load-{thread}"))
            .build()
            .map_err(|source| Error::Threads { threads, source })?;
        let compute = pool.install(|| self.architecture.load(self.spec.dtype, threads))?;
        let mut model = LanguageModel {
            spec: self.spec.base(),
            source: self.source,
            compute,
            special_tokens: SpecialTokens { eos: self.generation.eos_ids.clone() },
            generation: self.generation,
            tokenizer: self.tokenizer,
            architecture: self.architecture,
            facts: self.facts.clone(),
            base_facts: self.facts,
        };
        model.take(self.spec, self.adapter.as_ref())?;
        Ok(model)
    }
}

/// A loaded model.
pub struct LanguageModel {
    spec: EngineSpec,
    source: &'static dyn ModelSource,
    compute: Box<dyn Compute>,
    special_tokens: SpecialTokens,
    /// What the model's files ask for.
    generation: GenerationConfig,
    tokenizer: Option<Tokenizer>,
    /// For prompts, and for matching other adapters.
    architecture: Box<dyn Architecture>,
    facts: EngineFacts,
    /// Without an unmerged adapter.
    base_facts: EngineFacts,
}

impl std::fmt::Debug for LanguageModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LanguageModel")
            .field("spec", &self.spec)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub prompt: Prompt,
    /// Replaces the limit of `decoding`.
    pub stop_rule: StopRule,
    /// From [`LanguageModel::decoding`].
    pub decoding: Arc<Decoding>,
}

impl Input {
    fn row_request(&self) -> RowRequest {
        let Self { prompt, stop_rule, decoding } = self;
        RowRequest {
            ids: prompt.ids.clone(),
            stop_rule: *stop_rule,
            decoding: Arc::clone(decoding),
        }
    }
}

impl LanguageModel {
    /// With the placeholder for the dialogue.
    pub fn default_prompt(&self) -> &str {
        self.architecture.default_prompt()
    }

    /// The prompt of a dialogue if none is specified, truncated like [`LanguageModel::prompt`].
    pub fn prompt_of(
        &self,
        system: Option<&str>,
        dialogue: &str,
        limit: usize,
    ) -> Result<Prompt, Error> {
        let instruction = self.default_prompt();
        let asked = chat_form::Asked { system, instruction, earlier: &[], dialogue };
        Ok(self.tokenizer()?.prompt_of(&asked, limit)?)
    }

    /// The prompt of a text, truncated to `limit` tokens and to what the model accepts.
    pub fn prompt(&self, text: &str, limit: usize) -> Result<Prompt, Error> {
        Ok(self.tokenizer()?.prompt(text, limit)?)
    }

    /// The prompt of given token ids, truncated to `limit` tokens and to what the model accepts.
    pub fn prompt_of_ids(&self, ids: Vec<u32>, limit: usize) -> Result<Prompt, Error> {
        if ids.is_empty() {
            return Err(Error::NoIds);
        }
        let vocabulary = self.architecture.vocabulary();
        let is_known = |id: &u32| usize::try_from(*id).is_ok_and(|id| id < vocabulary);
        match ids.iter().copied().find(|id| !is_known(id)) {
            Some(id) => Err(Error::TokenId { id, vocabulary }),
            None => Ok(self.architecture.prompt_form().cut(ids, limit)),
        }
    }

    /// What the model decodes with if it is asked for `settings`.
    pub fn decoding(&self, settings: &Settings) -> Result<Arc<Decoding>, Error> {
        check_system(&self.spec, self.tokenizer.as_ref(), settings)?;
        let architecture = self.architecture.as_ref();
        decoding(&self.spec, &self.generation, architecture, settings).map(Arc::new)
    }

    /// Decodes a batch into one row per input, in order. A failed row does not affect the others.
    pub fn decode(
        &mut self,
        inputs: &[Input],
        stopwatch: &Stopwatch,
    ) -> Result<Vec<Result<Row, Failure>>, Failure> {
        let orders = inputs.iter().map(Input::row_request).collect();
        let Self { compute, special_tokens, tokenizer, .. } = self;
        let mut rows: Vec<Option<Result<Row, Failure>>> = vec![None; inputs.len()];
        let mut batch = FixedBatch {
            orders,
            ended: |place: usize, decoded| {
                let prompt = &inputs[place].prompt;
                rows[place] = Some(row(prompt, decoded, tokenizer.as_ref(), stopwatch));
            },
        };
        generate(compute.as_mut(), special_tokens, &mut batch, stopwatch)?;
        Ok(rows.into_iter().map(|row| row.expect("generation ends every row")).collect())
    }

    /// Sets or removes the unmerged adapter and updates the facts.
    fn take(&mut self, spec: EngineSpec, unmerged: Option<&UnmergedAdapter>) -> Result<(), Error> {
        let outcome = self.compute.adapt(unmerged.map(|unmerged| &unmerged.adapter));
        let is_there = unmerged.filter(|_| outcome.is_ok());
        self.facts = is_there
            .map_or_else(|| self.base_facts.clone(), |unmerged| unmerged.facts(&self.base_facts));
        self.facts.model_size_bytes = self.compute.weight_bytes() + self.compute.adapter_bytes();
        self.spec = if outcome.is_ok() { spec } else { spec.base() };
        Ok(outcome?)
    }

    /// Switches the unmerged adapter to that of `spec`, or to none; an error leaves none. Returns
    /// `false` if `spec` needs other weights: another base, or a merged adapter on either side.
    pub fn switch(&mut self, spec: &EngineSpec) -> Result<bool, Error> {
        let is_merged = |spec: &EngineSpec| spec.adapter.is_some() && spec.unmerged().is_none();
        if self.spec.base() != spec.base() || is_merged(&self.spec) || is_merged(spec) {
            return Ok(false);
        }
        let find =
            |name| UnmergedAdapter::find(name, spec, self.architecture.tensors(), self.source);
        let unmerged = spec.unmerged().map(find).transpose()?;
        self.take(spec.clone(), unmerged.as_ref())?;
        Ok(true)
    }

    /// The roofline of these batches with `steps` tokens per row, against the measured limits of
    /// this machine. `None` if not supported.
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

    fn input(&self, request: &Request, asked: &Asked<'_>) -> Result<Input, Failure> {
        let tokenizer = self.tokenizer().map_err(|error| refused(request, &error))?;
        input(tokenizer, request, asked)
    }
}

fn refused(request: &Request, reason: &(dyn std::error::Error + 'static)) -> Failure {
    let detail = format!("{}: {}", request.sample_id, one_line(reason));
    Failure { retry: Retry::Never, kind: Kind::Input, detail }
}

fn not_decodable(error: &Error) -> Failure {
    Failure { retry: Retry::Never, kind: Kind::Model, detail: one_line(error) }
}

/// What the requests of a batch or a load are asked for.
struct Asked<'a> {
    generation: &'a Generation,
    prompt: &'a str,
    decoding: Arc<Decoding>,
}

fn input(tokenizer: &Tokenizer, request: &Request, asked: &Asked<'_>) -> Result<Input, Failure> {
    let Asked { generation, prompt, decoding } = asked;
    let failed = |error: tokenizer::Error| refused(request, &error);
    let size = |tokens: u32| usize::try_from(tokens).unwrap_or(usize::MAX);
    let limit = size(decoding.max_new_tokens);
    let stop_rule = match (generation.stop, &request.reference) {
        (Stop::Eos, _) => StopRule::EosOr(limit),
        (Stop::Reference, Some(reference)) => {
            StopRule::Exactly(tokenizer.count(reference).map_err(failed)?.min(limit))
        }
        (Stop::Reference, None) => return Err(refused(request, &Error::NoReference)),
    };
    if let Some(positions) = tokenizer.positions().filter(|most| stop_rule.limit() > *most) {
        return Err(refused(request, &Error::Positions { tokens: stop_rule.limit(), positions }));
    }
    let limit = size(generation.max_input_tokens);
    let asked = chat_form::Asked {
        system: generation.settings.system.as_deref(),
        instruction: prompt,
        earlier: &request.earlier,
        dialogue: &request.dialogue,
    };
    let prompt = tokenizer.prompt_of(&asked, limit).map_err(failed)?;
    Ok(Input { prompt, stop_rule, decoding: Arc::clone(decoding) })
}

impl Engine for LanguageModel {
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
        let decoding =
            self.decoding(&generation.settings).map_err(|error| not_decodable(&error))?;
        let prompt = generation.prompt_or(self.architecture.default_prompt());
        let asked = Asked { generation, prompt, decoding };
        let mut good = Vec::with_capacity(batch.len());
        let mut refused = Vec::new();
        for (place, request) in batch.iter().enumerate() {
            match self.input(request, &asked) {
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
        let decoding =
            self.decoding(&generation.settings).map_err(|error| not_decodable(&error))?;
        let Self { compute, special_tokens, tokenizer, spec, architecture, .. } = self;
        let prompt = generation.prompt_or(architecture.default_prompt());
        let asked = Asked { generation, prompt, decoding };
        let tokenizer = tokenizer.as_ref().ok_or_else(|| {
            let error = Error::NoTokenizer { model: spec.model.clone() };
            Failure { retry: Retry::Never, kind: Kind::Model, detail: error.to_string() }
        })?;
        let mut orders = IntakeQueue::new(intake, tokenizer, asked, stopwatch);
        generate(compute.as_mut(), special_tokens, &mut orders, stopwatch)
    }

    fn kv_cache_bytes(&self) -> u64 {
        self.compute.cache_bytes()
    }

    fn adapter_bytes(&self) -> u64 {
        self.compute.adapter_bytes()
    }

    fn switch(&mut self, spec: &EngineSpec) -> Result<bool, Failure> {
        LanguageModel::switch(self, spec).map_err(|error| load_failure(&error))
    }
}

/// Rows that all join at once.
struct FixedBatch<E> {
    orders: Vec<RowRequest>,
    ended: E,
}

impl<E: FnMut(usize, Result<Decoded, NotFinite>)> RowQueue for FixedBatch<E> {
    fn enter(&mut self) -> Vec<RowRequest> {
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
        first_token_ns: decoded.first_token_ns,
        output_ids: decoded.ids,
        end_ns: stopwatch.now_ns(),
        finish: decoded.finish,
        text,
        http: None,
        chunk_gaps: None,
        drafts: decoded.drafts,
    })
}
