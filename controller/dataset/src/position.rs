use std::fmt;

/// A position in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    File,
    Header,
    Line(u64),
    /// Of a JSON array.
    Item(u64),
    /// A CSV record, without counting the header, and its first line.
    Record {
        number: u64,
        line: u64,
    },
    /// Of a Parquet file.
    Row(u64),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("the file"),
            Self::Header => f.write_str("the header"),
            Self::Line(line) => write!(f, "line {line}"),
            Self::Item(item) => write!(f, "item {item}"),
            Self::Record { number, line } => write!(f, "record {number} (line {line})"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}
