//! The built-in dialogues, described in `builtin/README.md`.

/// JSON Lines with `id`, `dialogue`, `summary` and `minutes`.
pub(super) const DIALOGUES: &[u8] = include_bytes!("builtin/dialogues.jsonl");
