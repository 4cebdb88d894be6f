//! Why a file is not opened.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsound {
    /// Contains elements that take no bytes.
    EmptyElements,
    /// A page claims more than it can hold.
    Oversized,
    /// A page is encoded with a dictionary, and none comes before it. The parser panics there.
    NoDictionary,
    /// Thrift that no writer produces, and that the parser may read in another way.
    Unusual,
    /// Truncated or not Thrift: the parser rejects it, too.
    Malformed,
}
