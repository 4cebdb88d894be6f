//! A deliberate leak for tests/leak.sh, only with the feature `leak`, which no release enables.

pub(super) fn leak() {
    // Written to, so that the pages are resident, and observed, so that the compiler keeps it.
    std::mem::forget(std::hint::black_box(vec![1_u8; 64 << 10]));
}
