//! NVIDIA GPUs: the driver's library, loaded when a GPU is asked for; memory; the kernels of
//! `kernels/`, whose PTX is part of this program; and graphs of their launches.
//!
//! Needs a driver at run time, and neither CUDA's toolkit nor its other libraries. Does not know
//! models.
//!
//! A kernel reaches the memory of the GPU alone. Wrong sizes end in an error of the driver or in
//! wrong numbers, never in wrong memory of this process, so that launches are safe functions.

mod arguments;
mod driver;
mod graph;
mod kernels;
mod memory;
mod ranges;
mod weights;

pub use driver::{Capability, DeviceName, Driver, Error, Gpu, Version, uuid_begins_with};
pub use graph::Graph;
pub use kernels::{
    Activation, Attention, Bias, Destination, Embed, Fork, Form, Gate, HEAD_WIDTH, Kernels, Keys,
    MOST_KEYS, NextTokens, Norm, Positions, Product, Split, TileProduct,
};
pub use memory::{Buffer, Element};
pub use ranges::Ranges;
pub use weights::{Cache, Storage, Weights};
