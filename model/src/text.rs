//! Descriptive text from other programs, made safe to display.

/// Drops control characters and bidirectional overrides, and truncates to `max_chars` characters.
pub fn plain(text: &str, max_chars: usize) -> String {
    let is_bidi = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|&c| !c.is_control() && !is_bidi(c)).take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_are_dropped_and_the_rest_is_truncated() {
        assert_eq!(plain("a\u{1b}[2J\u{202e}b\n\u{7}c", 20), "a[2Jbc");
        assert_eq!(plain("äöü", 2), "äö");
    }
}
