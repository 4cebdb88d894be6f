//! Campaigns that were never run: rows written straight into a store, so that every figure is known beforehand.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use keys::SigningKey;
use matrix::plan::{Plan, batches};
use matrix::{Matrix, Overrides};
use model::engine::EngineFacts;
use model::generation::Decoding;
use model::host::AgentFacts;
use model::ids::CampaignId;
use model::sample::{Finish, Outcome, Sample, SampleKey};
use model::segment::SegmentFacts;
use model::shard_digest::{ShardDigest, signed_message, text_hash};
use std::path::Path;
use std::process::{Command, Output};
use store::{
    AgentWrite, DatasetFacts, DialogueRow, NewCampaign, Place, PriceRow, SampleRow, SignatureRow,
    State, Store, Write,
};

/// What one campaign is; two that differ in one field differ in one thing.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) id: &'static str,
    pub(crate) samples: u32,
    pub(crate) runs: u32,
    /// Of every latency.
    pub(crate) factor: f64,
    /// How far runs lie from each other.
    pub(crate) run_spread: f64,
    pub(crate) prompt: &'static str,
    pub(crate) max_new_tokens: u32,
    pub(crate) num_beams: u32,
    pub(crate) target: &'static str,
    pub(crate) dtype: &'static str,
    pub(crate) batch_size: u32,
    pub(crate) model_sha256: &'static str,
    pub(crate) tokenizer_sha256: Option<&'static str>,
    pub(crate) data_sha256: char,
    pub(crate) ids_sha256: char,
    pub(crate) agent_version: &'static str,
    pub(crate) price: PriceRow,
    /// Appended to the matrix.
    pub(crate) matrix: &'static str,
    /// What every summary is; `None` for models without texts.
    pub(crate) text: Option<&'static str>,
    /// Who signs the samples; `None`: nobody.
    pub(crate) signer: Option<Signer>,
}

/// The certificate of the agent.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    /// DER.
    certificate: Vec<u8>,
    /// PEM.
    key: String,
    /// It signs the first runs.
    runs: u32,
}

impl Signer {
    /// With files of `controller certs`.
    pub(crate) fn read(folder: &Path, name: &str, runs: u32) -> Self {
        let read =
            |ending| std::fs::read_to_string(folder.join(format!("{name}.{ending}"))).unwrap();
        let pem = read("pem");
        let block = x509_parser::pem::Pem::iter_from_buffer(pem.as_bytes()).next();
        Self { certificate: block.unwrap().unwrap().contents, key: read("key"), runs }
    }

    /// The signature of a run, which is an attempt.
    fn sign(&self, made: &Made, plan: &Plan, run: u32, writes: &[Write]) -> Write {
        let (salt, attempt) = ([7; 32], run.into());
        let mut digest = ShardDigest::new(made.id, plan.cells[0].id.as_str(), run, attempt);
        for write in writes {
            let Write::Sample(SampleRow { key, sample, .. }) = write else { continue };
            let id = format!("d{}", key.sample).try_into().unwrap();
            let text = text_hash(&salt, &id, sample.text.as_deref(), sample.output_ids.as_ref());
            digest.add_sample(key.batch, &id, sample, &text);
        }
        let digest = digest.finish();
        let signature = SigningKey::from_pem(&self.key).unwrap().sign(&signed_message(&digest));
        Write::Signature(Box::new(SignatureRow {
            attempt,
            agent: 0,
            certificate: self.certificate.clone(),
            salt: Some(salt),
            digest,
            signature: signature.unwrap(),
        }))
    }
}

impl Default for Made {
    fn default() -> Self {
        Self {
            id: "base-20261101-080000-000",
            samples: 100,
            runs: 3,
            factor: 1.0,
            run_spread: 0.002,
            prompt: "Summarize: {dialogue}",
            max_new_tokens: 64,
            num_beams: 1,
            target: "here",
            dtype: "f32",
            batch_size: 1,
            model_sha256: "aaaa",
            tokenizer_sha256: Some("bbbb"),
            data_sha256: 'c',
            ids_sha256: 'd',
            agent_version: "0.1.0",
            price: of_matrix(0.36),
            matrix: "",
            text: Some("Anna will bring the cake to the party."),
            signer: None,
        }
    }
}

/// A price that the matrix brought itself.
pub(crate) fn of_matrix(usd_per_hour: f64) -> PriceRow {
    PriceRow {
        usd_per_hour,
        service: None,
        region: None,
        purchase: None,
        source: "matrix".to_owned(),
        date: None,
        is_region_assumed: false,
    }
}

fn matrix(made: &Made) -> (String, Matrix) {
    let Made { prompt, max_new_tokens, num_beams, target, dtype, batch_size, runs, matrix, .. } =
        made;
    let text = format!(
        "name = \"made\"\nseed = 7\n[dataset]\nsource = \"builtin:dialogues\"\n[[model]]\nname = \"tiny\"\nid = \"builtin:tiny\"\n\
         [factors]\nbatch_sizes = [{batch_size}]\ndtypes = [\"{dtype}\"]\n[generation]\nprompt = \"{prompt}\"\n\
         max_new_tokens = {max_new_tokens}\nnum_beams = {num_beams}\n[protocol]\nruns = {runs}\n[[fleet.local]]\ntarget = \"{target}\"\nusd_per_hour = 0.36\n{matrix}"
    );
    let checked = Matrix::check(&text, "made.toml", Path::new("/"), &Overrides::default());
    (text, checked.expect("the matrix is right"))
}

