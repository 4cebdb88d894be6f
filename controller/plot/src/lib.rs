//! Figures with intervals -> marks on a plane -> SVG; the font and its widths. Pure, and knows nothing of Fleetmark.

#![forbid(unsafe_code)]

pub mod chart;
pub mod font;
pub mod number;
