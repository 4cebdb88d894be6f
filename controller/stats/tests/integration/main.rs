//! Estimates, comparisons, quality and validity against independent references.

mod comparisons;
mod rouge;
mod statistics;
mod validity;
