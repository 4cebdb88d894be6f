//! Protobuf on the wire <-> wire types. A message of an agent that would take far more memory than its bytes is refused
//! before it is decoded.

use super::decoded_size::{self, FROM_AGENT, Shape};
use super::wire;
use prost::{Message, bytes::Buf};
use std::marker::PhantomData;
use tonic::codec::{DecodeBuf, Decoder};
use tonic::{Status, codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// A decoded message takes at most as many times the memory of its bytes, or of [`SHORT_BYTES`]. Telemetry takes twice
/// its bytes, and a batch of 256 samples without texts 100 KiB.
pub const MAX_GROWTH: usize = 4;
/// Messages below this length may grow like one of this length.
const SHORT_BYTES: usize = 64 << 10;

/// A message that one of the two programs receives.
pub trait Received: Message + Default + Send + 'static {
    /// Set if its sender isn't trusted.
    const LIMITED: Option<&'static Shape>;
}

impl Received for wire::FromAgent {
    const LIMITED: Option<&'static Shape> = Some(&FROM_AGENT);
}

/// Agents trust their controller.
impl Received for wire::FromController {
    const LIMITED: Option<&'static Shape> = None;
}

/// The codec of both programs: sends `T`, receives `U`.
#[derive(Debug, Clone)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: Received> codec::Codec for Codec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = LimitedDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> LimitedDecoder<U> {
        LimitedDecoder(ProstDecoder::default())
    }
}

#[derive(Debug, Clone)]
pub struct LimitedDecoder<U>(ProstDecoder<U>);

impl<U: Received> Decoder for LimitedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        if let Some(shape) = U::LIMITED {
            check(shape, buffer.chunk())?;
        }
        self.0.decode(buffer)
    }
}

fn check(shape: &Shape, bytes: &[u8]) -> Result<(), Status> {
    let size = decoded_size::of(shape, bytes)
        .map_err(|error| Status::internal(format!("failed to decode a message: {error}")))?;
    let most = MAX_GROWTH * bytes.len().max(SHORT_BYTES);
    if size <= most {
        return Ok(());
    }
    let length = bytes.len();
    let status = format!("a message of {length} bytes takes {size} bytes, the limit is {most}");
    Err(Status::out_of_range(status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FromAgent, from_agent::Message as Said};

    fn checked(message: Said) -> Result<(), Status> {
        check(&FROM_AGENT, &FromAgent { message: Some(message) }.encode_to_vec())
    }

    #[test]
    fn messages_of_empty_elements_are_refused() {
        let many = 1 << 20;
        let samples = vec![wire::Sample::default(); many];
        let windows = vec![wire::Window::default(); many];
        let absences = vec![wire::Absence::default(); many];
        let engines = vec![wire::EngineReport::default(); many];
        for message in [
            Said::Samples(wire::Samples { samples, ..wire::Samples::default() }),
            Said::Telemetry(wire::Telemetry { windows, ..wire::Telemetry::default() }),
            Said::Telemetry(wire::Telemetry { absences, ..wire::Telemetry::default() }),
            Said::Ready(wire::Ready { engines }),
        ] {
            let refused = checked(message).expect_err("it grows");
            assert_eq!(refused.code(), tonic::Code::OutOfRange, "{refused}");
        }
    }

    #[test]
    fn large_honest_messages_are_decoded() {
        let sample = wire::Sample {
            sample_id: "s1".to_owned(),
            start_ns: 1 << 40,
            latency_ns: 1 << 27,
            finish: "eos".to_owned(),
            ..wire::Sample::default()
        };
        let samples = vec![sample.clone(); 256];
        checked(Said::Samples(wire::Samples { samples, ..wire::Samples::default() })).unwrap();
        let long =
            wire::Sample { text: Some("x".repeat(16 << 10)), output_ids: vec![3; 4096], ..sample };
        let samples = vec![long; 256];
        checked(Said::Samples(wire::Samples { samples, ..wire::Samples::default() })).unwrap();
        let reading = wire::Reading { metric: "cpu_percent".to_owned(), value: 0.5 };
        let window = wire::Window { readings: vec![reading; 20], ..wire::Window::default() };
        let windows = vec![window; 4096];
        checked(Said::Telemetry(wire::Telemetry { windows, ..wire::Telemetry::default() }))
            .unwrap();
    }
}
