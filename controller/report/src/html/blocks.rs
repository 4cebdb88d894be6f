//! Charts, tables and texts of a section as elements of the page.

use crate::document::{Block, Column, Entry, Figure, Table, Tone};
use maud::{Markup, html};
use plot::chart::{At, COLORS, Chart, Form, svg};
use std::fmt::Write;

/// The width of charts for wide and narrow screens: text keeps its size.
const WIDE: f64 = 880.0;
const NARROW: f64 = 350.0;

pub(super) fn block(block: &Block) -> Markup {
    match block {
        Block::Figure(figure) => figure_of(figure),
        Block::Table(table) => table_of(table),
        Block::List(sentences) => html! {
            ul.sentences { @for sentence in sentences { li { (sentence) } } }
        },
        Block::Facts(facts) => html! {
            dl.list {
                @for (name, text) in facts { dt { (name) } dd { (text) } }
            }
        },
        Block::Code { title, text } => html! {
            figure.code {
                figcaption { (title) }
                pre tabindex="0" role="region" aria-label=(title) { code { (with_spaces(text)) } }
            }
        },
        Block::Missing(reason) => html! { p.missing { (reason) } },
        Block::Dialogue(dialogue) => html! {
            article.dialogue {
                h3 dir="auto" { (dialogue.id) }
                pre.text dir="auto" tabindex="0" role="region" aria-label="Dialogue" { (with_spaces(&dialogue.text)) }
                dl {
                    dt { "Reference" }
                    dd dir="auto" { @match &dialogue.reference { Some(text) => { (with_spaces(text)) } None => { span.muted { "none" } } } }
                    @for (cells, text) in &dialogue.summaries {
                        dt { (cells) }
                        dd dir="auto" { (with_spaces(text)) }
                    }
                }
            }
        },
    }
}

/// The usual white space of a file, without the characters that are escaped elsewhere.
fn with_spaces(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\t', "    ")
}

fn figure_of(figure: &Figure) -> Markup {
    let description = match (&figure.table, &figure.chart) {
        (Some(_), _) => "The table below has the same figures.",
        (None, Chart::Strips(_)) => "results.json has the same figures, under timelines.",
        (None, _) => "The table of all cells has the same figures.",
    };
    html! {
        figure.chart id=(figure.id) {
            figcaption { (figure.title) }
            @if figure.legend.len() > 1 || figure.legend.iter().any(|(series, _)| *series > 0) {
                ul.legend {
                    @for (series, name) in &figure.legend {
                        li data-series=(series) { (sign(*series)) span { (name) } }
                    }
                }
            }
            (svg::render(&figure.chart.draw(WIDE), "wide", &figure.title, description))
            (svg::render(&figure.chart.draw(NARROW), "narrow", &figure.title, description))
            @if let Some(table) = &figure.table {
                details {
                    summary { "Table: " (table.title) }
                    (grid(table))
                }
            }
        }
    }
}

fn sign(series: usize) -> Markup {
    let centre: At = (8.0, 8.0);
    let corners = Form::of(series).corners(centre, 5.0);
    let class = format!("s{} sign", series % COLORS);
    let mut path = String::new();
    for (place, (x, y)) in corners.iter().enumerate() {
        // Writing to a String can't fail.
        let _ = write!(path, "{}{x:.1} {y:.1}", if place == 0 { 'M' } else { 'L' });
    }
    html! {
        svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
            @if corners.is_empty() { circle class=(class) cx="8" cy="8" r="5" {} }
            @else { path class=(class) d={ (path) "Z" } {} }
        }
    }
}

fn table_of(table: &Table) -> Markup {
    html! { div.table id=(table.id) { p.title { (table.title) } (grid(table)) } }
}

/// A table that scrolls horizontally where it is too wide, also by keyboard.
fn grid(table: &Table) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(table.title) {
            table {
                thead { tr { @for column in &table.columns { (heading(column)) } } }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for (place, entry) in row.iter().enumerate() {
                                (entry_of(entry, table.columns.get(place), place == 0))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn heading(column: &Column) -> Markup {
    html! {
        th scope="col" class=[column.is_figure.then_some("figure")] {
            span.name { (column.title) }
            @if !column.unit.is_empty() { " " span.unit { (column.unit) } }
        }
    }
}

fn entry_of(entry: &Entry, column: Option<&Column>, is_first: bool) -> Markup {
    let tone = match entry.tone {
        Tone::Plain => "",
        Tone::Muted => "muted",
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    };
    let figure = if column.is_some_and(|column| column.is_figure) { "figure " } else { "" };
    let class = Some(format!("{figure}{tone}")).filter(|class| !class.is_empty());
    let hint = entry.hint.as_ref();
    let inner = html! {
        @if hint.is_some() { span.hinted { (entry.text) } } @else { (entry.text) }
        @if !entry.detail.is_empty() { " " span.detail { (entry.detail) } }
    };
    html! {
        @if is_first { th scope="row" class=[class] title=[hint] { (inner) } }
        @else { td class=[class] title=[hint] data-value=[entry.value] { (inner) } }
    }
}
