//! Requests for SageMaker.

mod sagemaker;
