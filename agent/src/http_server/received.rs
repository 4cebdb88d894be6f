//! Request bodies, within one budget of memory for all connections.

use super::Refusal;
use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use ops::text;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// SageMaker's maximum request size.
pub(super) const MAX_BODY_BYTES: usize = 25 << 20;
/// Bytes per unit; sizes are rounded up.
const UNIT: usize = 1 << 10;
/// 128 MiB in units: five of the longest bodies.
const UNITS: usize = 1 << 17;
/// The first allocation of a body. It doubles as bytes arrive, whatever length is announced.
const FIRST_BYTES: usize = 16 << 10;

/// Shared by all connections.
#[derive(Debug, Clone)]
pub(super) struct BodyBudget(Arc<Semaphore>);

impl Default for BodyBudget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UNITS)))
    }
}

/// Held until the request is answered: the texts of a body take as much memory as the body.
#[derive(Debug, Default)]
pub(super) struct BodyPermit(Option<OwnedSemaphorePermit>);

impl BodyBudget {
    /// Reads a body to its end. The caller limits how long that takes.
    pub(super) async fn read(&self, mut body: Body) -> Result<(Vec<u8>, BodyPermit), Refusal> {
        let announced = axum::body::HttpBody::size_hint(&body).exact();
        if announced.is_some_and(|bytes| bytes > MAX_BODY_BYTES as u64) {
            return Err(too_long());
        }
        let (mut bytes, mut permit) = (Vec::new(), BodyPermit::default());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Refusal::new(StatusCode::BAD_REQUEST, format!("the body is incomplete: {error}"))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            self.reserve(&mut bytes, data.len(), &mut permit)?;
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, permit))
    }

    /// Makes room for `more` bytes, and charges what is allocated.
    fn reserve(
        &self,
        bytes: &mut Vec<u8>,
        more: usize,
        permit: &mut BodyPermit,
    ) -> Result<(), Refusal> {
        let needed = bytes.len() + more;
        if needed > MAX_BODY_BYTES {
            return Err(too_long());
        }
        if needed <= bytes.capacity() {
            return Ok(());
        }
        let capacity = needed.max(2 * bytes.capacity()).clamp(FIRST_BYTES, MAX_BODY_BYTES);
        self.charge(capacity - bytes.capacity(), permit)?;
        bytes.reserve_exact(capacity - bytes.len());
        Ok(())
    }

    /// The text of a body. Tools that write files by line may begin them with a byte order mark, or send them
    /// compressed: what that takes beyond the body is charged before it is allocated.
    pub(super) fn decode<'a>(
        &self,
        body: &'a [u8],
        permit: &mut BodyPermit,
    ) -> Result<Cow<'a, str>, Refusal> {
        let allocated =
            text::allocated(body, MAX_BODY_BYTES as u64).map_err(|error| unreadable(&error))?;
        let allocated = usize::try_from(allocated).unwrap_or(usize::MAX);
        self.charge(allocated, permit)?;
        let text = text::decode_at_most(body, MAX_BODY_BYTES as u64)
            .map_err(|error| unreadable(&error))?;
        if let Cow::Owned(text) = &text {
            permit.release(allocated.saturating_sub(text.capacity()));
        }
        Ok(text)
    }

    fn charge(&self, bytes: usize, permit: &mut BodyPermit) -> Result<(), Refusal> {
        // At most a few of the longest bodies, which is less than 2^32 units.
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let Ok(charged) = Arc::clone(&self.0).try_acquire_many_owned(units) else {
            let reason = "the memory for request bodies is in use; try again later";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason.to_owned()));
        };
        match &mut permit.0 {
            Some(held) => held.merge(charged),
            None => permit.0 = Some(charged),
        }
        Ok(())
    }
}

impl BodyPermit {
    /// Gives back what these bytes were charged for, rounded down.
    fn release(&mut self, bytes: usize) {
        drop(self.0.as_mut().and_then(|held| held.split(bytes / UNIT)));
    }
}

