//! Figures with intervals -> drawings -> SVG and PDF; the font and its metrics. Pure and independent of Fleetmark.

#![forbid(unsafe_code)]

pub mod chart;
pub mod font;
pub mod number;
pub mod pdf;
