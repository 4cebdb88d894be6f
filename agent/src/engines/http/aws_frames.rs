//! AWS's event stream: bytes in any pieces -> the payloads of its messages. Pure.
//!
//! SageMaker sends the container's response as messages with two checksums each (`PayloadPart`), and
//! reports a failure of the container or of itself as a message with an exception. The container's
//! events may be split between messages anywhere.

use aws_smithy_eventstream::error::Error as FrameError;
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::{Bytes, BytesMut};
use ops::error_chain::one_line;

/// The media type of a response.
pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// The most bytes of a message: SageMaker's have a few KiB.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Frames {
    decoder: MessageFrameDecoder,
    /// Bytes of the message that isn't complete yet, without its beginning if the decoder read it.
    left: BytesMut,
    /// A message has begun.
    is_within: bool,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    /// A wrong checksum, or bytes that are no message.
    #[error("a message of the stream is corrupt: {reason}")]
    Corrupt { reason: String },
    #[error("a message of the stream is longer than {MAX_MESSAGE_BYTES} bytes")]
    TooLong,
    /// The server's own report.
    #[error("the service reported {name}")]
    Exception { name: String, said: Bytes },
}

impl Frames {
    /// Takes the next bytes and hands over the payloads of the messages that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, Error> {
        self.left.extend_from_slice(bytes);
        let mut payloads = Vec::new();
        loop {
            self.is_within |= !self.left.is_empty();
            let frame = self.decoder.decode_frame(&mut self.left);
            let frame =
                frame.map_err(|error: FrameError| Error::Corrupt { reason: one_line(&error) })?;
            let DecodedFrame::Complete(message) = frame else {
                break;
            };
            self.is_within = false;
            let header = |name: &str| {
                let found = message.headers().iter().find(|it| it.name().as_str() == name);
                found
                    .and_then(|it| it.value().as_string().ok())
                    .map(|text| text.as_str().to_owned())
            };
            match header(":message-type").as_deref() {
                Some("exception") => {
                    let name = header(":exception-type").unwrap_or_default();
                    return Err(Error::Exception { name, said: message.payload().clone() });
                }
                Some("error") => {
                    let name = header(":error-code").unwrap_or_default();
                    let said = header(":error-message").unwrap_or_default().into();
                    return Err(Error::Exception { name, said });
                }
                _ if header(":event-type").as_deref() == Some("PayloadPart") => {
                    payloads.push(message.payload().clone());
                }
                // Events that later versions of the service may add.
                _ => {}
            }
        }
        if self.left.len() > MAX_MESSAGE_BYTES {
            return Err(Error::TooLong);
        }
        Ok(payloads)
    }

    /// Whether the stream would end within a message.
    pub(super) fn is_within_message(&self) -> bool {
        self.is_within
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    use proptest::prelude::*;

    /// A message with these headers, as AWS frames it.
    pub(in super::super) fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let message = Message::new(payload.to_vec());
        let message = headers.iter().fold(message, |message, (name, value)| {
            let value = HeaderValue::String((*value).to_owned().into());
            message.add_header(Header::new((*name).to_owned(), value))
        });
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).unwrap();
        bytes
    }

    pub(in super::super) fn part(payload: &[u8]) -> Vec<u8> {
        let headers = [
            (":message-type", "event"),
            (":event-type", "PayloadPart"),
            (":content-type", "application/octet-stream"),
        ];
        message(&headers, payload)
    }

    #[test]
    fn exceptions_and_errors_are_told_with_their_words() {
        let headers = [(":message-type", "exception"), (":exception-type", "ModelStreamError")];
        let said = br#"{"ErrorCode": "ModelInvocationTimeExceeded"}"#;
        let expected = Error::Exception {
            name: "ModelStreamError".to_owned(),
            said: Bytes::from_static(said),
        };
        assert_eq!(Frames::default().push(&message(&headers, said)), Err(expected));
        let headers = [
            (":message-type", "error"),
            (":error-code", "InternalStreamFailure"),
            (":error-message", "later"),
        ];
        let expected = Error::Exception {
            name: "InternalStreamFailure".to_owned(),
            said: Bytes::from_static(b"later"),
        };
        assert_eq!(Frames::default().push(&message(&headers, b"")), Err(expected));
    }

    #[test]
    fn a_wrong_checksum_and_an_endless_message_are_refused() {
        let good = part(b"data: x\n\n");
        for place in [9, 20, good.len() - 6, good.len() - 1] {
            let mut bad = good.clone();
            bad[place] ^= 1;
            let found = Frames::default().push(&bad);
            assert!(matches!(found, Err(Error::Corrupt { .. })), "{place}: {found:?}");
        }
        let mut endless = part(b"");
        endless[0] = 0x7f;
        let mut frames = Frames::default();
        assert_eq!(frames.push(&endless), Ok(Vec::new()));
        assert_eq!(frames.push(&vec![0; MAX_MESSAGE_BYTES + 1]), Err(Error::TooLong));
    }

    proptest! {
        /// However the bytes are split, and only at the end of a message a stream is whole.
        #[test]
        fn every_split_gives_the_same_payloads(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            size in 1..200_usize,
        ) {
            let bytes: Vec<u8> = payloads.iter().flat_map(|payload| part(payload)).collect();
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                found.extend(frames.push(piece).unwrap());
            }
            prop_assert_eq!(&found, &payloads);
            prop_assert!(!frames.is_within_message());
            if let Some((_, all_but_one)) = bytes.split_last() {
                let mut frames = Frames::default();
                frames.push(&bytes[..all_but_one.len()]).unwrap();
                prop_assert!(frames.is_within_message());
            }
        }

        #[test]
        fn no_bytes_break_the_decoder(bytes in any::<Vec<u8>>()) {
            let _ = Frames::default().push(&bytes);
        }
    }
}
