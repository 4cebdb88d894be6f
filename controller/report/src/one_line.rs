//! What every text passes on its way into a format: results.json may come from anywhere.

use model::text::{LineBreaks, printable};
use std::borrow::Cow;

/// A text on one line, with the characters escaped that would act where it is shown.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    printable(text, LineBreaks::Escaped)
}
