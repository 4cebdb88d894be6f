//! Starts agents on cloud platforms, and stops them.
//!
//! An edge. Agents connect to the controller by themselves, so this crate depends on the matrix
//! only, not on running campaigns.

#![forbid(unsafe_code)]

pub mod sagemaker;
