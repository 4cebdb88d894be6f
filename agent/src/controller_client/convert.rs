//! Wire messages to the runner's types, and back.

use super::Device;
use crate::runner::{Activity, Batch, Measured, Offer};
use crate::workload::{Gaps, Load, Sustained};
use engine::Request;
use model::ids::{self, SampleId};
use model::load::{self, Share};
use model::{rate_profile, recorded_arrivals};
use proto::wire;

/// An offer that this agent can't measure.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Id(#[from] ids::Error),
    #[error("the rate of the load changes in an invalid way")]
    RateProfile(#[from] rate_profile::Error),
    #[error("the load has invalid arrival times")]
    Recorded(#[from] recorded_arrivals::Error),
    #[error(transparent)]
    Share(#[from] load::Error),
}

pub(super) fn offer(offer: wire::ShardOffer) -> Result<Offer, Error> {
    let batches = |batches: Vec<wire::Batch>| -> Result<Vec<Batch>, ids::Error> {
        batches.into_iter().map(batch).collect()
    };
    let share = offer.share.map(Share::try_from).transpose()?;
    let load = offer.load.map(load).transpose()?;
    Ok(Offer {
        shard: offer.shard,
        attempt: offer.attempt,
        engine: offer.engine,
        batch_size: offer.batch_size,
        warmup: batches(offer.warmup)?,
        batches: batches(offer.batches)?,
        is_together: share.is_some(),
        load: load.map(|load| Load { share, ..load }),
    })
}

fn batch(batch: wire::Batch) -> Result<Batch, ids::Error> {
    let request = |request: wire::Request| {
        Ok(Request {
            sample_id: SampleId::try_from(request.sample_id)?.into(),
            dialogue: request.dialogue,
            earlier: Vec::new(),
            reference: Some(request.reference).filter(|text| !text.is_empty()),
        })
    };
    let requests = batch.requests.into_iter().map(request).collect::<Result<_, ids::Error>>()?;
    Ok(Batch { index: batch.index, requests })
}

fn load(load: wire::Load) -> Result<Load, Error> {
    let sustained = |sustained: wire::Sustained| Sustained {
        window_ns: sustained.window_ns,
        windows: sustained.windows,
        passed: sustained.passed,
    };
    let gaps = match load.gap_cv {
        _ if load.constant_gaps => Gaps::Constant,
        cv if cv > 0.0 => Gaps::Gamma { cv },
        _ => Gaps::Exponential,
    };
    Ok(Load {
        request_rate: load.request_rate,
        gaps,
        profile: load.rate_profile.unwrap_or_default().try_into()?,
        recorded: load.recorded.map(TryInto::try_into).transpose()?,
        seed: load.seed,
        max_batch_delay_ns: load.max_batch_delay_ns,
        max_queue: load.max_queue,
        concurrency: load.concurrency,
        sustained: load.sustained.map(sustained),
        continuous: load.continuous,
        max_in_flight: load.max_in_flight,
        share: None,
    })
}

pub(super) fn samples(measured: Measured) -> wire::Samples {
    wire::Samples {
        shard: measured.shard,
        attempt: measured.attempt,
        sequence: measured.sequence,
        batch: measured.batch,
        samples: measured.samples.into_iter().map(Into::into).collect(),
        window: measured.window.map(Into::into),
    }
}

pub(super) fn activity(activity: Activity) -> wire::Activity {
    match activity {
        Activity::Idle => wire::Activity::Idle,
        Activity::Queued => wire::Activity::Queued,
        Activity::Loading => wire::Activity::Loading,
        Activity::Warming => wire::Activity::Warming,
        Activity::Waiting => wire::Activity::Waiting,
        Activity::Measuring => wire::Activity::Measuring,
    }
}

pub(super) fn device(device: &Device) -> wire::Device {
    wire::Device {
        name: device.name.clone(),
        dtypes: device.dtypes.iter().map(|dtype| dtype.as_str().to_owned()).collect(),
        gpu_name: device.gpu_name.clone(),
    }
}
