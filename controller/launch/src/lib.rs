//! Agents on platforms that place them, end them and bill for them: what is asked for, sent, and stopped again.
//!
//! Agents only dial in, so nothing here knows of campaigns that run: a matrix says which agents are wanted, and
//! that is all.

#![forbid(unsafe_code)]

pub mod sagemaker;
