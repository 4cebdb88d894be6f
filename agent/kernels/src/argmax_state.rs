//! The result of an argmax, and the buffers of the screened one.

/// The largest sum of a row and its column; of equal sums, the lowest column. Negative infinity if
/// every sum is NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Argmax {
    pub column: usize,
    pub sum: f32,
}

impl Argmax {
    pub(super) const NONE: Self = Self { column: 0, sum: f32::NEG_INFINITY };
}

/// Quantization error of a row of activations.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RowError {
    /// `|d|`.
    pub(super) error: f32,
    /// `|x|`.
    pub(super) length: f32,
}

/// Bounds of a batch. The buffers grow to the largest batch.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    pub(super) rows: Vec<RowError>,
    /// The upper bound of each panel, `[panels][rows]`.
    pub(super) upper: Vec<f32>,
    /// The largest lower bound of each row.
    pub(super) lower: Vec<f32>,
}