/// Writes a campaign into the store of a folder.
pub(crate) fn write(folder: &Path, made: &Made) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(written(folder, made));
}

async fn written(folder: &Path, made: &Made) {
    let store = Store::open(&Place::Folder(folder.to_owned())).await.unwrap();
    let (matrix_text, matrix) = matrix(made);
    let plan = Plan::make(&matrix, made.samples as usize).unwrap();
    let dialogues: Vec<DialogueRow> = (0..made.samples)
        .map(|sample| DialogueRow {
            sample_id: format!("d{sample}").as_str().try_into().unwrap(),
            dialogue: "Anna: I bring the cake".to_owned(),
            summary: Some(format!("Anna brings {sample} cakes to the party.")),
            is_measured: true,
        })
        .collect();
    let dataset = DatasetFacts {
        source: "builtin:dialogues".to_owned(),
        sha256: made.data_sha256.to_string().repeat(64),
        revision: None,
        dialogues: made.samples as usize,
        samples: made.samples as usize,
        sample_ids_sha256: made.ids_sha256.to_string().repeat(64),
        references: made.samples as usize,
        set_aside: None,
        notes: Vec::new(),
    };
    let id = CampaignId::try_from(made.id).unwrap();
    let at = "2026-11-01T08:00:00Z".parse().unwrap();
    let new = NewCampaign {
        id: &id,
        created_at: at,
        controller_version: "0.1.0",
        matrix_text: &matrix_text,
        matrix: &matrix,
        plan: &plan,
        dataset: &dataset,
        prices: std::slice::from_ref(&made.price),
        dialogues: &dialogues,
    };
    let no = store.create(&new).await.unwrap();
    let facts =
        AgentFacts { agent_version: made.agent_version.to_owned(), ..AgentFacts::default() };
    let engine = EngineFacts {
        model_sha256: Some(made.model_sha256.to_owned()),
        tokenizer_sha256: made.tokenizer_sha256.map(str::to_owned),
        device: "cpu".to_owned(),
        kernel: "t5 plain".to_owned(),
        decoding: Some(Decoding { num_beams: made.num_beams, ..Decoding::default() }),
        ..EngineFacts::default()
    };
    let joined = AgentWrite {
        ordinal: 0,
        agent: "agent-1".try_into().unwrap(),
        host: "boot-1".try_into().unwrap(),
        target: 0,
        joined_at: at,
        facts,
        engines: vec![Some(engine)],
    };
    let hold = store.hold(no, folder).await.unwrap();
    store.write(&hold, &[Write::Agent(Box::new(joined))]).await.unwrap();
    for run in 1..=made.runs {
        let key = (0, run, 1);
        let begins = Write::Segment { key, agent: 0, started_at: at };
        let facts = Write::SegmentFacts { key, facts: SegmentFacts::default() };
        store.write(&hold, &[begins, facts]).await.unwrap();
        let mut rows = samples(made, &plan, run);
        let signer = made.signer.as_ref().filter(|signer| run <= signer.runs);
        rows.extend(signer.map(|signer| signer.sign(made, &plan, run, &rows)));
        store.write(&hold, &rows).await.unwrap();
    }
    store.finish(&hold, State::Complete, at).await.unwrap();
    store.close().await;
}

fn samples(made: &Made, plan: &Plan, run: u32) -> Vec<Write> {
    let composition = batches::compose(plan.seed, run, made.batch_size, plan.samples);
    let mut start_ns = 0;
    let mut writes = Vec::new();
    for (batch, ordinals) in (0_u32..).zip(composition) {
        let mut longest = 0;
        for ordinal in ordinals {
            let latency_ns = latency_ns(made, run, ordinal);
            longest = longest.max(latency_ns);
            let sample = Sample {
                start_ns,
                ttft_ns: Some(latency_ns / 4),
                latency_ns,
                input_tokens: Some(40),
                cut_tokens: 0,
                output_tokens: Some(10 + ordinal % 7),
                unknown_tokens: 0,
                reference_tokens: (run == 1).then_some(12),
                schedule_delay_ns: None,
                http: None,
                chunk_gaps: None,
                drafts: None,
                outcome: Outcome::Ok(Finish::Eos),
                failure_detail: None,
                text: made.text.map(str::to_owned),
                output_ids: None,
            };
            let place = SampleRow {
                key: SampleKey {
                    cell: 0,
                    run,
                    sample: ordinal,
                    segment: 1,
                    attempt: u64::from(run),
                    agent: 0,
                    batch,
                },
                is_counted: true,
                sample,
            };
            writes.push(Write::Sample(place));
        }
        start_ns += longest;
    }
    writes
}

/// 10 to 19 ms by dialogue, more by run.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds")]
fn latency_ns(made: &Made, run: u32, ordinal: u32) -> u64 {
    let of_dialogue = 10.0 + f64::from(ordinal * 37 % 91) / 10.0;
    let of_run = 1.0 + made.run_spread * (f64::from(run) - 2.0);
    (of_dialogue * of_run * made.factor * 1e6) as u64
}

/// Runs `controller` in a folder.
pub(crate) fn controller(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_controller"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("the binary was built")
}

/// Its exit code, and everything that it said.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it speaks UTF-8");
    let code = output.status.code().expect("it ends itself");
    format!("exit {code}\n{}{}", text(&output.stdout), text(&output.stderr))
}
