//! Texts of another program that only describe: they are shown, so they may not act.

/// At most so many characters, and none that steers a terminal or turns the direction of a line.
pub fn plain(text: &str, longest: usize) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|&c| !c.is_control() && !turns(c)).take(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_or_turns_is_left_out_and_the_rest_is_cut() {
        assert_eq!(plain("a\u{1b}[2J\u{202e}b\n\u{7}c", 20), "a[2Jbc");
        assert_eq!(plain("äöü", 2), "äö");
    }
}
