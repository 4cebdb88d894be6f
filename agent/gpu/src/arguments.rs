//! Sizes, numbers and structures in, a kernel's arguments as words out.

/// A kernel's arguments, each in words of its own.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) words: Vec<u64>,
    /// The first word of each argument.
    pub(crate) starts: Vec<usize>,
}

impl Arguments {
    pub(crate) fn word(mut self, word: u64) -> Self {
        self.starts.push(self.words.len());
        self.words.push(word);
        self
    }

    pub(crate) fn int(self, value: usize) -> Self {
        self.word(u64::from(int(value)))
    }

    pub(crate) fn float(self, value: f32) -> Self {
        self.word(u64::from(value.to_bits()))
    }

    /// A structure.
    pub(crate) fn block(mut self, words: &[u64]) -> Self {
        self.starts.push(self.words.len());
        self.words.extend_from_slice(words);
        self
    }
}

/// As a kernel's `int`.
pub(crate) fn int(value: usize) -> u32 {
    i32::try_from(value).expect("sizes of models fit into 31 bits").cast_unsigned()
}

/// Two `int`s of a structure.
pub(crate) fn ints(low: usize, high: usize) -> u64 {
    u64::from(int(low)) | u64::from(int(high)) << 32
}

/// Two `float`s of a structure.
pub(crate) fn floats(low: f32, high: f32) -> u64 {
    u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32
}
