//! A drawing -> SVG inside a page. Colours are classes, so that the page's style decides on them.

use super::{Anchor, COLORS, Dash, Drawing, Fill, Ink, Mark, Shape};
use crate::font::Weight;
use maud::{Markup, html};
use std::fmt::Write;

/// Renders a drawing. `name` and `description` are for screen readers.
pub fn render(drawing: &Drawing, class: &str, name: &str, description: &str) -> Markup {
    let Drawing { width, height, marks } = drawing;
    let view = format!("0 0 {} {}", round(*width), round(*height));
    let spoken = format!("{name}. {description}");
    html! {
        svg class=(class) viewBox=(view) width=(round(*width)) height=(round(*height)) role="img" aria-label=(spoken) {
            @for mark in marks { (render_mark(mark)) }
        }
    }
}

fn render_mark(mark: &Mark) -> Markup {
    let series = mark.series.map(|series| series.to_string());
    let class = class(mark);
    let tip = || html! { @if let Some(tip) = &mark.tip { title { (tip) } } };
    match &mark.shape {
        Shape::Line { points, width, dash } => {
            let dash = match dash {
                Dash::Solid => None,
                Dash::Dashed => Some("6 4"),
                Dash::Dotted => Some("1.5 4"),
            };
            html! {
                path class=(class) data-series=[series] d=(path(points)) stroke-width=(round(*width)) stroke-dasharray=[dash] { (tip()) }
            }
        }
        Shape::Area { points } => html! {
            path class=(class) data-series=[series] d={ (path(points)) "Z" } { (tip()) }
        },
        Shape::Box { at, size, radius } => html! {
            rect class=(class) data-series=[series] x=(round(at.0)) y=(round(at.1)) width=(round(size.0)) height=(round(size.1)) rx=(round(*radius)) { (tip()) }
        },
        Shape::Sign { at, form, radius, .. } => {
            let corners = form.corners(*at, *radius);
            html! {
                @if corners.is_empty() {
                    circle class=(class) data-series=[series] cx=(round(at.0)) cy=(round(at.1)) r=(round(*radius)) { (tip()) }
                } @else {
                    path class=(class) data-series=[series] d={ (path(&corners)) "Z" } { (tip()) }
                }
            }
        }
        Shape::Text { at, text, size, anchor, .. } => {
            let anchor = match anchor {
                Anchor::Start => None,
                Anchor::Middle => Some("middle"),
                Anchor::End => Some("end"),
            };
            html! {
                text class=(class) data-series=[series] x=(round(at.0)) y=(round(at.1)) font-size=(round(*size)) text-anchor=[anchor] { (text) }
            }
        }
    }
}

/// The classes of a mark: its ink, and whether it is a line, a sign that is not full, or heavy words.
fn class(mark: &Mark) -> String {
    let mut class = match mark.ink {
        Ink::Text => "ink-text".to_owned(),
        Ink::Muted => "ink-muted".to_owned(),
        Ink::Grid => "ink-grid".to_owned(),
        Ink::Axis => "ink-axis".to_owned(),
        Ink::Band => "ink-band".to_owned(),
        Ink::Good => "good".to_owned(),
        Ink::Warn => "warn".to_owned(),
        Ink::Bad => "bad".to_owned(),
        Ink::Series(series) => format!("s{}", series % COLORS),
        Ink::Wash(series) => format!("s{} wash", series % COLORS),
    };
    class.push_str(match &mark.shape {
        Shape::Line { .. } => " line",
        Shape::Sign { fill: Fill::Hollow, .. } => " hollow",
        Shape::Sign { fill: Fill::Full, .. } => " sign",
        Shape::Text { weight: Weight::SemiBold, .. } => " heavy",
        Shape::Text { .. } | Shape::Area { .. } | Shape::Box { .. } => "",
    });
    class
}

/// `M1 2L3 4`
fn path(points: &[super::At]) -> String {
    let mut path = String::with_capacity(points.len() * 12);
    for (place, (x, y)) in points.iter().enumerate() {
        path.push(if place == 0 { 'M' } else { 'L' });
        // Writing to a String can't fail.
        let _ = write!(path, "{} {}", round(*x), round(*y));
    }
    path
}

/// Tenths are finer than any screen shows.
fn round(value: f64) -> f64 {
    let tenths = (value * 10.0).round() / 10.0;
    if tenths == 0.0 { 0.0 } else { tenths }
}
