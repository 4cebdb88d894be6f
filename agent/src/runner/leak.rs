//! A leak on purpose: tests/leak.sh checks with it that a real one is found. Only where the feature `leak` is on, which
//! no release has.

/// Keeps 64 KiB for ever.
pub(super) fn leak() {
    // Written to, so that the system must give the pages; looked at, or the compiler leaves all of it out.
    std::mem::forget(std::hint::black_box(vec![1_u8; 64 << 10]));
}
