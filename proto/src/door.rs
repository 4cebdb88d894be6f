//! What the controller's door answers to whoever doesn't speak TLS where it must.

/// An empty SETTINGS frame, then GOAWAY with `INADEQUATE_SECURITY` (RFC 9113, 6.5, 6.8 and 7): whoever speaks plain
/// HTTP/2 reads that it must not.
pub const MUST_SPEAK_TLS: [u8; 26] = [
    0, 0, 0, 4, 0, 0, 0, 0, 0, // SETTINGS of stream 0
    0, 0, 8, 7, 0, 0, 0, 0, 0, // GOAWAY of stream 0
    0, 0, 0, 0, // no stream was begun
    0, 0, 0, 0x0c, // INADEQUATE_SECURITY
];