fn unreadable(error: &text::Error) -> Refusal {
    let status = match error {
        text::Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    Refusal::new(status, format!("the body {error}"))
}

fn too_long() -> Refusal {
    let most = MAX_BODY_BYTES >> 20;
    let reason = format!("the body is longer than the limit of {most} MiB");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use proptest::prelude::*;
    use std::convert::Infallible;
    use std::io::Write;
    use tokio::task::JoinSet;
    use tokio_stream::StreamExt;

    /// A body of this length in pieces, without its last byte: it never ends.
    fn half_sent(length: usize) -> Body {
        let (piece, count) = (1 << 16, length.div_ceil(1 << 16));
        let pieces = (0..count).map(move |index| (length - 1 - index * piece).min(piece));
        let pieces = tokio_stream::iter(pieces.map(|bytes| Ok(Bytes::from(vec![0; bytes]))));
        Body::from_stream(pieces.chain(tokio_stream::pending::<Result<Bytes, Infallible>>()))
    }

    #[tokio::test]
    async fn half_sent_bodies_share_the_budget() {
        let budget = BodyBudget::default();
        let mut reading = JoinSet::new();
        for _ in 0..40 {
            let budget = budget.clone();
            reading.spawn(async move { budget.read(half_sent(MAX_BODY_BYTES)).await.err() });
        }
        // Five fit; the others are refused while those wait for their ends.
        for _ in 0..35 {
            let refused = reading.join_next().await.unwrap().unwrap().expect("it is refused");
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.reason);
        }
        assert_eq!(reading.len(), 5);
        assert_eq!(budget.0.available_permits(), UNITS - 5 * MAX_BODY_BYTES / UNIT);
        reading.shutdown().await;
        assert_eq!(budget.0.available_permits(), UNITS);
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_refused() {
        let announced = Body::from(vec![0; MAX_BODY_BYTES + 1]);
        let found = Body::from_stream(tokio_stream::iter(
            [MAX_BODY_BYTES, 1].map(|bytes| Ok::<_, Infallible>(Bytes::from(vec![0; bytes]))),
        ));
        for body in [announced, found] {
            let refused = BodyBudget::default().read(body).await.expect_err("it is too long");
            assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(refused.reason, "the body is longer than the limit of 25 MiB");
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn a_compressed_body_is_charged_for_its_text() {
        let budget = BodyBudget::default();
        let length = 10 << 20;
        let bomb = gzip(&vec![b' '; length]);
        let mut held = Vec::new();
        for _ in 0..10 {
            let (body, mut permit) = budget.read(Body::from(bomb.clone())).await.unwrap();
            assert_eq!(budget.decode(&body, &mut permit).unwrap().len(), length);
            held.push(permit);
        }
        let charged = (UNITS - budget.0.available_permits()) * UNIT;
        assert!((10 * length..=11 * length).contains(&charged), "{charged}");
        // There is room for the compressed bytes, and not for their text.
        let (body, mut permit) = budget.read(Body::from(bomb)).await.unwrap();
        let refused = budget.decode(&body, &mut permit).expect_err("it doesn't fit");
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.reason);
        drop((permit, held));
        assert_eq!(budget.0.available_permits(), UNITS);
    }

    #[tokio::test]
    async fn a_plain_body_is_not_charged_again() {
        let budget = BodyBudget::default();
        let (body, mut permit) = budget.read(Body::from("{}")).await.unwrap();
        let before = budget.0.available_permits();
        assert!(matches!(budget.decode(&body, &mut permit), Ok(Cow::Borrowed("{}"))));
        assert_eq!(budget.0.available_permits(), before);
    }

    proptest! {
        /// However it arrives, a body is read as it is, and never takes more than twice its length.
        #[test]
        fn a_body_is_read_unchanged(pieces in prop::collection::vec(0..50_000_usize, 0..20)) {
            let budget = BodyBudget::default();
            let bytes: Vec<u8> = pieces.iter().flat_map(|length| vec![7; *length]).collect();
            let pieces = pieces.into_iter().map(|length| Ok::<_, Infallible>(Bytes::from(vec![7; length])));
            let body = Body::from_stream(tokio_stream::iter(pieces.collect::<Vec<_>>()));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (read, permit) = runtime.block_on(budget.read(body)).expect("it fits");
            prop_assert_eq!(&read, &bytes);
            let charged = (UNITS - budget.0.available_permits()) * UNIT;
            prop_assert!(charged >= read.capacity());
            prop_assert!(charged <= 2 * bytes.len() + FIRST_BYTES + 20 * UNIT, "{}", charged);
            drop(permit);
            prop_assert_eq!(budget.0.available_permits(), UNITS);
        }
    }
}
