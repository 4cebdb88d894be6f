//! Requests that enter while others are decoded get the tokens that they get alone.

use super::fixture::spec;
use agent::engines::{self, http::Permissions};
use engine::{Intake, Request, Row};
use model::engine::{Dtype, EngineSpec};
use model::failure::{Failure, Kind};
use model::generation::{Generation, Settings, Stop};
use seq2seq::device::Device;
use stopwatch::Stopwatch;

const GREETINGS: [&str; 8] = [
    "Ann: Is the soup ready?\nBob: Nearly.",
    "Tom: Hi",
    "Eve: Can you bring my red bag to the station at nine?\nIan: Yes, I will be there with it.",
    "Ola: The train is late again.\nPia: How long?\nOla: Forty minutes.\nPia: I will wait for you.",
    "Max: Lunch?\nUma: At noon.",
    "Lea: I lost the key to the cellar. Have you got another one?\nJon: Ask Kim.\nLea: Thanks!",
    "Rob: No.",
    "Zoe: Who feeds the cat on Sunday?\nRob: I do.\nZoe: And on Monday?\nRob: You do, please.",
];

/// Room for three; a request comes at every fourth look, whether there is room for it or not.
struct Trickle {
    waiting: Vec<Request>,
    polls: usize,
    most: usize,
    live: usize,
    most_live: usize,
    rows: Vec<Option<Result<Row, Failure>>>,
}

impl Trickle {
    fn of(waiting: Vec<Request>) -> Self {
        let rows = vec![None; waiting.len()];
        Self { waiting, polls: 0, most: 3, live: 0, most_live: 0, rows }
    }

    fn ids(&self) -> Vec<Vec<u32>> {
        let row = |row: &Option<Result<Row, Failure>>| match row.as_ref().unwrap() {
            Ok(row) => row.output_ids.clone(),
            Err(_) => Vec::new(),
        };
        self.rows.iter().map(row).collect()
    }
}

impl Intake for Trickle {
    fn enter(&mut self) -> Vec<Request> {
        self.polls += 1;
        let is_due = self.polls.is_multiple_of(4) || self.live == 0;
        if !is_due || self.live == self.most || self.waiting.is_empty() {
            return Vec::new();
        }
        self.live += 1;
        self.most_live = self.most_live.max(self.live);
        vec![self.waiting.remove(0)]
    }

    fn ended(&mut self, number: usize, row: Result<Row, Failure>) {
        assert!(self.rows[number].replace(row).is_none(), "{number} ended twice");
        self.live -= 1;
    }
}

fn requests() -> Vec<Request> {
    let request = |(number, dialogue): (usize, &&str)| Request {
        sample_id: number.to_string(),
        dialogue: (*dialogue).to_owned(),
        earlier: Vec::new(),
        // Without one nothing says how long the summary is to be.
        reference: (number != 1).then(|| dialogue.replace(':', " says")),
    };
    GREETINGS.iter().enumerate().map(request).collect()
}

fn generation(stop: Stop) -> Generation {
    let prompt = None;
    let settings = Settings { max_new_tokens: Some(24), ..Settings::default() };
    Generation { prompt, max_input_tokens: 64, stop, settings }
}

#[test]
fn who_enters_late_gets_the_tokens_that_he_gets_alone() {
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Int8] {
        let spec = EngineSpec { dtype, ..spec("builtin:tiny") };
        let mut engine = engines::load(&spec, &Device::cpu(), 2, &Permissions::default()).unwrap();
        assert!(engine.facts().continuous_batching);
        let (generation, stopwatch) = (generation(Stop::Eos), Stopwatch::start());
        let alone: Vec<Vec<u32>> = requests()
            .iter()
            .map(|request| {
                let batch = std::slice::from_ref(request);
                let rows = engine.generate(batch, &generation, &stopwatch).unwrap();
                rows[0].as_ref().unwrap().output_ids.clone()
            })
            .collect();
        let mut trickle = Trickle::of(requests());
        engine.serve(&mut trickle, &generation, &stopwatch).unwrap();
        assert_eq!(trickle.ids(), alone, "{dtype}");
        assert!(trickle.most_live > 1, "none was decoded unmerged another");
        for row in trickle.rows {
            let row = row.unwrap().unwrap();
            assert!(row.first_token_ns.unwrap() <= row.end_ns);
        }
    }
}

#[test]
fn who_cannot_be_served_leaves_the_others_alone() {
    let mut engine =
        engines::load(&spec("builtin:tiny"), &Device::cpu(), 1, &Permissions::default()).unwrap();
    let (generation, stopwatch) = (generation(Stop::Reference), Stopwatch::start());
    let rows = engine.generate(&requests(), &generation, &stopwatch).unwrap();
    let expected: Vec<Vec<u32>> =
        rows.into_iter().map(|row| row.map_or_else(|_| Vec::new(), |row| row.output_ids)).collect();
    let mut trickle = Trickle::of(requests());
    engine.serve(&mut trickle, &generation, &stopwatch).unwrap();
    assert_eq!(trickle.ids(), expected);
    let failure = trickle.rows[1].as_ref().unwrap().as_ref().unwrap_err();
    assert_eq!(failure.kind, Kind::Input);
    // One that comes alone and fails isn't the last.
    let failing = requests().swap_remove(1);
    let mut trickle = Trickle::of(vec![failing.clone(), failing, requests().swap_remove(0)]);
    engine.serve(&mut trickle, &generation, &stopwatch).unwrap();
    assert_eq!(trickle.ids()[2], expected[0]);
}
