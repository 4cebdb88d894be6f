//! The dialogues that come with the program; `builtin/README.md` says how they were made.

/// JSON lines of `id`, `dialogue`, `summary` and `minutes`.
pub(super) const DIALOGUES: &[u8] = include_bytes!("builtin/dialogues.jsonl");
