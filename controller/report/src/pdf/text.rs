//! Words broken into lines.

use plot::chart::Ink;
use plot::font::{self, Weight, width};

/// Words of one weight and color.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    text: String,
    pub(super) weight: Weight,
    pub(super) ink: Ink,
}

impl Piece {
    pub(super) fn of(text: &str, weight: Weight, ink: Ink) -> Self {
        Self { text: font::drawable(text), weight, ink }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Breaks words into lines of at most `most`; a word wider than a line is broken, too.
pub(super) fn lines(pieces: &[Piece], size: f64, most: f64) -> Vec<Vec<Piece>> {
    let mut lines: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut used = 0.0;
    for piece in pieces {
        for word in piece.text.split_inclusive(' ') {
            for part in parts(word, size, piece.weight, most) {
                let wide = width(part.trim_end(), size, piece.weight);
                let is_first = lines.last().is_none_or(Vec::is_empty);
                if used + wide > most && !is_first {
                    lines.push(Vec::new());
                    used = 0.0;
                }
                used += width(&part, size, piece.weight);
                let line = lines.len() - 1;
                match lines[line].last_mut() {
                    Some(last) if last.weight == piece.weight && last.ink == piece.ink => {
                        last.text.push_str(&part);
                    }
                    _ => lines[line].push(Piece { text: part, ..piece.clone() }),
                }
            }
        }
    }
    lines
}

/// Splits a word that is wider than a line.
fn parts(word: &str, size: f64, weight: Weight, most: f64) -> Vec<String> {
    if width(word.trim_end(), size, weight) <= most {
        return vec![word.to_owned()];
    }
    let mut parts = Vec::new();
    let (mut start, mut used) = (0, 0.0);
    for letter in font::shape(word, weight) {
        used += letter.advance * size;
        if used > most && letter.bytes.start > start {
            parts.push(word[start..letter.bytes.start].to_owned());
            (start, used) = (letter.bytes.start, letter.advance * size);
        }
    }
    parts.push(word[start..].to_owned());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, most: f64) -> Vec<String> {
        let lines = lines(&[Piece::of(text, Weight::Regular, Ink::Text)], 10.0, most);
        lines.iter().map(|line| line.iter().map(|piece| piece.text.clone()).collect()).collect()
    }

    #[test]
    fn lines_break_between_words_and_lose_none() {
        let text = "one two three four five six seven eight nine ten";
        let lines = texts(text, 60.0);
        assert!(lines.len() > 3);
        assert_eq!(lines.concat(), text);
        for line in lines {
            assert!(width(line.trim_end(), 10.0, Weight::Regular) <= 60.0, "{line}");
        }
    }

    #[test]
    fn a_word_of_ten_thousand_letters_is_broken() {
        let lines = texts(&"x".repeat(10_000), 200.0);
        assert!(lines.len() > 100);
        assert_eq!(lines.concat().len(), 10_000);
    }
}
