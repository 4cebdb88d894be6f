//! Words broken into lines.

use crate::one_line::one_line;
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
        Self { text: font::drawable(&one_line(text)), weight, ink }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Breaks words into lines of at most `most`; a word wider than a line is broken, too. A word may have several weights:
/// only spaces separate words.
pub(super) fn lines(pieces: &[Piece], size: f64, most: f64) -> Vec<Vec<Piece>> {
    let mut lines: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut used = 0.0;
    for word in words(pieces) {
        let parts = if wide(&word, size) <= most {
            vec![word]
        } else {
            let parts_of = |piece: &Piece| parts(piece.text(), size, piece.weight, most);
            let broken = word.iter().flat_map(|piece| {
                parts_of(piece).into_iter().map(|text| vec![Piece { text, ..piece.clone() }])
            });
            broken.collect()
        };
        for part in parts {
            let is_first = lines.last().is_none_or(Vec::is_empty);
            if used + wide(&part, size) > most && !is_first {
                lines.push(Vec::new());
                used = 0.0;
            }
            let line = lines.len() - 1;
            for piece in part {
                used += width(&piece.text, size, piece.weight);
                match lines[line].last_mut() {
                    Some(last) if last.weight == piece.weight && last.ink == piece.ink => {
                        last.text.push_str(&piece.text);
                    }
                    _ => lines[line].push(piece),
                }
            }
        }
    }
    lines
}

/// Each word with the space after it.
fn words(pieces: &[Piece]) -> Vec<Vec<Piece>> {
    let mut words: Vec<Vec<Piece>> = Vec::new();
    for piece in pieces {
        for text in piece.text.split_inclusive(' ') {
            let part = Piece { text: text.to_owned(), ..piece.clone() };
            match words.last_mut() {
                Some(word) if word.last().is_some_and(|last| !last.text.ends_with(' ')) => {
                    word.push(part);
                }
                _ => words.push(vec![part]),
            }
        }
    }
    words
}

/// The width of a word without the space after it.
fn wide(word: &[Piece], size: f64) -> f64 {
    word.iter().map(|piece| width(piece.text.trim_end(), size, piece.weight)).sum()
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
    fn a_full_stop_stays_with_its_word_whatever_their_weights() {
        for second in [Weight::Regular, Weight::SemiBold] {
            let pieces = [
                Piece::of("tied on cost", Weight::Regular, Ink::Text),
                Piece::of(". Set aside: 2", second, Ink::Text),
            ];
            let narrow = width("tied on cost", 10.0, Weight::Regular) + 0.1;
            let text = |line: &Vec<Piece>| line.iter().map(Piece::text).collect::<String>();
            let lines: Vec<String> = lines(&pieces, 10.0, narrow).iter().map(text).collect();
            assert_eq!(lines[..2], ["tied on ", "cost. Set "], "{second:?}");
        }
    }

    #[test]
    fn a_word_of_ten_thousand_letters_is_broken() {
        let lines = texts(&"x".repeat(10_000), 200.0);
        assert!(lines.len() > 100);
        assert_eq!(lines.concat().len(), 10_000);
    }
}
