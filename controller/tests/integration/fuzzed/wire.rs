//! Any bytes as messages of an agent that was offered a shard, each after its length: nothing that isn't offered is
//! taken, and no text that was taken acts where it is shown.

use campaign::{AgentReport, BatchReport};
use fleet::check;
use fleet::stream_protocol::StreamProtocol;
use model::text::{LineBreaks, printable};
use prost::Message as _;
use proto::SampleError;
use proto::wire::{self, from_agent::Message};

/// Batches of the shard.
const BATCHES: u32 = 3;

pub(crate) fn check(mut bytes: &[u8]) {
    let batches =
        (0..BATCHES).map(|index| wire::Batch { index, requests: vec![wire::Request::default()] });
    let offer = wire::ShardOffer {
        shard: 1,
        attempt: 2,
        batches: batches.collect(),
        ..wire::ShardOffer::default()
    };
    let mut protocol = StreamProtocol::default();
    protocol.offer(&offer);
    let mut taken = 0;
    while let Ok(message) = wire::FromAgent::decode_length_delimited(&mut bytes) {
        let Some(message) = message.message else { continue };
        if let Message::Ready(ready) = message {
            for facts in
                ready.engines.into_iter().filter_map(|engine| check::engine(engine).ok()?.ok())
            {
                assert!(
                    facts
                        .notes
                        .iter()
                        .chain([&facts.device, &facts.kernel])
                        .all(|text| is_plain(text))
                );
            }
            continue;
        }
        if protocol.hear(&message).is_err() {
            return;
        }
        match check::report(message) {
            Err(_) => return,
            Ok(AgentReport::Batch(BatchReport { samples, .. })) => {
                taken += 1;
                assert!(samples.iter().all(|(id, _)| !id.as_str().contains(char::is_control)));
                for sample in samples {
                    let again = TryFrom::try_from(wire::Sample::from(sample.clone()));
                    assert_eq!(again, Ok::<_, SampleError>(sample));
                }
            }
            Ok(AgentReport::Failed { failure, .. }) => assert!(is_plain(&failure.detail)),
            Ok(_) => {}
        }
        assert!(taken <= BATCHES, "more was taken than was offered");
    }
}

fn is_plain(text: &str) -> bool {
    printable(text, LineBreaks::Escaped) == text
}
