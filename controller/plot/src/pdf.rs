//! Drawings -> the bytes of a PDF, with krilla.

use crate::chart::{Anchor, At, Dash, Drawing, Fill as SignFill, Ink, Mark, Shape};
use crate::font::{self, Weight, width};
use krilla::SerializeSettings;
use krilla::color::rgb;
use krilla::destination::XyzDestination;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::DateTime;
use krilla::num::NormalizedF32;
use krilla::outline::{Outline, OutlineNode};
use krilla::page::PageSettings;
use krilla::paint::{Fill, LineCap, LineJoin, Stroke, StrokeDash};
use krilla::surface::Surface;
use krilla::text::{Font, GlyphId, KrillaGlyph};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("an embedded font is damaged: rebuild the program")]
    Font,
    #[error("failed to write the PDF ({reason}); choose another format with --formats")]
    Library { reason: String },
}

/// By weight.
type Fonts = [Font; 2];

#[derive(Debug, Default)]
pub struct Pages {
    /// Width and height in points.
    pub size: At,
    pub pages: Vec<Drawing>,
    pub bookmarks: Vec<Bookmark>,
}

#[derive(Debug)]
pub struct Bookmark {
    pub title: String,
    pub page: usize,
    /// The height on the page, from the top.
    pub y: f64,
}

#[derive(Debug)]
pub struct Metadata {
    pub title: String,
    pub description: String,
    pub creator: String,
    pub keywords: Vec<String>,
    pub id: String,
    /// `2026-11-23 08:45 UTC`; left out in any other form. The same input makes the same file.
    pub created: String,
}

pub fn write(pages: Pages, metadata: &Metadata) -> Result<Vec<u8>, Error> {
    let load = |weight: Weight| Font::new(weight.file().into(), 0).ok_or(Error::Font);
    let fonts = [load(Weight::Regular)?, load(Weight::SemiBold)?];
    let mut file = krilla::Document::new_with(SerializeSettings::default());
    for drawing in &pages.pages {
        let settings = PageSettings::from_wh(short(pages.size.0), short(pages.size.1));
        let mut page = file.start_page_with(settings.unwrap_or_default());
        let mut surface = page.surface();
        for mark in &drawing.marks {
            draw(&mut surface, mark, &fonts);
        }
        surface.finish();
        page.finish();
    }
    let mut outline = Outline::new();
    for Bookmark { title, page, y } in pages.bookmarks {
        let place = XyzDestination::new(page, Point::from_xy(0.0, short((y - 12.0).max(0.0))));
        outline.push_child(OutlineNode::new(font::drawable(&title), place));
    }
    file.set_outline(outline);
    file.set_metadata(info(metadata));
    file.finish().map_err(|error| Error::Library { reason: format!("{error:?}") })
}

fn info(metadata: &Metadata) -> krilla::metadata::Metadata {
    let info = krilla::metadata::Metadata::new()
        .title(font::drawable(&metadata.title))
        .description(font::drawable(&metadata.description))
        .creator(metadata.creator.clone())
        .keywords(metadata.keywords.clone())
        .document_id(metadata.id.clone())
        .language("en".to_owned());
    match created(&metadata.created) {
        Some(created) => info.creation_date(created),
        None => info,
    }
}

fn created(text: &str) -> Option<DateTime> {
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<u8>().ok();
    let date = DateTime::new(text.get(..4)?.parse().ok()?);
    Some(date.month(part(5..7)?).day(part(8..10)?).hour(part(11..13)?).minute(part(14..16)?))
}

