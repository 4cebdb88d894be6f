//! The reply to clients that speak plain HTTP/2 to a TLS port.

/// An empty SETTINGS frame, then GOAWAY with `INADEQUATE_SECURITY` (RFC 9113, 6.5, 6.8 and 7).
pub const PLAINTEXT_REJECTION: [u8; 26] = [
    0, 0, 0, 4, 0, 0, 0, 0, 0, // SETTINGS of stream 0
    0, 0, 8, 7, 0, 0, 0, 0, 0, // GOAWAY of stream 0
    0, 0, 0, 0, // last stream: none
    0, 0, 0, 0x0c, // INADEQUATE_SECURITY
];
