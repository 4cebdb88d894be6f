//! A leak on purpose: tests/leak.sh checks with it that a real one is found. Only where the feature `leak` is on, which
//! no release has.

/// Keeps 64 KiB for ever.
pub(super) fn leak() {
    // Written to, so that the system must give the pages.
    std::mem::forget(vec![1_u8; 64 << 10]);
}
