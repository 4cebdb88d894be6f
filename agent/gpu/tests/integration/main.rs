//! `cargo xtask ignored on_a_gpu::` runs these, with the driver that the loader finds.

#![expect(clippy::unwrap_used, reason = "in a test an error is a failure, in its helpers too")]
#![expect(clippy::cast_possible_truncation, reason = "references are computed in f64")]

mod on_a_gpu;
