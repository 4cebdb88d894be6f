//! Converts requests to decoder input, and decoded rows to texts.

use super::generate::{Decoded, NotFinite, RowQueue, RowRequest};
use super::tokenizer::{Prompt, Tokenizer};
use super::{Asked, Input, input, row};
use engine::Intake;
use std::collections::HashMap;
use stopwatch::Stopwatch;

/// Adapts an engine's [`Intake`] to generation.
pub(super) struct IntakeQueue<'a> {
    intake: &'a mut dyn Intake,
    tokenizer: &'a Tokenizer,
    asked: Asked<'a>,
    stopwatch: &'a Stopwatch,
    /// Requests taken so far.
    requests: usize,
    /// Rows added so far.
    orders: usize,
    /// Active rows: the request's number and its prompt.
    live: HashMap<usize, (usize, Prompt)>,
    /// Active rows whose text is wanted while it is decoded.
    streams: HashMap<usize, TextStream<'a>>,
}

/// A token in, the text that it completes out.
type TextStream<'a> = Box<dyn FnMut(u32) -> Option<String> + 'a>;

impl<'a> IntakeQueue<'a> {
    pub(super) fn new(
        intake: &'a mut dyn Intake,
        tokenizer: &'a Tokenizer,
        asked: Asked<'a>,
        stopwatch: &'a Stopwatch,
    ) -> Self {
        let (live, streams) = (HashMap::new(), HashMap::new());
        Self { intake, tokenizer, asked, stopwatch, requests: 0, orders: 0, live, streams }
    }
}

impl RowQueue for IntakeQueue<'_> {
    fn enter(&mut self) -> Vec<RowRequest> {
        let mut orders = Vec::new();
        loop {
            let requests = self.intake.enter();
            let is_over = requests.is_empty();
            for request in requests {
                let number = self.requests;
                self.requests += 1;
                match input(self.tokenizer, &request, &self.asked) {
                    Ok(input) => {
                        orders.push(input.row_request());
                        let Input { prompt, .. } = input;
                        self.live.insert(self.orders, (number, prompt));
                        self.orders += 1;
                    }
                    Err(failure) => self.intake.ended(number, Err(failure)),
                }
            }
            // Even if all of these failed, more may come.
            if is_over || !self.live.is_empty() {
                return orders;
            }
        }
    }

    fn token(&mut self, number: usize, id: u32) {
        let Some(&(request, _)) = self.live.get(&number) else { return };
        if !self.intake.wants_text(request) {
            return;
        }
        let tokenizer = self.tokenizer;
        let stream = self.streams.entry(number).or_insert_with(|| Box::new(tokenizer.stream()));
        if let Some(piece) = stream(id) {
            self.intake.text(request, &piece);
        }
    }

    fn take_cancelled(&mut self) -> Vec<usize> {
        let requests = self.intake.take_cancelled();
        if requests.is_empty() {
            return Vec::new();
        }
        let cancelled = self.live.iter().filter(|(_, (request, _))| requests.contains(request));
        let cancelled: Vec<usize> = cancelled.map(|(number, _)| *number).collect();
        for number in &cancelled {
            self.live.remove(number);
            self.streams.remove(number);
        }
        cancelled
    }

    fn ended(&mut self, number: usize, decoded: Result<Decoded, NotFinite>) {
        self.streams.remove(&number);
        let (number, prompt) = self.live.remove(&number).expect("it entered, and ends once");
        let row = row(&prompt, decoded, Some(self.tokenizer), self.stopwatch);
        self.intake.ended(number, row);
    }
}