fn draw(surface: &mut Surface<'_>, mark: &Mark, fonts: &Fonts) {
    match &mark.shape {
        Shape::Line { points, width, dash } => {
            let dash = match dash {
                Dash::Solid => None,
                Dash::Dashed => Some(vec![short(width * 3.5), short(width * 2.5)]),
                Dash::Dotted => Some(vec![short(*width), short(width * 2.5)]),
            };
            let pen = Pen { ink: mark.ink, width: *width, dash };
            draw_path(surface, points, Closed::No, None, Some(pen));
        }
        Shape::Area { points } => {
            draw_path(surface, points, Closed::Yes, Some(mark.ink), None);
        }
        Shape::Box { at, size, .. } => {
            let mut path = PathBuilder::new();
            let (x, y) = (short(at.0), short(at.1));
            let Some(area) = Rect::from_xywh(x, y, short(size.0), short(size.1)) else { return };
            path.push_rect(area);
            if let Some(path) = path.finish() {
                surface.set_fill(Some(fill(mark.ink)));
                surface.set_stroke(None);
                surface.draw_path(&path);
            }
        }
        Shape::Sign { at, form, radius, fill } => {
            let corners = form.corners(*at, *radius);
            let points = if corners.is_empty() { circle(*at, *radius) } else { corners };
            let pen = Pen { ink: mark.ink, width: radius * 0.32, dash: None };
            match fill {
                SignFill::Full => draw_path(surface, &points, Closed::Yes, Some(mark.ink), None),
                SignFill::Hollow => draw_path(surface, &points, Closed::Hollow, None, Some(pen)),
            }
        }
        Shape::Text { at, text, size, anchor, weight } => {
            let font = fonts[*weight as usize].clone();
            let left = match anchor {
                Anchor::Start => at.0,
                Anchor::Middle => at.0 - width(text, *size, *weight) / 2.0,
                Anchor::End => at.0 - width(text, *size, *weight),
            };
            let text = font::drawable(text);
            let glyphs: Vec<KrillaGlyph> =
                font::shape(&text, *weight).into_iter().map(glyph).collect();
            surface.set_fill(Some(fill(mark.ink)));
            surface.set_stroke(None);
            let at = Point::from_xy(short(left), short(at.1));
            surface.draw_glyphs(at, &glyphs, font, &text, short(*size), false);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closed {
    No,
    Yes,
    /// Closed and filled with white.
    Hollow,
}

struct Pen {
    ink: Ink,
    width: f64,
    dash: Option<Vec<f32>>,
}

fn draw_path(
    surface: &mut Surface<'_>,
    points: &[At],
    closed: Closed,
    ink: Option<Ink>,
    pen: Option<Pen>,
) {
    let mut path = PathBuilder::new();
    for (place, (x, y)) in points.iter().enumerate() {
        if place == 0 {
            path.move_to(short(*x), short(*y));
        } else {
            path.line_to(short(*x), short(*y));
        }
    }
    if closed != Closed::No {
        path.close();
    }
    let Some(path) = path.finish() else { return };
    let paper = Fill { paint: rgb::Color::white().into(), ..Fill::default() };
    let inside = ink.map(fill).or_else(|| (closed == Closed::Hollow).then_some(paper));
    surface.set_fill(inside);
    surface.set_stroke(pen.map(|Pen { ink, width, dash }| Stroke {
        paint: color(ink).into(),
        width: short(width),
        line_cap: if matches!(ink, Ink::Grid | Ink::Axis) { LineCap::Butt } else { LineCap::Round },
        line_join: LineJoin::Round,
        opacity: opacity(ink),
        dash: dash.map(|array| StrokeDash { array, offset: 0.0 }),
        ..Stroke::default()
    }));
    surface.draw_path(&path);
}

fn circle((x, y): At, radius: f64) -> Vec<At> {
    let corner = |step: u32| {
        let angle = f64::from(step) * std::f64::consts::TAU / 32.0;
        (x + radius * angle.cos(), y + radius * angle.sin())
    };
    (0..32).map(corner).collect()
}

fn glyph(letter: font::Letter) -> KrillaGlyph {
    let (advance, shift) = (short(letter.advance), short(letter.shift));
    KrillaGlyph::new(GlyphId::new(letter.glyph), advance, shift, 0.0, 0.0, letter.bytes, None)
}

fn fill(ink: Ink) -> Fill {
    Fill { paint: color(ink).into(), opacity: opacity(ink), ..Fill::default() }
}

fn opacity(ink: Ink) -> NormalizedF32 {
    let share = if matches!(ink, Ink::Wash(_)) { 0.45 } else { 1.0 };
    NormalizedF32::new(share).unwrap_or(NormalizedF32::ONE)
}

/// The colors of the HTML page on white.
fn color(ink: Ink) -> rgb::Color {
    const SERIES: [[u8; 3]; 8] = [
        [0x00, 0x68, 0xad],
        [0xc9, 0x51, 0x0c],
        [0x00, 0x80, 0x5a],
        [0xa8, 0x48, 0x7f],
        [0x8f, 0x65, 0x00],
        [0x65, 0x49, 0xb5],
        [0x4a, 0x50, 0x58],
        [0x60, 0x73, 0x1b],
    ];
    let [red, green, blue] = match ink {
        Ink::Text => [0x1a, 0x1d, 0x21],
        Ink::Muted => [0x5a, 0x62, 0x6c],
        Ink::Grid => [0xe4, 0xe2, 0xdc],
        Ink::Axis => [0x77, 0x80, 0x8a],
        Ink::Band => [0xfb, 0xf0, 0xda],
        Ink::Good => [0x1c, 0x6b, 0x45],
        Ink::Warn => [0x86, 0x52, 0x0a],
        Ink::Bad => [0xa4, 0x26, 0x2c],
        Ink::Series(series) | Ink::Wash(series) => SERIES[series % SERIES.len()],
    };
    rgb::Color::new(red, green, blue)
}

#[expect(clippy::cast_possible_truncation, reason = "a PDF's numbers are short")]
fn short(value: f64) -> f32 {
    value as f32
}
