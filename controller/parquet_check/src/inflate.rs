//! Compressed pages whose decoders have no limit of their own: how long they are, without keeping their content.

use brotli::Decompressor;
use flate2::read::MultiGzDecoder;
use std::io::{Read, sink};

/// Bytes that are decompressed at a time.
const PART: usize = 1 << 14;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip,
    Brotli,
}

/// Whether a page decompresses to more than `most` bytes. What is malformed before that is left to the parser.
pub(super) fn is_longer(codec: Codec, bytes: &[u8], most: u64) -> bool {
    match codec {
        Codec::Gzip => has_more(MultiGzDecoder::new(bytes), most),
        Codec::Brotli => has_more(Decompressor::new(bytes, PART), most),
    }
}

fn has_more(mut content: impl Read, most: u64) -> bool {
    // An error comes after everything before it was decompressed.
    let _ = std::io::copy(&mut content.by_ref().take(most), &mut sink());
    content.read(&mut [0]).is_ok_and(|read| read > 0)
}
