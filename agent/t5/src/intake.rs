//! Requests that come one by one -> orders with their prompts; rows that ended -> texts.

use super::generate::{Decoded, NotFinite, Order, Orders};
use super::tokenizer::{Prompt, Tokenizer};
use super::{Input, input, row};
use engine::Intake;
use model::generation::Generation;
use std::collections::HashMap;
use stopwatch::Stopwatch;

/// An engine's [`Intake`] as generation sees it.
pub(super) struct Read<'a> {
    intake: &'a mut dyn Intake,
    tokenizer: &'a Tokenizer,
    generation: &'a Generation,
    stopwatch: &'a Stopwatch,
    /// How many requests have entered.
    requests: usize,
    /// How many orders were made of them.
    orders: usize,
    /// The orders that are being decoded: the number of the request, and its prompt.
    live: HashMap<usize, (usize, Prompt)>,
}

impl<'a> Read<'a> {
    pub(super) fn new(
        intake: &'a mut dyn Intake,
        tokenizer: &'a Tokenizer,
        generation: &'a Generation,
        stopwatch: &'a Stopwatch,
    ) -> Self {
        let live = HashMap::new();
        Self { intake, tokenizer, generation, stopwatch, requests: 0, orders: 0, live }
    }
}

impl Orders for Read<'_> {
    fn enter(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        loop {
            let requests = self.intake.enter();
            let is_over = requests.is_empty();
            for request in requests {
                let number = self.requests;
                self.requests += 1;
                match input(self.tokenizer, &request, self.generation) {
                    Ok(Input { prompt, until }) => {
                        orders.push(Order { ids: prompt.ids.clone(), until });
                        self.live.insert(self.orders, (number, prompt));
                        self.orders += 1;
                    }
                    Err(failure) => self.intake.ended(number, Err(failure)),
                }
            }
            // Where all that came failed, others may still come.
            if is_over || !self.live.is_empty() {
                return orders;
            }
        }
    }

    fn ended(&mut self, number: usize, decoded: Result<Decoded, NotFinite>) {
        let (number, prompt) = self.live.remove(&number).expect("it entered, and ends once");
        let row = row(&prompt, decoded, Some(self.tokenizer), self.stopwatch);
        self.intake.ended(number, row);
    }
}
