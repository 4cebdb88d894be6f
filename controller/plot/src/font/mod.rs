//! Inter, the font of pages and charts: its files, glyphs and metrics.
//!
//! Licensed under the SIL Open Font License (`LICENSE.txt`); `README.md` documents how the files were made.

use rustybuzz::ttf_parser::Tag;
use rustybuzz::{Direction, Face, Feature, UnicodeBuffer};
use std::sync::OnceLock;

/// For browsers: Latin letters, weights 400 to 700.
pub const WEB: &[u8] = include_bytes!("Inter-Latin.woff2");

/// Stands for every character that the typeface doesn't have.
const MISSING: char = '\u{fffd}';

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weight {
    /// 400
    Regular,
    /// 600
    SemiBold,
}

impl Weight {
    pub fn file(self) -> &'static [u8] {
        match self {
            Self::Regular => include_bytes!("Inter-Regular.ttf"),
            Self::SemiBold => include_bytes!("Inter-SemiBold.ttf"),
        }
    }

    fn face(self) -> &'static Face<'static> {
        static FACES: [OnceLock<Face<'static>>; 2] = [const { OnceLock::new() }; 2];
        FACES[self as usize].get_or_init(|| {
            Face::from_slice(self.file(), 0).expect("the committed files are typefaces")
        })
    }
}

/// A letter in its place. Lengths are shares of the type size.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    pub glyph: u32,
    /// From its start to that of the next one.
    pub advance: f64,
    /// By which it is moved right.
    pub shift: f64,
    /// Bytes of the text that it shows.
    pub bytes: std::ops::Range<usize>,
}

/// The text with every character that can't be drawn replaced: those that the typeface lacks, and control characters,
/// which turn lines around or break them.
pub fn drawable(text: &str) -> String {
    let face = Weight::Regular.face();
    let mut drawn = String::with_capacity(text.len());
    for c in text.chars() {
        let c = match c {
            '\n' | '\r' | '\t' => ' ',
            c if face.glyph_index(c).is_some() => c,
            _ => MISSING,
        };
        if c != MISSING || !drawn.ends_with(MISSING) {
            drawn.push(c);
        }
    }
    drawn
}

/// Places the letters of a drawable text from left to right, with kerning and with digits of one width.
pub fn shape(text: &str, weight: Weight) -> Vec<Letter> {
    let face = weight.face();
    let per_em = f64::from(face.units_per_em());
    let mut buffer = UnicodeBuffer::new();
    buffer.push_str(text);
    buffer.set_direction(Direction::LeftToRight);
    let tabular = Feature::new(Tag::from_bytes(b"tnum"), 1, ..);
    let shaped = rustybuzz::shape(face, &[tabular], buffer);
    let (infos, positions) = (shaped.glyph_infos(), shaped.glyph_positions());
    let starts: Vec<usize> = infos.iter().map(|info| info.cluster as usize).collect();
    let end = |place: usize| {
        let later = starts[place..].iter().find(|start| **start > starts[place]);
        later.copied().unwrap_or(text.len())
    };
    let letter =
        |(place, (info, at)): (usize, (&rustybuzz::GlyphInfo, &rustybuzz::GlyphPosition))| Letter {
            glyph: info.glyph_id,
            advance: f64::from(at.x_advance) / per_em,
            shift: f64::from(at.x_offset) / per_em,
            bytes: starts[place]..end(place),
        };
    infos.iter().zip(positions).enumerate().map(letter).collect()
}

/// How wide a text is at a type size, in the unit of the size.
pub fn width(text: &str, size: f64, weight: Weight) -> f64 {
    shape(&drawable(text), weight).iter().map(|letter| letter.advance).sum::<f64>() * size
}

/// No line of a report has more letters.
const LONGEST: usize = 400;

/// The text, cut with an ellipsis where it is wider than `most`.
pub fn fitted(text: &str, size: f64, weight: Weight, most: f64) -> String {
    let whole = drawable(text);
    let start: String = whole.chars().take(LONGEST).collect();
    if start.len() == whole.len() && width(&start, size, weight) <= most {
        return start;
    }
    let room = most - width("…", size, weight);
    let (mut used, mut end) = (0.0, 0);
    for letter in shape(&start, weight) {
        used += letter.advance * size;
        if used > room {
            break;
        }
        end = letter.bytes.end;
    }
    format!("{}…", start[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_equally_wide_and_letters_are_kerned() {
        let wide = |text| width(text, 1000.0, Weight::Regular);
        assert!((wide("1111") - wide("8888")).abs() < 1e-6);
        assert!(wide("AV") < wide("A") + wide("V"));
    }

    #[test]
    fn what_the_typeface_lacks_is_replaced_and_turns_nothing_around() {
        assert_eq!(drawable("a\u{202e}b\n\u{1f600}\u{1f601}é"), "a\u{fffd}b \u{fffd}é");
    }

    #[test]
    fn a_long_text_is_cut_where_the_room_ends() {
        let cut = fitted(&"m".repeat(10_000), 10.0, Weight::SemiBold, 100.0);
        assert!(cut.ends_with('…') && width(&cut, 10.0, Weight::SemiBold) <= 100.0);
        assert_eq!(fitted("short", 10.0, Weight::Regular, 100.0), "short");
    }

    #[test]
    fn letters_cover_their_text() {
        let letters = shape("Größe → 5 %", Weight::SemiBold);
        let covered: usize = letters.iter().map(|letter| letter.bytes.len()).sum();
        assert_eq!(covered, "Größe → 5 %".len());
    }
}
