//! A load of requests that arrive while others are in flight: one task each, on one thread.

use super::{Connection, Http, Response};
use engine::{Entry, Intake, Request, plain_prompt};
use model::failure::{Failure, Kind};
use model::generation::{Generation, INSTRUCTION};
use model::panic::words;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use stopwatch::Stopwatch;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

/// How often to look for a cancellation, and for the end of a load window, while nothing happens.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

type Answer = (Connection, Result<Response, Failure>);

/// The requests in flight.
#[derive(Default)]
struct InFlight {
    tasks: JoinSet<Answer>,
    /// Number and prompt of each.
    requests: HashMap<Id, (usize, String)>,
    entered: usize,
}

impl Http {
    /// Sends each request when it arrives and reports each row when its response is complete. A
    /// cancelled load closes the connections of its requests.
    pub(super) fn carry(
        &mut self,
        intake: &mut dyn Intake,
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) {
        let mut idle = std::mem::take(&mut self.connections);
        self.runtime.block_on(self.carry_with(&mut idle, intake, generation, stopwatch));
        self.connections = idle;
    }

    async fn carry_with(
        &self,
        idle: &mut Vec<Connection>,
        intake: &mut dyn Intake,
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) {
        let arrivals = Arc::new(Notify::new());
        let arrived = Arc::clone(&arrivals);
        intake.wake_with(Arc::new(move || arrived.notify_one()));
        let mut in_flight = InFlight::default();
        loop {
            match intake.poll() {
                Entry::Requests(requests) => {
                    for request in requests {
                        let connection = idle.pop().unwrap_or_default();
                        self.send(&mut in_flight, connection, &request, generation, stopwatch);
                    }
                }
                Entry::Over if in_flight.tasks.is_empty() => return,
                Entry::Over => {}
                // Dropping the tasks closes their connections.
                Entry::Cancelled => return,
            }
            tokio::select! {
                Some(ended) = in_flight.tasks.join_next_with_id() => {
                    self.end(&mut in_flight, ended, idle, intake, generation);
                    while let Some(ended) = in_flight.tasks.try_join_next_with_id() {
                        self.end(&mut in_flight, ended, idle, intake, generation);
                    }
                }
                () = arrivals.notified() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    fn send(
        &self,
        in_flight: &mut InFlight,
        mut connection: Connection,
        request: &Request,
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) {
        let instruction = generation.prompt_or(INSTRUCTION);
        let prompt = plain_prompt(instruction, &request.earlier, &request.dialogue);
        let body = self.template.fill(&prompt, generation);
        let (target, stopwatch) = (self.target.clone(), stopwatch.clone());
        let task = in_flight.tasks.spawn(async move {
            let response = connection.ask(&target, body, &stopwatch).await;
            (connection, response)
        });
        in_flight.requests.insert(task.id(), (in_flight.entered, prompt));
        in_flight.entered += 1;
    }

    fn end(
        &self,
        in_flight: &mut InFlight,
        ended: Result<(Id, Answer), JoinError>,
        idle: &mut Vec<Connection>,
        intake: &mut dyn Intake,
        generation: &Generation,
    ) {
        let (id, response) = match ended {
            Ok((id, (connection, response))) => {
                idle.push(connection);
                (id, response)
            }
            // The panic was printed where it happened.
            Err(error) => {
                let id = error.id();
                let reason = error.try_into_panic().map_or_else(
                    |_| "the request was aborted".to_owned(),
                    |panic| format!("the request panicked: {}", words(&*panic)),
                );
                (id, Err(super::failed(Kind::Internal, reason)))
            }
        };
        let request = in_flight.requests.remove(&id);
        let (number, prompt) = request.expect("every task is entered, and ends once");
        intake.ended(number, self.row(&prompt, response, generation));
    }
}
